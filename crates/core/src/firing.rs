//! A firing: one trigger's invocation, on its way from sensor to trigger.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::{EventId, FiringId};

/// Names one event of a firing's event set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRef {
    /// The dependency that the event satisfied.
    pub dependency: String,
    /// The event.
    pub id: EventId,
    /// Sequence of the event in the EVENTS stream.
    pub sequence: u64,
}

/// How a value meets what stands at its destination. Argo's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// Replaces it. The default, also for an empty text.
    #[default]
    Overwrite,
    /// Comes after it, as text.
    Append,
    /// Comes before it, as text.
    Prepend,
}

/// One computed value and where it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Value {
    /// An sjson path; empty only for an HTTP payload, where the value becomes the whole body.
    pub dest: String,
    /// How it meets what stands there.
    #[serde(default)]
    pub operation: Operation,
    /// A JSON text: a string, or any JSON where the parameter says `useRawData`.
    pub value: String,
}

/// One trigger's invocation with every user value computed.
///
/// It carries the trigger's template as the manifest wrote it, with template-level values already
/// applied; resource-level values stand beside it, for the trigger to apply to the fetched resource. It
/// carries references to Secrets, never their content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Firing {
    /// Format of this record; 1.
    pub version: u32,
    /// The identity.
    pub id: FiringId,
    /// Namespace of the sensor.
    pub namespace: String,
    /// Name of the sensor.
    pub sensor: String,
    /// Uid of the sensor.
    pub sensor_uid: String,
    /// Revision of the sensor that decided.
    pub sensor_revision: String,
    /// Name of the trigger.
    pub trigger: String,
    /// The event set.
    pub events: Vec<EventRef>,
    /// 0, or how often this event set was replayed.
    #[serde(default)]
    pub replay: u32,
    /// When the sensor decided.
    pub decided: Timestamp,
    /// When the earliest event of the set was received.
    pub received: Timestamp,
    /// `spec.triggers[]` of the Sensor as JSON, template-level parameters applied.
    pub trigger_spec: serde_json::Value,
    /// Values of `template.<kind>.parameters`, for the resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<Value>,
    /// Values of `template.<kind>.payload`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub payload: Vec<Value>,
    /// Values of `template.http.dynamicHeaders`, by header name, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Trace context.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// The firing of the trigger's `dlqTrigger`, published when this one is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter: Option<Box<Self>>,
}

/// What could not be done, with everything needed to do it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Where it failed: `eventsource`, `sensor` or `trigger`.
    pub stage: String,
    /// Stable code of the last error.
    pub code: String,
    /// What happened, in one line.
    pub reason: String,
    /// When it was given up.
    pub at: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Namespace.
    pub namespace: String,
    /// Sensor, where one was involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensor: Option<String>,
    /// Trigger, where one was involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
    /// The events concerned.
    #[serde(default)]
    pub events: Vec<EventRef>,
    /// The firing, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<Firing>,
    /// Raw bytes in base64 of what could not be read, where there was no event yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<String>,
}
