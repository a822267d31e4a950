//! One action, so that doing it again changes nothing.

use serde_json::{Value, json};
use tiphys_catalog::kubernetes::workflow_of;
use tiphys_kit::kubernetes::{Account, Cluster, Deletion, Failure, Objects, PatchKind, Removal};

use super::pods::Log;
use super::target::Target;
use super::{Action, Flags, MADE_BY, Merge, ResourceSpec};
use crate::launcher::PodSpec;

/// How often somebody may change an object between our reading and our writing.
const CONFLICTS: usize = 5;
/// Digits of the attempt's key that end a generated name.
const SUFFIX: usize = 10;
/// The longest beginning of a generated name.
const PREFIX: usize = 63 - SUFFIX;

/// What is needed to act.
pub(super) struct Act<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) pod: &'a PodSpec,
    pub(super) spec: &'a ResourceSpec,
    pub(super) account: Account,
    pub(super) flags: Flags,
    pub(super) documents: Vec<Value>,
    pub(super) log: &'a Log,
}

impl Act<'_> {
    /// The objects of a target's kind and namespace, as the step's account.
    pub(super) async fn objects(&self, target: &Target) -> Result<Objects, Failure> {
        self.cluster.objects_as(&self.account, &target.resource, &target.namespace).await
    }

    /// Does it. The object it was done to, as it is then; none where there is none.
    pub(super) async fn perform(&self) -> Result<Option<(Target, Value)>, Failure> {
        if self.spec.action == Action::Delete {
            self.delete().await?;
            return Ok(None);
        }
        let mut target = self.only_target().await?;
        let object = match self.spec.action {
            Action::Get => {
                let objects = self.objects(&target).await?;
                match objects.get(&target.name).await? {
                    Some(object) => object,
                    None if self.flags.ignore_not_found => return Ok(None),
                    None => {
                        return Err(Failure::Missing(format!("{} not found", objects.named(&target.name))));
                    }
                }
            }
            Action::Create => self.create(&target).await?,
            Action::Apply => self.apply(&target).await?,
            Action::Replace => self.replace(&target).await?,
            Action::Patch => self.patch(&target).await?,
            Action::Delete => return Ok(None),
        };
        target.name = object["metadata"]["name"].as_str().unwrap_or(&target.name).to_owned();
        Ok(Some((target, object)))
    }

    fn document(&self) -> Value {
        self.documents.first().cloned().unwrap_or(Value::Null)
    }

    /// Whether an object was made by this attempt.
    fn is_ours(&self, object: &Value) -> bool {
        object["metadata"]["annotations"][MADE_BY] == self.pod.key.0.as_str()
    }

    fn mark(&self, object: &mut Value) {
        let annotations = &mut object["metadata"]["annotations"];
        if !annotations.is_object() {
            *annotations = json!({});
        }
        annotations[MADE_BY] = json!(self.pod.key.0);
    }

    fn say(&self, target: &Target, name: &str, what: &str) {
        let api = &target.resource.api;
        let group = if api.group.is_empty() { String::new() } else { format!(".{}", api.group) };
        self.log.say(format!("{}{group}/{name} {what}", api.kind.to_ascii_lowercase()));
    }

    async fn create(&self, target: &Target) -> Result<Value, Failure> {
        let mut object = self.document();
        let mut name = target.name.clone();
        if name.is_empty() {
            let prefix = object["metadata"]["generateName"].as_str().unwrap_or_default();
            if prefix.is_empty() {
                return Err(Failure::Refused(
                    "the manifest has neither metadata.name nor generateName".into(),
                ));
            }
            let prefix: String = prefix.chars().take(PREFIX).collect();
            let key: String = self.pod.key.0.chars().take(SUFFIX).collect();
            name = format!("{prefix}{key}");
        }
        object["metadata"]["name"] = json!(name);
        self.mark(&mut object);
        self.own(target, &mut object).await?;
        let objects = self.objects(target).await?;
        match objects.create(&object).await {
            Ok(made) => {
                self.say(target, &name, "created");
                Ok(made)
            }
            Err(Failure::Exists(said)) => match objects.get(&name).await {
                Ok(Some(live)) if self.is_ours(&live) => {
                    self.say(target, &name, "was created before");
                    Ok(live)
                }
                Err(failure @ Failure::Unavailable(_)) => Err(failure),
                _ => Err(Failure::Exists(said)),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn apply(&self, target: &Target) -> Result<Value, Failure> {
        let mut object = self.document();
        named(target)?;
        self.own(target, &mut object).await?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        let objects = self.objects(target).await?;
        let applied = objects.patch(&target.name, &self.flags.subresource, PatchKind::Apply, &object).await?;
        self.say(target, &target.name, "serverside-applied");
        Ok(applied)
    }

    async fn replace(&self, target: &Target) -> Result<Value, Failure> {
        let mut object = self.document();
        named(target)?;
        self.mark(&mut object);
        self.own(target, &mut object).await?;
        let objects = self.objects(target).await?;
        let versioned = object["metadata"]["resourceVersion"].is_string();
        for attempt in 1.. {
            if !versioned {
                let live = objects.get(&target.name).await?;
                let live = live.ok_or_else(|| {
                    Failure::Missing(format!("{} not found: replace needs it", objects.named(&target.name)))
                })?;
                object["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
            }
            match objects.replace(&target.name, &object).await {
                Ok(replaced) => {
                    self.say(target, &target.name, "replaced");
                    return Ok(replaced);
                }
                Err(Failure::Conflict(said)) => {
                    let live = objects.get(&target.name).await?;
                    if let Some(live) = live.filter(|live| self.is_ours(live)) {
                        self.say(target, &target.name, "was replaced before");
                        return Ok(live);
                    }
                    if versioned || attempt >= CONFLICTS {
                        return Err(Failure::Conflict(said));
                    }
                }
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Conflict(format!("{} changes too often", target.name)))
    }

    async fn patch(&self, target: &Target) -> Result<Value, Failure> {
        named(target)?;
        let objects = self.objects(target).await?;
        let mut patch = self.document();
        let kind = match self.spec.merge {
            Merge::Strategic => PatchKind::Strategic,
            Merge::Merge => PatchKind::Merge,
            Merge::Json => PatchKind::Json,
        };
        // Operations may not be done twice, so the object tells whether they were. A subresource carries no annotations.
        if kind == PatchKind::Json && self.flags.subresource.is_empty() {
            let Some(operations) = patch.as_array_mut() else {
                return Err(Failure::Refused(
                    "a patch with mergeStrategy json is a list of operations".into(),
                ));
            };
            let live = objects.get(&target.name).await?;
            let live = live.ok_or_else(|| {
                Failure::Missing(format!("{} not found: a patch needs it", objects.named(&target.name)))
            })?;
            if self.is_ours(&live) {
                self.say(target, &target.name, "was patched before");
                return Ok(live);
            }
            let key = self.pod.key.0.as_str();
            let pointer = format!("/metadata/annotations/{}", MADE_BY.replace('/', "~1"));
            operations.insert(
                0,
                if live["metadata"]["annotations"].is_object() {
                    json!({"op": "add", "path": pointer, "value": key})
                } else {
                    json!({"op": "add", "path": "/metadata/annotations", "value": {MADE_BY: key}})
                },
            );
        }
        let patched = objects.patch(&target.name, &self.flags.subresource, kind, &patch).await?;
        self.say(target, &target.name, "patched");
        Ok(patched)
    }

    async fn delete(&self) -> Result<(), Failure> {
        let how = Removal { uid: None, grace: self.flags.grace, propagation: self.flags.cascade.clone() };
        let mut wrong = Vec::new();
        let mut going = Vec::new();
        for target in self.all_targets().await? {
            let objects = self.objects(&target).await?;
            match objects.delete_meant(&target.name, &target.meant, &how).await? {
                Deletion::Deleted(uid) => {
                    self.say(&target, &target.name, "deleted");
                    going.push((target, uid));
                }
                Deletion::Absent => self.say(&target, &target.name, "is not there"),
                Deletion::Another(why) => {
                    self.log.say(format!("not deleted: {why}"));
                    wrong.push(why);
                }
            }
        }
        if !self.flags.no_wait {
            for (target, uid) in going {
                self.wait_gone(&target, &uid).await?;
            }
        }
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(Failure::Refused(format!("not deleted: {}", wrong.join("; ")))),
        }
    }

    /// Makes the Workflow object the owner, where there is one: an owner that does not exist would be the end of what it
    /// owns.
    async fn own(&self, target: &Target, object: &mut Value) -> Result<(), Failure> {
        if !self.spec.set_owner_reference {
            return Ok(());
        }
        let pod = self.pod;
        let live = match self.cluster.resource("argoproj.io/v1alpha1", "Workflow").await {
            Ok(resource) => self.cluster.objects(&resource, &pod.namespace).get(&pod.workflow).await?,
            Err(Failure::Missing(_)) => None,
            Err(failure) => return Err(failure),
        };
        // An object that was made to show the workflow has a uid of its own.
        let uid = |live: &Value| live["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        let of = |live: &Value| workflow_of(live).map_or_else(|| uid(live), str::to_owned);
        let owner = live.filter(|live| of(live) == pod.workflow_uid && target.namespace == pod.namespace);
        let Some(owner) = owner.as_ref().map(uid) else {
            self.log.say("no owner reference: the workflow is no object of that namespace".into());
            return Ok(());
        };
        let owners = &mut object["metadata"]["ownerReferences"];
        if !owners.is_array() {
            *owners = json!([]);
        }
        if let Some(owners) = owners.as_array_mut() {
            owners.push(json!({
                "apiVersion": "argoproj.io/v1alpha1",
                "kind": "Workflow",
                "name": pod.workflow,
                "uid": owner,
                "controller": true,
                "blockOwnerDeletion": true,
            }));
        }
        Ok(())
    }
}

fn named(target: &Target) -> Result<(), Failure> {
    if target.name.is_empty() {
        return Err(Failure::Refused("the manifest has no metadata.name, which this action needs".into()));
    }
    Ok(())
}
