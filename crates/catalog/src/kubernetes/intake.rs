//! Workflow objects: each is submitted once, its uid being its identity. What is changed of it by hand afterwards
//! (`suspend`, `shutdown`, its deletion) becomes a command.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Value, json};
use tiphys_bus::{BusError, Publish, streams};
use tiphys_core::chain;
use tiphys_core::workflow::{Command, Submission, Verb, WorkflowRecord};
use tiphys_kit::kubernetes::{Event, Failure};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::Kind;
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::Shared;
use super::kind::{names, version_of};
use crate::error::CatalogError;

/// Who submits, in the words of the journal.
const BY: &str = "kubernetes";
/// Written by Argo and by us: what stands there is over.
pub(super) const COMPLETED: &str = "workflows.argoproj.io/completed";
/// Workflows with this label belong to a controller of that name.
const INSTANCE: &str = "workflows.argoproj.io/controller-instanceid";
/// Metadata that the server writes.
const SERVER_METADATA: [&str; 6] =
    ["uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink"];
/// A name also becomes a label, and those are so long at most.
const NAME_MAX: usize = 63;
/// A cluster or bus that is away is asked again after at most this.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Namespace and name.
pub(super) type Key = (String, String);

/// The Workflow objects of the cluster.
#[derive(Default)]
pub(super) struct Workflows {
    known: Mutex<HashMap<Key, Known>>,
    again: Notify,
    /// Those whose status is to be looked at, because they became known.
    fresh: Mutex<Vec<Key>>,
    /// There are such.
    pub(super) news: Notify,
    /// Some were left to Argo.
    left: AtomicBool,
}

/// What is kept in mind of one.
#[derive(Clone, Default)]
pub(super) struct Known {
    pub(super) uid: String,
    /// Its labels and status as the cluster has them. Null once it is over.
    pub(super) live: Value,
    /// What was submitted. Null once it is over.
    spec: Value,
    suspended: bool,
    shutdown: String,
    /// It is run here.
    pub(super) ours: bool,
}

impl Workflows {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Known> {
        self.lock().get(key).cloned()
    }

    /// Those that became known since it was asked last.
    pub(super) fn fresh(&self) -> Vec<Key> {
        std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn insert(&self, key: Key, known: Known) {
        let ours = known.ours;
        self.lock().insert(key.clone(), known);
        if ours {
            self.fresh.lock().unwrap_or_else(PoisonError::into_inner).push(key);
            self.news.notify_one();
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        self.lock().remove(key);
    }

    /// What was written; what is over needs no more than its uid.
    pub(super) fn wrote(&self, key: &Key, live: Value, over: bool) {
        if let Some(known) = self.lock().get_mut(key) {
            known.live = if over { Value::Null } else { live };
            if over {
                known.spec = Value::Null;
            }
        }
    }

    /// Looks at each spec that is not over.
    pub(super) fn each_spec(&self, mut look: impl FnMut(&str, &Value)) {
        for ((namespace, _), known) in self.lock().iter().filter(|(_, known)| !known.spec.is_null()) {
            look(namespace, &known.spec);
        }
    }

    /// Argo may have gone: what was left to it is looked at.
    pub(super) fn look_again(&self) {
        if self.left.load(Ordering::Relaxed) {
            self.again.notify_one();
        }
    }
}

impl Shared {
    /// Follows the Workflows until `stop`.
    pub(super) async fn take_in(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), LOOK_AGAIN);
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.take_in_once(&mut backoff) => outcome,
            };
            match outcome {
                Ok(()) | Err(CatalogError::Cluster(Failure::Expired(_))) => {
                    debug!("workflows are read afresh")
                }
                Err(failure) => {
                    warn!(
                        error = chain(&failure),
                        "workflows of the cluster cannot be taken in for the moment"
                    );
                    match &failure {
                        CatalogError::Cluster(failure) => self.note(Kind::Workflow, failure),
                        other => self.note(Kind::Workflow, &Failure::Unavailable(other.to_string())),
                    }
                    self.changed.notify_one();
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    async fn take_in_once(&self, backoff: &mut Backoff) -> Result<(), CatalogError> {
        let objects = self.objects(Kind::Workflow).await.map_err(CatalogError::Cluster)?;
        let (all, mut version) = objects.list("").await.map_err(CatalogError::Cluster)?;
        self.workflows.left.store(false, Ordering::Relaxed);
        let there: std::collections::HashSet<Key> = all.iter().map(names).collect();
        let gone: Vec<Key> =
            self.workflows.lock().keys().filter(|key| !there.contains(*key)).cloned().collect();
        for key in gone {
            self.gone(&key).await?;
        }
        for object in all {
            self.seen(object).await?;
        }
        self.is_read(Kind::Workflow);
        self.changed.notify_one();
        loop {
            let mut news = objects.watch("", &version).await.map_err(CatalogError::Cluster)?;
            let mut told = false;
            loop {
                let event = tokio::select! {
                    event = news.next() => event,
                    () = self.workflows.again.notified() => return Ok(()),
                };
                let Some(event) = event else { break };
                (told, _) = (true, backoff.reset());
                match event.map_err(CatalogError::Cluster)? {
                    Event::There(object) => {
                        version_of(&object, &mut version);
                        self.seen(object).await?;
                    }
                    Event::Gone(object) => {
                        version_of(&object, &mut version);
                        self.gone(&names(&object)).await?;
                    }
                    Event::Quiet(newer) => version = newer,
                }
            }
            if !told {
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }

    /// A Workflow object is there, new or changed.
    async fn seen(&self, object: Value) -> Result<(), CatalogError> {
        let key = names(&object);
        let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        match self.workflows.get(&key) {
            Some(known) if known.uid == uid => return self.changed_by_hand(&key, known, &object).await,
            Some(_) => self.gone(&key).await?,
            None => {}
        }
        let labels = &object["metadata"]["labels"];
        let phase = object["status"]["phase"].as_str().unwrap_or_default();
        let over = labels[COMPLETED] == "true" || matches!(phase, "Succeeded" | "Failed" | "Error");
        let mut known = Known { uid: uid.clone(), ..Known::default() };
        if self.is_argos(Kind::Workflow) {
            self.workflows.left.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if !over && labels[INSTANCE].is_null() {
            known.live = live_of(&object);
            known.spec = object["spec"].clone();
            known.suspended = object["spec"]["suspend"].as_bool().unwrap_or_default();
            known.shutdown = object["spec"]["shutdown"].as_str().unwrap_or_default().to_owned();
            let begun = !phase.is_empty() && phase != "Pending";
            known.ours = self.submit(&key, object, &uid, begun).await?;
        }
        self.workflows.insert(key, known);
        Ok(())
    }

    /// Hands a Workflow to the executor. Whether it is run here.
    async fn submit(&self, key: &Key, object: Value, uid: &str, begun: bool) -> Result<bool, CatalogError> {
        let (namespace, name) = key;
        let subject = streams::subject(streams::WORKFLOWS, &[namespace, name]);
        let first = self.bus.read(streams::WORKFLOWS, &subject, 1, 1).await?;
        if let Some(first) = first.first() {
            let there = match serde_json::from_slice(&first.payload) {
                Ok(WorkflowRecord::Submitted(there)) => there,
                _ => return Ok(false),
            };
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
                "a workflow {namespace}/{name} that is no object of the cluster exists: delete it, or use another name"
            );
            self.refuse(key, &why).await;
            return Ok(false);
        }
        if begun {
            warn!(namespace, name, "a Workflow was begun by somebody else, and is left alone");
            return Ok(false);
        }
        if name.len() > NAME_MAX {
            let why =
                format!("the name of a workflow becomes a label, and has at most {NAME_MAX} characters");
            self.refuse(key, &why).await;
            return Ok(false);
        }
        let created = object["metadata"]["creationTimestamp"].as_str();
        let created = created.and_then(|text| text.parse().ok()).unwrap_or_else(|| self.clock.now());
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
        match self.bus.publish(Publish::new(subject, record).expect_last(0)).await {
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
    async fn refuse(&self, key: &Key, why: &str) {
        warn!(namespace = key.0, name = key.1, why, "a Workflow of the cluster is not run");
        let status = json!({"phase": "Error", "message": why});
        let labels = json!({COMPLETED: "true", "workflows.argoproj.io/phase": "Error"});
        if let Err(failure) = self.write(key, &json!({"labels": labels}), Some(&status)).await {
            warn!(namespace = key.0, name = key.1, %failure, "its status cannot be written");
        }
    }

    /// What somebody changed of an object that is known.
    async fn changed_by_hand(&self, key: &Key, mut known: Known, object: &Value) -> Result<(), CatalogError> {
        if !known.ours || known.live.is_null() {
            return Ok(());
        }
        let suspended = object["spec"]["suspend"].as_bool().unwrap_or_default();
        let shutdown = object["spec"]["shutdown"].as_str().unwrap_or_default().to_owned();
        if suspended != known.suspended {
            let resume = Verb::Resume { node_field_selector: String::new() };
            let verb = if suspended { Verb::Suspend } else { resume };
            self.command(key, &known.uid, verb, "spec.suspend was changed").await?;
            known.suspended = suspended;
        }
        if shutdown != known.shutdown {
            let verb = match shutdown.as_str() {
                "Stop" => Some(Verb::Stop { message: "stopped by spec.shutdown".into() }),
                "Terminate" => Some(Verb::Terminate),
                _ => None,
            };
            if let Some(verb) = verb {
                self.command(key, &known.uid, verb, "spec.shutdown was changed").await?;
            }
            known.shutdown = shutdown;
        }
        known.live = live_of(object);
        if let Some(there) = self.workflows.lock().get_mut(key)
            && there.uid == known.uid
            && !there.live.is_null()
        {
            *there = known;
        }
        Ok(())
    }

    /// What was over runs again: its object is read afresh.
    pub(super) async fn revive(&self, key: &Key) -> Result<Option<Known>, Failure> {
        let object = self.objects_in(Kind::Workflow, &key.0).await?.get(&key.1).await?;
        let Some(object) = object else { return Ok(None) };
        let mut known = self.workflows.lock();
        let there = known.get_mut(key).filter(|known| object["metadata"]["uid"] == known.uid.as_str());
        let Some(there) = there else { return Ok(None) };
        there.live = live_of(&object);
        there.spec = object["spec"].clone();
        Ok(Some(there.clone()))
    }

    /// A Workflow object is gone: so is its workflow.
    async fn gone(&self, key: &Key) -> Result<(), CatalogError> {
        let Some(known) = self.workflows.get(key) else { return Ok(()) };
        if known.ours {
            self.command(key, &known.uid, Verb::Delete, "its object was deleted").await?;
        }
        self.workflows.forget(key);
        Ok(())
    }

    /// Asks the workflow of this uid, if it is there.
    async fn command(&self, key: &Key, uid: &str, verb: Verb, reason: &str) -> Result<(), CatalogError> {
        let subject = streams::subject(streams::WORKFLOWS, &[&key.0, &key.1]);
        let first = self.bus.read(streams::WORKFLOWS, &subject, 1, 1).await?;
        let same = first.first().is_some_and(|first| {
            matches!(serde_json::from_slice(&first.payload), Ok(WorkflowRecord::Submitted(there)) if there.uid == uid)
        });
        if !same {
            return Ok(());
        }
        let at = self.clock.now();
        let record = WorkflowRecord::Command(Command { verb, at, by: BY.into(), reason: reason.into() });
        self.bus.publish(Publish::new(subject, encode(&record)?)).await?;
        Ok(())
    }
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

/// What of an object is written by us.
fn live_of(object: &Value) -> Value {
    let labels = &object["metadata"]["labels"];
    let ours = ["workflows.argoproj.io/phase", COMPLETED];
    let labels: serde_json::Map<String, Value> = ours
        .into_iter()
        .filter(|name| labels[*name].is_string())
        .map(|name| (name.to_owned(), labels[name].clone()))
        .collect();
    json!({"labels": labels, "status": object["status"]})
}
