//! From a Workflow object to the journal of its workflow.

use serde_json::{Value, json};
use tiphys_bus::{BusError, Publish, streams};
use tiphys_core::workflow::{Command, Submission, Verb, WorkflowRecord};
use tiphys_kit::kubernetes::Failure;
use tiphys_manifest::Kind;
use tracing::{info, warn};

use super::Desk;
use super::known::{COMPLETED, Key, PHASE};
use crate::error::CatalogError;

/// Who submits, in the words of the journal.
pub(super) const BY: &str = "kubernetes";
/// Metadata that the server writes.
pub(super) const SERVER_METADATA: [&str; 6] =
    ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"];
/// A name also becomes a label, and those are so long at most.
const NAME_MAX: usize = 63;

impl Desk {
    /// Hands a Workflow to the executor. Whether it is run here.
    pub(super) async fn submit(
        &self,
        key: &Key,
        object: Value,
        uid: &str,
        begun: bool,
    ) -> Result<bool, CatalogError> {
        let (namespace, name) = key;
        if let Some(there) = self.submitted(key).await? {
            if there.uid == uid {
                return Ok(true);
            }
            if there.by == BY {
                // The journal of an object that had the name before: it goes, and then this one begins.
                self.command(key, &there.uid, Verb::Delete, "its object was deleted").await?;
                return Err(CatalogError::Bus(BusError::Unavailable {
                    reason: format!("workflow {namespace}/{name} of before is being deleted"),
                }));
            }
            let why = format!(
                "a workflow {namespace}/{name} that is not this object's exists: delete it, or use another name"
            );
            self.refuse(key, uid, &why).await;
            return Ok(false);
        }
        if begun {
            warn!(namespace, name, "a Workflow was begun by somebody else, and is left alone");
            return Ok(false);
        }
        if name.len() > NAME_MAX {
            let why =
                format!("the name of a workflow becomes a label, and has at most {NAME_MAX} characters");
            self.refuse(key, uid, &why).await;
            return Ok(false);
        }
        let created = object["metadata"]["creationTimestamp"].as_str();
        let created = created.and_then(|text| text.parse().ok()).unwrap_or_else(|| self.shared.clock.now());
        let submission = Submission {
            version: 1,
            uid: uid.to_owned(),
            namespace: namespace.clone(),
            name: name.clone(),
            workflow: cleaned(object),
            at: created,
            by: BY.into(),
            firing: None,
        };
        let record = encode(&WorkflowRecord::Submitted(submission))?;
        match self.bus.publish(Publish::new(subject(key), record).expect_last(0)).await {
            Ok(_) => info!(namespace, name, uid, "a Workflow of the cluster is submitted"),
            // Somebody else was quicker: what stands there is looked at again.
            Err(BusError::Conflict { .. }) => {
                return Box::pin(self.submit(key, Value::Null, uid, true)).await;
            }
            Err(failure) => return Err(failure.into()),
        }
        Ok(true)
    }

    /// Says on the object why it is not run.
    async fn refuse(&self, key: &Key, uid: &str, why: &str) {
        warn!(namespace = key.0, name = key.1, why, "a Workflow of the cluster is not run");
        if let Err(failure) = self.write_refusal(key, uid, why).await {
            warn!(namespace = key.0, name = key.1, %failure, "its status cannot be written");
        }
    }

    async fn write_refusal(&self, key: &Key, uid: &str, why: &str) -> Result<(), Failure> {
        // As it is now: whoever takes over may run it before this is written.
        let object = self.shared.objects_in(Kind::Workflow, &key.0).await?.get(&key.1).await?;
        let is_it = |object: &Value| object["metadata"]["uid"] == uid && object["status"]["phase"].is_null();
        let Some(object) = object.filter(is_it) else { return Ok(()) };
        let status = json!({"phase": "Error", "message": why});
        let labels = json!({COMPLETED: "true", PHASE: "Error"});
        let version = &object["metadata"]["resourceVersion"];
        let metadata = json!({"uid": uid, "resourceVersion": version, "labels": labels});
        self.patch(key, &metadata, Some(&status)).await.map(drop)
    }

    /// Asks the workflow of this uid. Whether it is there.
    pub(super) async fn command(
        &self,
        key: &Key,
        uid: &str,
        verb: Verb,
        reason: &str,
    ) -> Result<bool, CatalogError> {
        if self.submitted(key).await?.is_none_or(|there| there.uid != uid) {
            return Ok(false);
        }
        let at = self.shared.clock.now();
        let record = WorkflowRecord::Command(Command { verb, at, by: BY.into(), reason: reason.into() });
        self.bus.publish(Publish::new(subject(key), encode(&record)?)).await?;
        Ok(true)
    }

    /// The uid of the workflow that a journal is of.
    pub(super) async fn uid_of_journal(&self, key: &Key) -> Result<Option<String>, CatalogError> {
        if let Some(brief) = self.shown.brief(&key.0, &key.1) {
            return Ok(Some(brief.uid));
        }
        // What is shown may be a little behind.
        Ok(self.submitted(key).await?.map(|there| there.uid))
    }

    /// The submission that a journal begins with.
    async fn submitted(&self, key: &Key) -> Result<Option<Submission>, CatalogError> {
        let first = self.bus.read(streams::WORKFLOWS, &subject(key), 1, 1).await?;
        let record = first.first().and_then(|first| serde_json::from_slice(&first.payload).ok());
        Ok(record.and_then(|record| match record {
            WorkflowRecord::Submitted(submission) => Some(submission),
            _ => None,
        }))
    }
}

fn subject((namespace, name): &Key) -> String {
    streams::subject(streams::WORKFLOWS, &[namespace, name])
}

fn encode(record: &WorkflowRecord) -> Result<Vec<u8>, CatalogError> {
    serde_json::to_vec(record).map_err(|error| {
        CatalogError::Bus(BusError::Invalid { reason: format!("a workflow cannot be encoded: {error}") })
    })
}

/// The object as its author wrote it.
fn cleaned(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.remove("status");
        members.insert("apiVersion".into(), json!("argoproj.io/v1alpha1"));
        members.insert("kind".into(), json!("Workflow"));
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, _| !SERVER_METADATA.contains(&name.as_str()));
    }
    object
}
