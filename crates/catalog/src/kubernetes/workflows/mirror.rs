//! Objects of workflows that were not submitted as objects: made by Tiphys, so that `kubectl get wf` shows every workflow.
//! The journal is there first, and nobody waits for the object.

use serde_json::{Value, json};
use tiphys_core::workflow::Verb;
use tiphys_kit::kubernetes::{Failure, Objects, PatchKind, Removal};
use tiphys_manifest::Kind;
use tracing::{debug, warn};

use super::Desk;
use super::intake::INSTANCE;
use super::known::{Key, Known};
use super::patch;
use super::status::Looked;
use super::submit::{BY, SERVER_METADATA};

/// The annotation of an object that was made for a workflow: `NAMESPACE/NAME/UID` of that.
pub const WORKFLOW: &str = "tiphys.dev/workflow";
/// The controller that such an object belongs to, so that none of Argo's runs it.
const OURS: &str = "tiphys";
/// Metadata that would have the API server do something with the object.
const EFFECTIVE_METADATA: [&str; 3] = ["ownerReferences", "finalizers", "deletionTimestamp"];

/// The uid of the workflow that an object was made for. A copy of it under another name was made for none, and an object that
/// was submitted has its workflow's own uid.
#[must_use]
pub fn workflow_of(object: &Value) -> Option<&str> {
    let metadata = &object["metadata"];
    let mut parts = metadata["annotations"][WORKFLOW].as_str()?.splitn(3, '/');
    let same = |field: &str, part: Option<&str>| metadata[field].as_str() == part;
    (same("namespace", parts.next()) && same("name", parts.next())).then_some(parts.next()?)
}

/// The object of a workflow. `status` is what is shown of it.
fn object_of((namespace, name): &Key, shown: &Value, status: &Value) -> Value {
    let mut object = shown.clone();
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        let dropped = |name: &str| SERVER_METADATA.contains(&name) || EFFECTIVE_METADATA.contains(&name);
        metadata.retain(|name, _| !dropped(name));
    }
    object["metadata"]["annotations"][WORKFLOW] = json!(format!("{namespace}/{name}/{uid}"));
    object["metadata"]["labels"][INSTANCE] = json!(OURS);
    object["status"] = patch::without_null(status);
    object
}

impl Desk {
    /// Makes the object of a workflow that has none, unless it is not to have one. `wanted` is its labels and status.
    pub(super) async fn show(
        &self,
        key: &Key,
        shown: &Value,
        wanted: Value,
        over: bool,
    ) -> Result<Looked, Failure> {
        let (namespace, name) = key;
        let elsewhere = self.shared.config.namespace.as_ref().is_some_and(|only| only != namespace);
        // What was not listed yet is looked at once it is.
        if elsewhere || !self.workflows.is_listed() || self.workflows.is_going(key) {
            return Ok(Looked::Nothing);
        }
        let Some((submission, commands)) = self.shown.asked(namespace, name) else {
            return Ok(Looked::Unseen);
        };
        let goes = commands.iter().any(|command| command.verb == Verb::Delete);
        // One that was an object goes with it.
        if goes || submission.by == BY {
            return Ok(Looked::Nothing);
        }
        let objects = self.shared.objects_in(Kind::Workflow, namespace).await?;
        self.turn.comes().await;
        let list = self.workflows.list();
        let made = match objects.create(&object_of(key, shown, &wanted["status"])).await {
            Ok(made) => self.with_status(&objects, made, &wanted["status"]).await?,
            Err(Failure::Exists(_)) => return self.find(key, &objects, &submission.uid).await,
            Err(failure @ (Failure::Missing(_) | Failure::Forbidden(_))) => {
                warn!(namespace, name, %failure, "a workflow has no object for the moment");
                return Ok(Looked::Later);
            }
            Err(failure @ Failure::Refused(_)) => {
                warn!(namespace, name, %failure, "a workflow gets no object");
                return Ok(Looked::Nothing);
            }
            Err(failure) => return Err(failure),
        };
        debug!(namespace, name, "a workflow has an object");
        let live = if over { Value::Null } else { wanted };
        let known = Known { workflow: submission.uid, ours: true, live, ..Known::of(&made) };
        self.workflows.insert(key.clone(), known.clone());
        if list.is_none() || self.workflows.list() != list {
            self.make_sure(key, &objects, &known.uid).await?;
        }
        Ok(if over { Looked::Over } else { Looked::Written })
    }

    /// A list that was made while an object came to be does not tell whether it is gone already.
    async fn make_sure(&self, key: &Key, objects: &Objects, uid: &str) -> Result<(), Failure> {
        let there = objects.get(&key.1).await?;
        if there.is_none_or(|there| there["metadata"]["uid"] != uid) {
            let told = self.gone(key, uid).await;
            told.map_err(|failure| Failure::Unavailable(failure.to_string()))?;
        }
        Ok(())
    }

    /// A status that is apart is not taken when the object is made.
    async fn with_status(&self, objects: &Objects, made: Value, status: &Value) -> Result<Value, Failure> {
        if !objects.resource().has_status {
            return Ok(made);
        }
        let metadata = &made["metadata"];
        let name = metadata["name"].as_str().unwrap_or_default();
        let only = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        let change = json!({"metadata": only, "status": status});
        objects.patch(name, "status", PatchKind::Merge, &change).await
    }

    /// An object of that name is there: made by us before, or somebody's own.
    async fn find(&self, key: &Key, objects: &Objects, workflow: &str) -> Result<Looked, Failure> {
        let Some(object) = objects.get(&key.1).await? else { return Ok(Looked::Changed) };
        if workflow_of(&object) != Some(workflow) {
            warn!(namespace = key.0, name = key.1, "a workflow gets no object: another has its name");
            return Ok(Looked::Nothing);
        }
        let known = Known { workflow: workflow.to_owned(), ours: true, ..Known::of(&object) };
        self.workflows.insert(key.clone(), known);
        Ok(Looked::Changed)
    }

    /// Deletes the object of a workflow that is gone; later, where the API server is away.
    pub(super) async fn remove(&self, key: &Key, uid: &str) {
        self.workflows.forget(key);
        self.turn.comes().await;
        let how = Removal { uid: Some(uid.to_owned()), ..Removal::default() };
        let removed = match self.shared.objects_in(Kind::Workflow, &key.0).await {
            Ok(objects) => objects.delete(&key.1, &how).await.map(drop),
            Err(failure) => Err(failure),
        };
        match removed {
            Ok(()) | Err(Failure::Conflict(_)) => {}
            Err(failure) => {
                warn!(namespace = key.0, name = key.1, %failure, "the object of a deleted workflow stays for the moment");
                if matches!(failure, Failure::Unavailable(_) | Failure::Unknown(_)) {
                    self.workflows.stays(key, uid);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_which_workflow_it_shows() {
        let key = ("ns".to_owned(), "w".to_owned());
        let shown = json!({"metadata": {"namespace": "ns", "name": "w", "uid": "u-1", "creationTimestamp": "t",
            "ownerReferences": [{}], "labels": {"a": "b"}}, "spec": {"x": 1}});
        let object = object_of(&key, &shown, &json!({"phase": "Running", "finishedAt": null}));
        assert_eq!(workflow_of(&object), Some("u-1"));
        let metadata = json!({"namespace": "ns", "name": "w", "annotations": {"tiphys.dev/workflow": "ns/w/u-1"},
            "labels": {"a": "b", "workflows.argoproj.io/controller-instanceid": "tiphys"}});
        assert_eq!(object, json!({"metadata": metadata, "spec": {"x": 1}, "status": {"phase": "Running"}}));

        let mut copy = object.clone();
        copy["metadata"]["name"] = json!("other");
        assert_eq!(workflow_of(&copy), None);
        assert_eq!(workflow_of(&shown), None);
    }
}
