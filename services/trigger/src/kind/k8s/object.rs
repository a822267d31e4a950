//! Creating, changing and deleting objects, so that doing it again for the same firing changes nothing.

use serde_json::{Value as Json, json};
use tiphys_kit::kubernetes::{
    Account, Cluster, Deletion, Failure, Objects, PatchKind, Precondition, Removal,
};
use tiphys_manifest::Kind;

use super::super::Context;
use super::super::submission::{self, NAME_POLICY};
use crate::apply::apply;
use crate::error::Error;
use crate::ledger::Effect;

/// The annotation, and the label of what is created, that tell which firing did it.
const FIRING: &str = "tiphys.dev/firing";
/// How often somebody may change an object between our reading and our writing.
const CONFLICTS: usize = 5;

/// What is acted on.
struct Aim<'a> {
    context: &'a Context<'a>,
    objects: Objects,
    name: String,
    resource: Json,
}

/// Carries an operation out.
pub(super) async fn operate(
    context: &Context<'_>,
    cluster: &Cluster,
    operation: &str,
    source: Json,
) -> Result<Effect, Error> {
    let account = account(context)?;
    let outcome = act(context, cluster, &account, operation, source).await;
    outcome.map_err(|refusal| match refusal {
        Refusal::Trigger(error) => error,
        Refusal::Cluster(failure) => {
            if matches!(failure, Failure::Unknown(_)) {
                cluster.distrust(&account);
            }
            meaning(failure)
        }
    })
}

/// Why it was not done: what the trigger says, or what the cluster does.
enum Refusal {
    Trigger(Error),
    Cluster(Failure),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Trigger(error)
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Cluster(failure)
    }
}

fn meaning(failure: Failure) -> Error {
    match failure {
        Failure::NotAllowed(why) | Failure::Forbidden(why) => Error::Forbidden(why),
        Failure::Missing(why) => Error::Missing(why),
        Failure::Exists(why) => Error::Taken(why),
        Failure::Refused(why) => Error::Refused(why),
        Failure::Unknown(why)
        | Failure::Conflict(why)
        | Failure::Expired(why)
        | Failure::Unavailable(why) => Error::Unavailable(why),
    }
}

/// As whom: the Sensor's own service account.
fn account(context: &Context<'_>) -> Result<Account, Error> {
    let firing = context.firing;
    let sensor = context.catalog.get(Kind::Sensor, &firing.namespace, &firing.sensor).ok_or_else(|| {
        Error::Missing(format!(
            "Sensor `{}/{}` does not exist any more, so that it is not known as which service account to act",
            firing.namespace, firing.sensor
        ))
    })?;
    let named = sensor.document.pointer("/spec/template/serviceAccountName").and_then(Json::as_str);
    Ok(Account::new(&firing.namespace, named.unwrap_or_default()))
}

async fn act(
    context: &Context<'_>,
    cluster: &Cluster,
    account: &Account,
    operation: &str,
    source: Json,
) -> Result<Effect, Refusal> {
    let text = |value: &Json, pointer: &str| {
        value.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned()
    };
    let is_live = operation == "update"
        && context.template.get("liveObject").and_then(Json::as_bool).unwrap_or_default();
    let mut resource = source;
    // Of a live object the source only says which one; the parameters change what is there.
    if !is_live {
        apply(&mut resource, &context.firing.parameters)?;
    }
    let (api_version, kind) = (text(&resource, "/apiVersion"), text(&resource, "/kind"));
    if api_version.is_empty() || kind.is_empty() {
        return Err(Error::Template("the resource has no `apiVersion` or no `kind`".into()).into());
    }
    let found = cluster.resource(&api_version, &kind).await?;
    let namespace = match text(&resource, "/metadata/namespace") {
        own if own.is_empty() => context.firing.namespace.clone(),
        own => own,
    };
    let objects = cluster.objects_as(account, &found, &namespace).await?;
    if let Some(metadata) = resource.get_mut("metadata").and_then(Json::as_object_mut) {
        if found.namespaced {
            metadata.insert("namespace".into(), namespace.into());
        } else {
            metadata.remove("namespace");
        }
    }
    let name = text(&resource, "/metadata/name");
    if name.is_empty() && operation != "create" {
        return Err(
            Error::Template(format!("`{operation}` needs `metadata.name` of what it works on")).into()
        );
    }
    let mut aim = Aim { context, objects, name, resource };
    match operation {
        "create" => aim.create().await,
        "update" if is_live => aim.update_live().await,
        "update" => aim.update().await,
        "patch" => aim.patch().await,
        "delete" => aim.delete().await,
        other => Err(Error::Template(format!(
            "`{other}` is no operation of k8s: it is create, update, patch or delete"
        ))
        .into()),
    }
}

impl Aim<'_> {
    fn done(&self, verb: &str, object: &Json) -> Effect {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let name = Some(text("name")).filter(|name| !name.is_empty()).unwrap_or_else(|| self.name.clone());
        Effect::Object { verb: verb.to_owned(), object: self.objects.named(&name), uid: text("uid") }
    }

    /// Whether this firing made or changed an object.
    fn is_ours(&self, object: &Json) -> bool {
        let metadata = &object["metadata"];
        let id = self.context.firing.id.0.as_str();
        metadata["labels"][FIRING] == id || metadata["annotations"][FIRING] == id
    }

    async fn create(&mut self) -> Result<Effect, Refusal> {
        let id = &self.context.firing.id.0;
        let short = &id[..id.len().min(16)];
        let metadata = submission::object(&mut self.resource, "metadata")?;
        let policy = metadata.get("annotations").and_then(|a| a.get(NAME_POLICY)).and_then(Json::as_str);
        let policy = policy.unwrap_or_default().to_owned();
        if self.name.is_empty() {
            let prefix = metadata.get("generateName").and_then(Json::as_str).unwrap_or_default();
            if prefix.is_empty() {
                let neither = "the resource has neither `metadata.name` nor `metadata.generateName`";
                return Err(Error::Template(neither.into()).into());
            }
            self.name = format!("{prefix}{short}");
        } else if policy == "suffix" {
            self.name = format!("{}-{short}", self.name);
        }
        metadata.insert("name".into(), self.name.clone().into());
        submission::label(self.context, submission::nested(metadata, "labels")?);
        self.put_new(&policy).await
    }

    /// Creates it, or finds that this firing did.
    async fn put_new(&self, policy: &str) -> Result<Effect, Refusal> {
        match self.objects.create(&self.resource).await {
            Ok(made) => Ok(self.done("created", &made)),
            Err(Failure::Exists(said)) => match self.objects.get(&self.name).await {
                Ok(Some(live)) if self.is_ours(&live) => Ok(self.done("created", &live)),
                Err(failure @ Failure::Unavailable(_)) => Err(failure.into()),
                _ if policy == "skip" => Ok(Effect::Skipped {
                    reason: format!(
                        "{} exists, and its name policy is `skip`",
                        self.objects.named(&self.name)
                    ),
                }),
                _ => Err(Error::Taken(format!(
                    "{said}; delete it and retry the dead letter, or use `generateName`, or set the annotation \
                     `{NAME_POLICY}: suffix` (or `skip`)"
                ))
                .into()),
            },
            Err(failure) => Err(failure.into()),
        }
    }

    /// Merges the resource over what is there; makes it where nothing is.
    async fn update(&mut self) -> Result<Effect, Refusal> {
        for _ in 0..CONFLICTS {
            let Some(mut live) = self.objects.get(&self.name).await? else {
                return self.make_instead().await;
            };
            merge(&mut live, &self.resource);
            match self.objects.replace(&self.name, &live).await {
                Ok(updated) => return Ok(self.done("updated", &updated)),
                Err(Failure::Conflict(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(self.busy())
    }

    /// Applies the parameters to what is there.
    async fn update_live(&mut self) -> Result<Effect, Refusal> {
        for _ in 0..CONFLICTS {
            let live = self.objects.get(&self.name).await?;
            let mut live = live.ok_or_else(|| {
                Error::Missing(format!(
                    "{} does not exist: liveObject needs it",
                    self.objects.named(&self.name)
                ))
            })?;
            // What is appended may not be appended twice.
            if self.is_ours(&live) {
                return Ok(self.done("updated", &live));
            }
            apply(&mut live, &self.context.firing.parameters)?;
            let metadata = submission::object(&mut live, "metadata")?;
            let annotations = submission::nested(metadata, "annotations")?;
            annotations.insert(FIRING.into(), json!(self.context.firing.id.0));
            match self.objects.replace(&self.name, &live).await {
                Ok(updated) => return Ok(self.done("updated", &updated)),
                Err(Failure::Conflict(_)) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(self.busy())
    }

    fn busy(&self) -> Refusal {
        let named = self.objects.named(&self.name);
        Error::Unavailable(format!("{named} is changed by others all the time")).into()
    }

    async fn patch(&mut self) -> Result<Effect, Refusal> {
        let strategy = self.context.template.get("patchStrategy").and_then(Json::as_str).unwrap_or_default();
        let kind = match strategy {
            "" | "merge" | "application/merge-patch+json" => PatchKind::Merge,
            "strategic" | "application/strategic-merge-patch+json" => PatchKind::Strategic,
            "apply" | "application/apply-patch+yaml" => PatchKind::Apply,
            "json" | "application/json-patch+json" => {
                return Err(Error::Template(
                    "a JSON patch is a list of operations, and `source` gives an object: use \
                     `patchStrategy: application/merge-patch+json`"
                        .into(),
                )
                .into());
            }
            other => return Err(Error::Template(format!("`{other}` is no patchStrategy")).into()),
        };
        match self.objects.patch(&self.name, "", kind, &self.resource).await {
            Ok(patched) => Ok(self.done("patched", &patched)),
            Err(Failure::Missing(_)) => self.make_instead().await,
            Err(failure) => Err(failure.into()),
        }
    }

    /// What is to be changed is not there: it is made, as Argo does.
    async fn make_instead(&mut self) -> Result<Effect, Refusal> {
        let metadata = submission::object(&mut self.resource, "metadata")?;
        let annotations = submission::nested(metadata, "annotations")?;
        annotations.insert(FIRING.into(), json!(self.context.firing.id.0));
        match self.objects.create(&self.resource).await {
            Ok(made) => Ok(self.done("created", &made)),
            // It came in between: the next attempt changes it.
            Err(Failure::Exists(said)) => Err(Error::Unavailable(said).into()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn delete(&self) -> Result<Effect, Refusal> {
        let meant = Precondition::of(&self.resource);
        let named = self.objects.named(&self.name);
        match self.objects.delete_meant(&self.name, &meant, &Removal::default()).await? {
            Deletion::Deleted(uid) => Ok(Effect::Object { verb: "deleted".into(), object: named, uid }),
            Deletion::Absent => {
                Ok(Effect::Skipped { reason: format!("{named} is not there, nothing was deleted") })
            }
            Deletion::Another(why) => Ok(Effect::Skipped { reason: format!("not deleted: {why}") }),
        }
    }
}

/// Writes a document over another: mappings are merged, everything else is replaced.
fn merge(into: &mut Json, from: &Json) {
    match (into, from) {
        (Json::Object(into), Json::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Json::Null), value);
            }
        }
        (into, from) => *into = from.clone(),
    }
}
