//! The ledger: what became of each firing, by its id, for 14 days. What stands there as done is never done
//! again, whatever is killed, redelivered or retried.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::{FiringId, Timestamp};

/// Errors kept per entry, the newest.
const ERRORS_KEPT: usize = 10;

/// What became of a firing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Format of this record; 1.
    pub version: u32,
    /// The firing.
    pub firing: FiringId,
    /// Namespace of its sensor.
    pub namespace: String,
    /// Its sensor.
    pub sensor: String,
    /// Its trigger.
    pub trigger: String,
    /// Where it stands.
    pub state: State,
    /// Attempts so far.
    pub attempts: u32,
    /// When this was written.
    pub at: Timestamp,
    /// The effect, once done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effect: Option<Effect>,
    /// Failed attempts, the newest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Attempt>,
}

/// Where a firing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Tried, and to be tried again.
    Retrying,
    /// Done, for good.
    Done,
    /// Given up; it stands in the dead letters.
    Dead,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// When.
    pub at: Timestamp,
    /// Stable code.
    pub code: String,
    /// What happened.
    pub message: String,
}

/// What was done. Never with a secret in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Effect {
    /// A workflow was handed to the executor, or was there already by the same firing.
    Workflow {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// Uid.
        uid: String,
    },
    /// A workflow was asked to do something.
    Command {
        /// Namespace.
        namespace: String,
        /// Name.
        name: String,
        /// The verb.
        verb: String,
    },
    /// An HTTP request was answered.
    Http {
        /// Method and address, without user information and query.
        request: String,
        /// The status.
        status: u16,
    },
    /// A message was published, and the broker has it.
    Published {
        /// Where: broker and topic, queue or subject, without secrets.
        to: String,
        /// How the broker calls it: a message id, a partition and offset, a stream and sequence. Empty where it says
        /// nothing.
        receipt: String,
    },
    /// A server of somebody else's acted.
    Custom {
        /// The server.
        server: String,
        /// What it said.
        message: String,
    },
    /// Something was done to an object of a cluster.
    Object {
        /// `created`, `updated`, `patched` or `deleted`.
        verb: String,
        /// Its kind, namespace and name: `pods shop/web`.
        object: String,
        /// Its uid, where it is known.
        uid: String,
    },
    /// A line was logged.
    Log,
    /// Nothing had to be done, for this reason.
    Skipped {
        /// Why.
        reason: String,
    },
}

impl Entry {
    /// An empty entry for a firing.
    #[must_use]
    pub fn new(firing: &tiphys_core::Firing, now: Timestamp) -> Self {
        Self {
            version: 1,
            firing: firing.id.clone(),
            namespace: firing.namespace.clone(),
            sensor: firing.sensor.clone(),
            trigger: firing.trigger.clone(),
            state: State::Retrying,
            attempts: 0,
            at: now,
            effect: None,
            errors: Vec::new(),
        }
    }

    /// Notes a failed attempt.
    pub fn failed(&mut self, at: Timestamp, code: &str, message: String) {
        if self.errors.len() >= ERRORS_KEPT {
            self.errors.remove(0);
        }
        self.errors.push(Attempt { at, code: code.to_owned(), message });
        self.at = at;
    }
}

/// Reads and writes entries.
#[derive(Clone)]
pub struct Ledger {
    bus: Arc<dyn Bus>,
}

impl Ledger {
    /// The ledger on this bus.
    #[must_use]
    pub fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus }
    }

    /// The entry of a firing with its sequence; 0 when there is none.
    ///
    /// # Errors
    /// Fails when the bus does, or when the record cannot be read.
    pub async fn read(&self, firing: &FiringId) -> Result<(Option<Entry>, u64), BusError> {
        let Some(message) = self.bus.last(&subject(firing)).await? else { return Ok((None, 0)) };
        let entry = serde_json::from_slice(&message.payload).map_err(|error| BusError::Invalid {
            reason: format!("ledger entry {firing} cannot be read: {error}"),
        })?;
        Ok((Some(entry), message.sequence))
    }

    /// Writes an entry over the one of sequence `over`; returns the new sequence.
    ///
    /// # Errors
    /// [`BusError::Conflict`] when somebody else wrote meanwhile.
    pub async fn write(&self, entry: &Entry, over: u64) -> Result<u64, BusError> {
        let record = serde_json::to_vec(entry)
            .map_err(|error| BusError::Invalid { reason: format!("ledger entry: {error}") })?;
        let publish = Publish::new(subject(&entry.firing), record).expect_last(over);
        self.bus.publish(publish).await.map(|acked| acked.sequence)
    }
}

fn subject(firing: &FiringId) -> String {
    streams::subject(streams::LEDGER, &[&firing.0])
}
