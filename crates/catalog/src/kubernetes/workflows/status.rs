//! The status of workflows, written to their objects: phase, message, nodes and progress, and Argo's two labels. At most
//! once a second, and at the end; only what differs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::{Map, Value, json};
use tiphys_bus::{BusError, Message, streams};
use tiphys_kit::kubernetes::{Failure, PatchKind};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::Kind;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Desk;
use super::known::{COMPLETED, Key, Known, PHASE, live_of};
use super::patch;

/// Between two writes to one object.
const PACE: Duration = Duration::from_secs(1);
/// How soon is looked again for what was told and is not seen yet.
const SOON: Duration = Duration::from_millis(50);
/// How often so, before it is done at the usual pace.
const TRIES: u32 = 5;
/// How often at all, for a workflow that is never shown.
const LOOKS: u32 = 60;
/// What cannot be written as the cluster is now is tried again after this.
const LATER: Duration = Duration::from_secs(30);
/// How long one wait for news takes at most.
const WAIT: Duration = Duration::from_secs(30);
/// Records read at once.
const BATCH: usize = 512;
/// Objects written at once.
const AT_ONCE: usize = 16;
/// The largest status that is written whole; etcd takes 1.5 MiB of an object.
const MAX_STATUS: usize = 1 << 20;

/// Writes the status of Workflow objects.
pub(super) struct StatusWriter {
    desk: Arc<Desk>,
    due: BTreeMap<Key, Due>,
    written: HashMap<Key, Instant>,
    /// When what could not be deleted is tried again.
    cleared: Instant,
}

/// When an object is written.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    /// Something was told that is not seen yet; how often was looked.
    looks: Option<u32>,
}

/// What came of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Looked {
    /// It is not shown yet, or not any more.
    Unseen,
    /// The object says so already.
    Same,
    /// It was written.
    Written,
    /// Its end stands in the object.
    Over,
    /// The object changed meanwhile.
    Changed,
    /// It cannot be written as the cluster is now.
    Later,
    /// It is not to be written.
    Nothing,
}

impl StatusWriter {
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { desk, due: BTreeMap::new(), written: HashMap::new(), cleared: Instant::now() }
    }

    /// Follows the journals until `stop`. A bus or cluster that is away is waited for.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut position = None;
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.step(&mut position) => outcome,
            };
            match outcome {
                Ok(()) => backoff.reset(),
                Err(BusError::Closed) => return,
                Err(failure) => {
                    warn!(%failure, "the status of workflows waits for the bus");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
            }
        }
    }

    async fn step(&mut self, position: &mut Option<u64>) -> Result<(), BusError> {
        let desk = self.desk.clone();
        let from = match *position {
            Some(from) => from,
            None => {
                // What stands there already is looked at when all objects are known.
                let from = desk.bus.info(streams::WORKFLOWS).await?.last;
                *position = Some(from);
                from
            }
        };
        let stale = desk.workflows.has_stale().then_some(self.cleared + PACE);
        let next = self.due.values().map(|due| due.at).chain(stale).min();
        let wait = next.map_or(WAIT, |next| next.saturating_duration_since(Instant::now()).min(WAIT));
        if !wait.is_zero() {
            tokio::select! {
                waited = desk.bus.wait_for(streams::WORKFLOWS, from, wait) => drop(waited?),
                () = desk.workflows.news.notified() => {}
            }
        }
        for key in desk.workflows.fresh() {
            let at = Instant::now() + PACE;
            self.due.entry(key).or_insert(Due { at, looks: None });
        }
        let news = desk.bus.read(streams::WORKFLOWS, "", from + 1, BATCH).await?;
        for message in &news {
            self.note(message).await?;
            *position = Some(message.sequence);
        }
        self.write_due().await;
        self.clear().await;
        Ok(())
    }

    /// Deletes what could not be deleted when it was to be.
    async fn clear(&mut self) {
        if Instant::now() < self.cleared + PACE {
            return;
        }
        for (key, uid) in self.desk.workflows.stale() {
            self.desk.remove(&key, &uid).await;
        }
        self.cleared = Instant::now();
    }

    async fn note(&mut self, message: &Message) -> Result<(), BusError> {
        if let Some(key) = message.subject.strip_suffix(".deleted").and_then(names_of) {
            return self.deleted(key, message.sequence).await;
        }
        let Some(key) = names_of(&message.subject) else { return Ok(()) };
        // The last record of a run says so. What only looks so is looked at a little early.
        let ends = message.payload.windows(7).any(|window| window == b"\"ended\"");
        let now = Instant::now();
        let at = self.written.get(&key).map_or(now + PACE, |written| *written + PACE).max(now);
        let due = self.due.entry(key).or_insert(Due { at, looks: None });
        if ends {
            *due = Due { at: now, looks: Some(0) };
        }
        Ok(())
    }

    /// The workflow was deleted, as its time to live says: so is its object.
    async fn deleted(&mut self, key: Key, at: u64) -> Result<(), BusError> {
        let subject = streams::subject(streams::WORKFLOWS, &[&key.0, &key.1]);
        let first = self.desk.bus.read(streams::WORKFLOWS, &subject, 1, 1).await?;
        if first.first().is_some_and(|first| first.sequence > at) {
            // Its name is another's already.
            return Ok(());
        }
        self.due.remove(&key);
        self.written.remove(&key);
        if let Some(known) = self.desk.workflows.gone(&key).filter(|known| known.ours) {
            self.desk.remove(&key, &known.uid).await;
        }
        Ok(())
    }

    async fn write_due(&mut self) {
        let now = Instant::now();
        let due: Vec<(Key, Due)> =
            self.due.iter().filter(|(_, due)| due.at <= now).map(|(key, due)| (key.clone(), *due)).collect();
        let desk = &self.desk;
        let writing = due.into_iter().map(|(key, due)| async move {
            let looked = desk.write(&key).await;
            (key, due, looked)
        });
        let looked: Vec<_> = futures::stream::iter(writing).buffer_unordered(AT_ONCE).collect().await;
        let failed = looked.iter().filter_map(|(key, _, looked)| Some((key, looked.as_ref().err()?)));
        let failed: Vec<_> = failed.filter(|(_, failure)| !matches!(failure, Failure::Missing(_))).collect();
        if let Some((key, failure)) = failed.first() {
            let (namespace, name, count) = (&key.0, &key.1, failed.len());
            warn!(namespace, name, count, %failure, "the status of workflows cannot be written for the moment");
        }
        for (key, due, looked) in looked {
            self.due.remove(&key);
            if let Some((wait, looks)) = self.again(&key, due, looked) {
                self.due.insert(key, Due { at: Instant::now() + wait, looks });
            }
        }
    }

    /// When an object is looked at again after this, if it is.
    fn again(
        &mut self,
        key: &Key,
        due: Due,
        looked: Result<Looked, Failure>,
    ) -> Option<(Duration, Option<u32>)> {
        if looked == Ok(Looked::Written) {
            self.written.insert(key.clone(), Instant::now());
        }
        match (looked, due.looks) {
            (Ok(Looked::Over | Looked::Nothing), _) => {
                self.written.remove(key);
                None
            }
            (Err(Failure::Missing(_)), _) => {
                debug!(namespace = key.0, name = key.1, "the Workflow object is gone");
                None
            }
            (Err(_), looks) => Some((PACE, looks)),
            (Ok(Looked::Later), looks) => Some((LATER, looks)),
            (Ok(Looked::Changed), looks) => Some((SOON, looks)),
            (Ok(Looked::Same | Looked::Written), None) => None,
            (Ok(Looked::Unseen), Some(LOOKS..)) => None,
            // Told of the end before whoever is asked has it.
            (Ok(_), Some(looks)) => Some((if looks < TRIES { SOON } else { PACE }, Some(looks + 1))),
            (Ok(_), None) => Some((PACE, Some(TRIES))),
        }
    }
}

impl Desk {
    /// Writes what differs.
    async fn write(&self, key: &Key) -> Result<Looked, Failure> {
        let known = self.workflows.get(key);
        if known.as_ref().is_some_and(|known| !known.ours) {
            return Ok(Looked::Nothing);
        }
        let Some(shown) = self.shown.workflow(&key.0, &key.1) else { return Ok(Looked::Unseen) };
        let over = shown["metadata"]["labels"][COMPLETED] == "true";
        let Some(mut known) = known else { return self.show(key, &shown, wanted(key, &shown), over).await };
        if shown["metadata"]["uid"] != known.workflow.as_str() {
            return Ok(Looked::Unseen);
        }
        if known.live.is_null() {
            if over {
                return Ok(Looked::Over);
            }
            // It was over, and somebody had it run again.
            let Some(revived) = self.refresh(key, &known.uid).await? else { return Ok(Looked::Nothing) };
            known = revived;
        }
        let wanted = wanted(key, &shown);
        let wrote = |answer: Option<Value>| {
            self.workflows.change(key, &known.uid, |now| {
                now.live = if over { Value::Null } else { wanted.clone() };
                if let Some(answer) = answer {
                    crate::kubernetes::kind::version_of(&answer, &mut now.version);
                }
            });
            if over { Looked::Over } else { Looked::Written }
        };
        let Some(differs) = patch::between(&known.live, &wanted) else {
            return Ok(if over { wrote(None) } else { Looked::Same });
        };
        let mut metadata = json!({"uid": known.uid, "resourceVersion": known.version});
        if differs["labels"].is_object() {
            metadata["labels"] = differs["labels"].clone();
        }
        match self.patch(key, &metadata, differs.get("status")).await {
            Ok(answer) => Ok(wrote(Some(answer))),
            // Somebody else wrote; what differs from that is written next.
            Err(Failure::Conflict(_)) => {
                let there = self.refresh(key, &known.uid).await?;
                Ok(there.map_or(Looked::Nothing, |_| Looked::Changed))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Reads an object afresh. `None`: it is gone.
    async fn refresh(&self, key: &Key, uid: &str) -> Result<Option<Known>, Failure> {
        let object = self.shared.objects_in(Kind::Workflow, &key.0).await?.get(&key.1).await?;
        let object = object.filter(|object| object["metadata"]["uid"] == uid);
        Ok(object.and_then(|object| {
            self.workflows.change(key, uid, |now| {
                now.live = live_of(&object);
                crate::kubernetes::kind::version_of(&object, &mut now.version);
            })
        }))
    }

    /// Changes a Workflow object: in one request, or in two where its status is apart. Answers what it is then.
    pub(super) async fn patch(
        &self,
        (namespace, name): &Key,
        metadata: &Value,
        status: Option<&Value>,
    ) -> Result<Value, Failure> {
        let objects = self.shared.objects_in(Kind::Workflow, namespace).await?;
        self.turn.comes().await;
        let (mut metadata, mut status) = (metadata.clone(), status.cloned());
        let mut answer = Value::Null;
        if objects.resource().has_status
            && let Some(status) = status.take()
        {
            let mut only = metadata.clone();
            if let Some(members) = only.as_object_mut() {
                members.remove("labels");
            }
            let change = json!({"metadata": only, "status": status});
            answer = objects.patch(name, "status", PatchKind::Merge, &change).await?;
            if metadata["resourceVersion"].is_string() {
                metadata["resourceVersion"] = answer["metadata"]["resourceVersion"].clone();
            }
        }
        if status.is_some() || metadata["labels"].is_object() {
            let mut change = json!({"metadata": metadata});
            if let Some(status) = status {
                change["status"] = status;
            }
            answer = objects.patch(name, "", PatchKind::Merge, &change).await?;
        }
        Ok(answer)
    }
}

/// The labels and the status that the object of a workflow is to have.
fn wanted(key: &Key, shown: &Value) -> Value {
    let labels = &shown["metadata"]["labels"];
    let mut status = shown["status"].clone();
    if status.to_string().len() > MAX_STATUS {
        let nodes = status["nodes"].as_object().map_or(0, Map::len);
        status["nodes"] = Value::Null;
        status["storedTemplates"] = Value::Null;
        let what = format!("{nodes} nodes are too many for an object: see `tiphys get {}`", key.1);
        status["conditions"] = json!([{"type": "SpecWarning", "status": "True", "message": what}]);
    }
    json!({"labels": {PHASE: labels[PHASE], COMPLETED: labels[COMPLETED]}, "status": status})
}

/// Namespace and name of the workflow whose journal this is.
pub(super) fn names_of(subject: &str) -> Option<Key> {
    let parts: Vec<&str> = subject.split('.').collect();
    match parts.as_slice() {
        ["workflows", namespace, name] => Some((streams::name_of(namespace), streams::name_of(name))),
        _ => None,
    }
}
