//! The status of workflows, written to their objects: phase, message, nodes and progress, and Argo's two labels. At most
//! once a second, and at the end; only what differs.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_bus::{BusError, Message, streams};
use tiphys_kit::kubernetes::{Failure, PatchKind, Removal};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::Kind;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::Shared;
use super::intake::{COMPLETED, Key};
use super::patch;

/// Between two writes to one object.
const PACE: Duration = Duration::from_secs(1);
/// How soon is looked again for an end that was told and is not seen yet.
const SOON: Duration = Duration::from_millis(50);
/// How often so, before it is done at the usual pace.
const TRIES: u32 = 5;
/// How long one wait for news takes at most.
const WAIT: Duration = Duration::from_secs(30);
/// Records read at once.
const BATCH: usize = 512;
/// The largest status that is written whole; etcd takes 1.5 MiB of an object.
const MAX_STATUS: usize = 1 << 20;
/// What Argo calls the phase.
const PHASE: &str = "workflows.argoproj.io/phase";

/// Gives a Workflow with its status, by namespace and name, as it is now.
pub type Look = Arc<dyn Fn(&str, &str) -> Option<Value> + Send + Sync>;

/// Writes the status of Workflow objects. One process of a cluster does.
pub struct StatusWriter {
    shared: Arc<Shared>,
    look: Look,
    due: BTreeMap<Key, Due>,
    written: HashMap<Key, Instant>,
}

/// When an object is written.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    /// Its end was told, and is not seen yet; how often was looked.
    ends: Option<u32>,
}

/// What came of a look.
enum Looked {
    /// It is not shown yet, or not any more.
    Unseen,
    /// The object says so already.
    Same,
    /// It was written.
    Written,
    /// Its end stands in the object.
    Over,
}

impl std::fmt::Debug for StatusWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StatusWriter").field("due", &self.due.len()).finish_non_exhaustive()
    }
}

impl StatusWriter {
    pub(super) fn new(shared: Arc<Shared>, look: Look) -> Self {
        Self { shared, look, due: BTreeMap::new(), written: HashMap::new() }
    }

    /// Follows the journals until `stop`.
    ///
    /// # Errors
    /// Never by itself: a bus or cluster that is away is waited for.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), BusError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut position = None;
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                outcome = self.step(&mut position) => outcome,
            };
            match outcome {
                Ok(()) => backoff.reset(),
                Err(BusError::Closed) => return Ok(()),
                Err(failure) => {
                    warn!(%failure, "the status of workflows waits for the bus");
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
            }
        }
    }

    async fn step(&mut self, position: &mut Option<u64>) -> Result<(), BusError> {
        let bus = self.shared.bus.clone();
        let from = match *position {
            Some(from) => from,
            None => {
                // What stands there already is looked at when its object becomes known.
                let from = bus.info(streams::WORKFLOWS).await?.last;
                *position = Some(from);
                from
            }
        };
        let next = self.due.values().map(|due| due.at).min();
        let wait = next.map_or(WAIT, |next| next.saturating_duration_since(Instant::now()).min(WAIT));
        if !wait.is_zero() {
            tokio::select! {
                waited = bus.wait_for(streams::WORKFLOWS, from, wait) => drop(waited?),
                () = self.shared.workflows.news.notified() => {}
            }
        }
        for key in self.shared.workflows.fresh() {
            let at = Instant::now() + PACE;
            self.due.entry(key).or_insert(Due { at, ends: None });
        }
        let news = bus.read(streams::WORKFLOWS, "", from + 1, BATCH).await?;
        for message in &news {
            *position = Some(message.sequence);
            self.note(message).await;
        }
        self.write_due().await;
        Ok(())
    }

    async fn note(&mut self, message: &Message) {
        if let Some(key) = message.subject.strip_suffix(".deleted").and_then(names_of) {
            self.due.remove(&key);
            self.written.remove(&key);
            self.delete(&key).await;
            return;
        }
        let Some(key) = names_of(&message.subject) else { return };
        // The last record of a run says so. What only looks so is looked at a little early.
        let ends = message.payload.windows(7).any(|window| window == b"\"ended\"");
        let now = Instant::now();
        let at = self.written.get(&key).map_or(now + PACE, |written| *written + PACE).max(now);
        let due = self.due.entry(key).or_insert(Due { at, ends: None });
        if ends {
            *due = Due { at: now, ends: Some(0) };
        }
    }

    async fn write_due(&mut self) {
        let now = Instant::now();
        let due: Vec<(Key, Due)> =
            self.due.iter().filter(|(_, due)| due.at <= now).map(|(key, due)| (key.clone(), *due)).collect();
        for (key, due) in due {
            self.due.remove(&key);
            let again = match self.write(&key).await {
                Ok(Looked::Over) => {
                    self.written.remove(&key);
                    None
                }
                Ok(looked) => {
                    if matches!(looked, Looked::Written) {
                        self.written.insert(key.clone(), Instant::now());
                    }
                    match due.ends {
                        // Told of the end before whoever is asked has it.
                        Some(tries) if tries < TRIES => Some((SOON, Some(tries + 1))),
                        Some(tries) => Some((PACE, Some(tries))),
                        None if matches!(looked, Looked::Unseen) => Some((PACE, None)),
                        None => None,
                    }
                }
                Err(Failure::Missing(_) | Failure::Conflict(_)) => {
                    debug!(namespace = key.0, name = key.1, "the Workflow object is gone");
                    None
                }
                Err(failure) => {
                    warn!(namespace = key.0, name = key.1, %failure, "a status cannot be written for the moment");
                    Some((PACE, due.ends))
                }
            };
            if let Some((wait, ends)) = again.filter(|_| self.is_live(&key)) {
                self.due.insert(key, Due { at: Instant::now() + wait, ends });
            }
        }
    }

    /// Whether something is still to be written to it.
    fn is_live(&self, key: &Key) -> bool {
        self.shared.workflows.get(key).is_some_and(|known| known.ours && !known.live.is_null())
    }

    /// Writes what differs.
    async fn write(&self, key: &Key) -> Result<Looked, Failure> {
        let Some(mut known) = self.shared.workflows.get(key).filter(|known| known.ours) else {
            return Ok(Looked::Unseen);
        };
        let Some(object) = (self.look)(&key.0, &key.1) else { return Ok(Looked::Unseen) };
        if object["metadata"]["uid"] != known.uid.as_str() {
            return Ok(Looked::Unseen);
        }
        if known.live.is_null() {
            if object["metadata"]["labels"][COMPLETED] == "true" {
                return Ok(Looked::Over);
            }
            // It was over, and somebody had it run again.
            let Some(revived) = self.shared.revive(key).await? else { return Ok(Looked::Unseen) };
            known = revived;
        }
        let labels = &object["metadata"]["labels"];
        let over = labels[COMPLETED] == "true";
        let mut status = object["status"].clone();
        if status.to_string().len() > MAX_STATUS {
            let nodes = status["nodes"].as_object().map_or(0, serde_json::Map::len);
            status["nodes"] = Value::Null;
            status["storedTemplates"] = Value::Null;
            let what = format!("{nodes} nodes are too many for an object: see `tiphys get {}`", key.1);
            status["conditions"] = json!([{"type": "SpecWarning", "status": "True", "message": what}]);
        }
        let wanted = json!({
            "labels": {PHASE: labels[PHASE], COMPLETED: labels[COMPLETED]},
            "status": status,
        });
        let Some(differs) = patch::between(&known.live, &wanted) else {
            if over {
                self.shared.workflows.wrote(key, Value::Null, true);
                return Ok(Looked::Over);
            }
            return Ok(Looked::Same);
        };
        let mut metadata = json!({"uid": known.uid});
        if differs["labels"].is_object() {
            metadata["labels"] = differs["labels"].clone();
        }
        self.shared.write(key, &metadata, differs.get("status")).await?;
        self.shared.workflows.wrote(key, wanted, over);
        Ok(if over { Looked::Over } else { Looked::Written })
    }

    /// The workflow was deleted here, as its time to live says: so is its object.
    async fn delete(&self, key: &Key) {
        let Some(known) = self.shared.workflows.get(key).filter(|known| known.ours) else { return };
        self.shared.workflows.forget(key);
        let Ok(objects) = self.shared.objects_in(Kind::Workflow, &key.0).await else { return };
        let how = Removal { uid: Some(known.uid), ..Removal::default() };
        if let Err(failure) = objects.delete(&key.1, &how).await {
            warn!(namespace = key.0, name = key.1, %failure, "the object of a deleted workflow stays");
        }
    }
}

impl Shared {
    /// Writes to a Workflow object: in one request, or in two where its status is apart.
    pub(super) async fn write(
        &self,
        (namespace, name): &Key,
        metadata: &Value,
        status: Option<&Value>,
    ) -> Result<(), Failure> {
        let objects = self.objects_in(Kind::Workflow, namespace).await?;
        let apart = objects.resource().has_status;
        let mut whole = json!({"metadata": metadata});
        if let (Some(status), false) = (status, apart) {
            whole["status"] = status.clone();
        }
        if let (Some(status), true) = (status, apart) {
            let patch = json!({"metadata": {"uid": metadata["uid"]}, "status": status});
            objects.patch(name, "status", PatchKind::Merge, &without_null_uid(patch)).await?;
        }
        if !apart || metadata["labels"].is_object() {
            objects.patch(name, "", PatchKind::Merge, &whole).await?;
        }
        Ok(())
    }

    pub(super) async fn objects_in(
        &self,
        kind: Kind,
        namespace: &str,
    ) -> Result<tiphys_kit::kubernetes::Objects, Failure> {
        let resource = self.cluster.resource(kind.api_version(), kind.as_str()).await?;
        Ok(self.cluster.objects(&resource, namespace))
    }
}

fn without_null_uid(mut patch: Value) -> Value {
    if patch["metadata"]["uid"].is_null() {
        patch["metadata"] = json!({});
    }
    patch
}

/// Namespace and name of the workflow whose journal this is.
fn names_of(subject: &str) -> Option<Key> {
    let parts: Vec<&str> = subject.split('.').collect();
    match parts.as_slice() {
        ["workflows", namespace, name] => Some((streams::name_of(namespace), streams::name_of(name))),
        _ => None,
    }
}
