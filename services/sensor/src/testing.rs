//! Sensors and events for tests.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};
use tiphys_core::{Event, EventId, Origin, Timestamp};
use tiphys_manifest::{Diagnostic, Kind, Object, Spec};

use crate::compile::{Compiled, compile};
use crate::eval::{Decision, Input, State, eval};

/// A Sensor `ns/watch` with this `spec`.
pub(crate) fn object(spec: Value) -> Object {
    Object {
        kind: Kind::Sensor,
        namespace: "ns".into(),
        name: "watch".into(),
        generate_name: String::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        uid: "uid-1".into(),
        revision: tiphys_core::id::digest(&[&spec.to_string()], 8),
        file: "sensor.yaml".into(),
        line: 1,
        document: json!({"kind": "Sensor", "spec": spec.clone()}),
        spec: Spec::Sensor(Box::new(serde_json::from_value(spec).unwrap())),
        places: tiphys_manifest::load::places::Places::default(),
    }
}

pub(crate) fn sensor(spec: Value) -> Compiled {
    compile(&object(spec)).unwrap()
}

pub(crate) fn wrong(spec: Value) -> Vec<Diagnostic> {
    compile(&object(spec)).unwrap_err()
}

/// A dependency on the event of its own name of event source `src`.
pub(crate) fn dependency(name: &str) -> Value {
    json!({"name": name, "eventSourceName": "src", "eventName": name})
}

/// A log trigger under a condition.
pub(crate) fn trigger(name: &str, conditions: &str) -> Value {
    json!({"template": {"name": name, "conditions": conditions, "log": {}}})
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// An event `name` of event source `src`, received at 12:00 on the first of March 2026.
pub(crate) fn event(name: &str, id: &str, data: &str) -> Event {
    Event {
        id: EventId(id.into()),
        origin: Origin { namespace: "ns".into(), source: "src".into(), event: name.into() },
        kind: "webhook".into(),
        occurred: None,
        received: time("2026-03-01T12:00:00Z"),
        attributes: BTreeMap::new(),
        data: Bytes::copy_from_slice(data.as_bytes()),
    }
}

/// Judges an event at the time of its receipt.
pub(crate) fn feed(sensor: &Compiled, state: &mut State, sequence: u64, event: Event) -> Decision {
    let now = event.received;
    eval(sensor, state, now, Input::Event { event, sequence })
}
