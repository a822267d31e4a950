//! What a schedule remembers: `cron.NAMESPACE.CronWorkflow.NAME` on the CRON stream, last value only.

use serde::{Deserialize, Serialize};
use tiphys_bus::{Bus, Publish, streams};
use tiphys_core::Timestamp;

use crate::error::Error;

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    /// Format; 1.
    pub(super) version: u32,
    /// The revision of the object that this is about.
    pub(super) revision: String,
    /// Since when that revision rules: what it would have scheduled before was never missed.
    pub(super) since: Timestamp,
    /// The last time that was run or passed over.
    #[serde(default)]
    pub(super) last_scheduled_time: Option<Timestamp>,
    /// Runs that succeeded.
    #[serde(default)]
    pub(super) succeeded: u64,
    /// Runs that did not.
    #[serde(default)]
    pub(super) failed: u64,
    /// Runs that are counted already and still exist.
    #[serde(default)]
    pub(super) counted: Vec<String>,
    /// `stopStrategy` said that it is enough.
    #[serde(default)]
    pub(super) stopped: bool,
}

impl Memory {
    /// Of an object that is seen for the first time.
    pub(super) fn new(revision: &str, now: Timestamp) -> Self {
        Self {
            version: 1,
            revision: revision.to_owned(),
            since: now,
            last_scheduled_time: None,
            succeeded: 0,
            failed: 0,
            counted: Vec::new(),
            stopped: false,
        }
    }

    /// The time up to which everything is dealt with.
    pub(super) fn anchor(&self) -> Timestamp {
        self.last_scheduled_time.map_or(self.since, |last| last.max(self.since))
    }
}

fn subject(namespace: &str, name: &str) -> String {
    streams::subject(streams::CRON, &[namespace, "CronWorkflow", name])
}

/// What is remembered, and the sequence of that record.
pub(super) async fn read(bus: &dyn Bus, namespace: &str, name: &str) -> Result<Option<(Memory, u64)>, Error> {
    let Some(message) = bus.last(&subject(namespace, name)).await? else {
        return Ok(None);
    };
    let memory = serde_json::from_slice(&message.payload).map_err(|error| Error::Record {
        reason: format!("what cron {namespace}/{name} remembers: {error}"),
    })?;
    Ok(Some((memory, message.sequence)))
}

/// Remembers; `expected` is the sequence of the record that it replaces.
pub(super) async fn write(
    bus: &dyn Bus,
    namespace: &str,
    name: &str,
    memory: &Memory,
    expected: u64,
) -> Result<u64, Error> {
    let payload = serde_json::to_vec(memory).map_err(|error| Error::Record { reason: error.to_string() })?;
    let message = Publish::new(subject(namespace, name), payload).expect_last(expected);
    Ok(bus.publish(message).await?.sequence)
}
