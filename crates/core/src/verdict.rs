//! A verdict: why a sensor fired for an event, or why it did not.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{EventId, FiringId};

/// One filter, with the values that were compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Clause {
    /// Which one: `data[0] body.priority`, `exprs[1]`, `time`, `context.type` …
    pub filter: String,
    /// Whether it held.
    pub passed: bool,
    /// The comparison in words, for example `"Notice" matches none of "Critical", "Error"`.
    pub detail: String,
}

/// What became of one event for one trigger through one dependency. One of them is true at any time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Outcome {
    /// It completed the condition, and a firing was made.
    Fired {
        /// The firing.
        firing: FiringId,
        /// Events that this firing consumed, as `dependency=event id`.
        consumed: Vec<String>,
    },
    /// A filter refused it.
    Filtered,
    /// It waits for the other dependencies of the condition.
    Waiting {
        /// The dependencies still missing.
        missing: Vec<String>,
        /// The event that it displaced, if one waited in its place.
        superseded: Option<EventId>,
    },
    /// The trigger is held back on purpose: a duplicate that was seen before.
    Suppressed {
        /// Why.
        reason: String,
    },
    /// It could not be judged, and stands in the dead letters.
    Dead {
        /// Stable code.
        code: String,
        /// What happened.
        reason: String,
        /// Events of a completed condition that went with it, as `dependency=event id`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        consumed: Vec<String>,
    },
}

/// The verdict for one trigger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriggerVerdict {
    /// The trigger.
    pub trigger: String,
    /// The dependency through which the event came.
    pub dependency: String,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// Filter by filter, in the order of evaluation.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clauses: Vec<Clause>,
}

/// All that one sensor decided about one event (or, where `event` is absent, about one tick that reset
/// conditions).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Format of this record; 1.
    pub version: u32,
    /// Namespace of the sensor.
    pub namespace: String,
    /// Name of the sensor.
    pub sensor: String,
    /// Uid of the sensor.
    pub sensor_uid: String,
    /// Revision of the sensor that decided.
    pub sensor_revision: String,
    /// The event; absent for a tick.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventId>,
    /// Its sequence in EVENTS; 0 for a tick.
    pub sequence: u64,
    /// 0, or how often the event was replayed.
    #[serde(default)]
    pub replay: u32,
    /// When it was decided.
    pub at: Timestamp,
    /// Trigger by trigger; one row for each dependency that the event satisfies.
    pub triggers: Vec<TriggerVerdict>,
    /// Events dropped by `conditionsReset`, as (trigger, dependency, event id).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reset: Vec<(String, String, EventId)>,
}
