//! An event, as it travels on the bus.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::EventId;

/// Where an event came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// Namespace of the event source.
    pub namespace: String,
    /// Name of the EventSource object; the CloudEvents `source`.
    pub source: String,
    /// The key below the kind in `spec`; the CloudEvents `subject`.
    pub event: String,
}

/// What happened outside.
///
/// `data` is one JSON text. It is kept byte for byte from the receiver to the sensor, so that the
/// digits of large integers survive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Stable over redeliveries of the same message.
    pub id: EventId,
    /// Where it came from.
    pub origin: Origin,
    /// Argo's word for the kind (`webhook`, `calendar`, `pubsub` …); the CloudEvents `type`.
    pub kind: String,
    /// When it happened, if the sender said so.
    pub occurred: Option<Timestamp>,
    /// When we received it; the CloudEvents `time`.
    pub received: Timestamp,
    /// Trace context and extensions of ours (`nativeid`, `traceparent`, `replay`); never secrets.
    pub attributes: BTreeMap<String, String>,
    /// The payload, one valid JSON text, at most 1 MiB unless its source says otherwise.
    pub data: Bytes,
}

/// The record on the bus: CloudEvents 1.0 structured mode, with `data` inline.
#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    specversion: &'a str,
    id: EventId,
    source: String,
    subject: String,
    #[serde(rename = "type")]
    kind: String,
    time: Timestamp,
    datacontenttype: &'a str,
    namespace: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    occurred: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<String, String>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl Event {
    /// The record that goes onto the bus.
    ///
    /// # Errors
    /// Fails when `data` is not one JSON text.
    pub fn encode(&self) -> Result<Bytes, serde_json::Error> {
        let envelope = Envelope {
            specversion: "1.0",
            id: self.id.clone(),
            source: self.origin.source.clone(),
            subject: self.origin.event.clone(),
            kind: self.kind.clone(),
            time: self.received,
            datacontenttype: "application/json",
            namespace: self.origin.namespace.clone(),
            occurred: self.occurred,
            attributes: self.attributes.clone(),
            data: serde_json::from_slice(&self.data)?,
        };
        serde_json::to_vec(&envelope).map(Bytes::from)
    }

    /// Reads a record from the bus.
    ///
    /// # Errors
    /// Fails when the record is not an envelope of ours.
    pub fn decode(record: &Bytes) -> Result<Self, serde_json::Error> {
        let envelope: Envelope<'_> = serde_json::from_slice(record)?;
        let data = record.slice_ref(envelope.data.get().as_bytes());
        Ok(Self {
            id: envelope.id,
            origin: Origin {
                namespace: envelope.namespace,
                source: envelope.source,
                event: envelope.subject,
            },
            kind: envelope.kind,
            occurred: envelope.occurred,
            received: envelope.time,
            attributes: envelope.attributes,
            data,
        })
    }

    /// Argo's view of the context: the seven attributes, in the order in which Go prints them.
    ///
    /// `time` is RFC 3339 in UTC with whole seconds, as the sensor of Argo Events renders it.
    #[must_use]
    pub fn context(&self) -> serde_json::Map<String, serde_json::Value> {
        let seconds = Timestamp::from_second(self.received.as_second()).unwrap_or(self.received);
        let mut map = serde_json::Map::new();
        for (key, value) in [
            ("id", self.id.0.clone()),
            ("source", self.origin.source.clone()),
            ("specversion", "1.0".into()),
            ("type", self.kind.clone()),
            ("datacontenttype", "application/json".into()),
            ("subject", self.origin.event.clone()),
            ("time", seconds.to_string()),
        ] {
            map.insert(key.into(), value.into());
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_survives_byte_for_byte() {
        let event = Event {
            id: EventId::derive("ns", "s", "e", "1"),
            origin: Origin { namespace: "ns".into(), source: "s".into(), event: "e".into() },
            kind: "webhook".into(),
            occurred: None,
            received: "2026-01-02T03:04:05.678Z".parse().unwrap(),
            attributes: BTreeMap::new(),
            data: Bytes::from_static(br#"{"b":1795348800123456789,"a":"<\u003e"}"#),
        };
        let again = Event::decode(&event.encode().unwrap()).unwrap();
        assert_eq!(event, again);
        assert_eq!(again.context()["time"], "2026-01-02T03:04:05Z");
    }
}
