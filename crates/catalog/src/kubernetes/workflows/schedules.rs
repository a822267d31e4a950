//! What became of CronWorkflows, written to their objects: when they ran last, what runs, and how the runs ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_bus::{BusError, streams};
use tiphys_kit::kubernetes::{Failure, PatchKind};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::Kind;
use tracing::{debug, warn};

use super::Desk;
use super::known::Key;
use super::patch::without_null;

/// What follows is seen together: the run that a record tells of is shown a moment later.
const PACE: Duration = Duration::from_secs(1);
/// How long one wait for news takes at most.
const WAIT: Duration = Duration::from_secs(30);
/// Records read at once.
const BATCH: usize = 256;

impl Desk {
    /// Follows what schedules remember until `stop`.
    pub(super) async fn show_schedules(self: Arc<Self>, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let (mut position, mut due) = (0, BTreeMap::new());
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.show_some(&mut position, &mut due) => outcome,
            };
            match outcome {
                Ok(()) => backoff.reset(),
                Err(BusError::Closed) => return,
                Err(failure) => {
                    warn!(%failure, "the status of CronWorkflows waits for the bus");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
            }
        }
    }

    async fn show_some(&self, position: &mut u64, due: &mut BTreeMap<Key, Value>) -> Result<(), BusError> {
        if due.is_empty() {
            self.bus.wait_for(streams::CRON, *position, WAIT).await?;
        }
        tokio::time::sleep(PACE).await;
        let all = self.bus.info(streams::CRON).await?.last;
        let news = self.bus.read(streams::CRON, "cron.*.CronWorkflow.*", *position + 1, BATCH).await?;
        for message in &news {
            *position = message.sequence;
            if let (Some(key), Ok(memory)) =
                (names_of(&message.subject), serde_json::from_slice(&message.payload))
            {
                due.insert(key, memory);
            }
        }
        if news.len() < BATCH {
            // Others remember there, too.
            *position = (*position).max(all);
        }
        for (key, memory) in std::mem::take(due) {
            if let Err(failure) = self.show_schedule(&key, &memory).await {
                debug!(namespace = key.0, name = key.1, %failure, "the status of a CronWorkflow cannot be written for the moment");
                due.insert(key, memory);
            }
        }
        Ok(())
    }

    async fn show_schedule(&self, key: &Key, memory: &Value) -> Result<(), Failure> {
        let kind = Kind::CronWorkflow;
        let read = self.shared.found().kinds.get(&kind).and_then(|all| all.get(key)).cloned();
        let Some(object) = read.and_then(|read| read.object) else { return Ok(()) };
        if self.shared.is_argos(kind) {
            return Ok(());
        }
        let objects = self.shared.objects_in(kind, &key.0).await?;
        let below = if objects.resource().has_status { "status" } else { "" };
        let status = without_null(&status(key, memory, self.shown.runs(&key.0, &key.1)));
        // The version is one of before the turn was asked for: what another wrote since is not overwritten.
        self.turn.comes().await;
        let metadata = &object.document["metadata"];
        let metadata = json!({"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]});
        let change = json!({"metadata": metadata, "status": status});
        match objects.patch(&key.1, below, PatchKind::Merge, &change).await {
            Ok(_) | Err(Failure::Missing(_)) => Ok(()),
            Err(failure @ (Failure::Unavailable(_) | Failure::Conflict(_))) => Err(failure),
            Err(failure) => {
                warn!(namespace = key.0, name = key.1, %failure, "the status of a CronWorkflow is not written");
                Ok(())
            }
        }
    }
}

/// As Argo has it.
fn status((namespace, _): &Key, memory: &Value, runs: Vec<(String, String)>) -> Value {
    let active: Vec<Value> = runs
        .into_iter()
        .map(|(name, uid)| {
            json!({"apiVersion": Kind::Workflow.api_version(), "kind": Kind::Workflow.as_str(),
                "namespace": namespace, "name": name, "uid": uid})
        })
        .collect();
    json!({
        "active": active,
        "lastScheduledTime": memory["lastScheduledTime"],
        "succeeded": memory["succeeded"],
        "failed": memory["failed"],
        "phase": if memory["stopped"] == true { "Stopped" } else { "Active" },
    })
}

fn names_of(subject: &str) -> Option<Key> {
    let parts: Vec<&str> = subject.split('.').collect();
    match parts.as_slice() {
        [_, namespace, _, name] => Some((streams::name_of(namespace), streams::name_of(name))),
        _ => None,
    }
}
