//! The trace of a decision: the firing is the child of the events that caused it, under an identity that is its own, so
//! that judging them again gives the same span.

use std::collections::BTreeMap;

use tiphys_core::trace::{TRACEPARENT, span_id};
use tiphys_core::{Event, Firing, FiringId, Trace};
use tiphys_kit::trace::{Kind, Span};

use crate::parameter::EventSet;

/// Attributes of an event that go on with its firing.
const NAMES: [&str; 2] = [TRACEPARENT, "tracestate"];

/// The trace context of a firing: that of the first event that has one or, where decisions are traced, of the decision.
pub(crate) fn attributes(set: &EventSet<'_>, firing: &FiringId, traced: bool) -> BTreeMap<String, String> {
    // What is no context of W3C goes on untouched, but nothing can be its child.
    let has = |event: &&Event| match traced {
        true => context(event).is_some(),
        false => event.attributes.contains_key(TRACEPARENT),
    };
    let Some(event) = events(set).find(has) else { return BTreeMap::new() };
    let of_event = NAMES.into_iter().filter_map(|name| event.attributes.get_key_value(name));
    let mut all: BTreeMap<String, String> =
        of_event.map(|(name, value)| (name.clone(), value.clone())).collect();
    if let Some(parent) = context(event).filter(|_| traced) {
        all.insert(TRACEPARENT.into(), decision(parent, firing).to_string());
    }
    all
}

/// The span of the decision to fire; it ends when the firing is durable.
pub(crate) fn span(firing: &Firing, set: &EventSet<'_>) -> Option<Span> {
    let mut contexts = events(set).filter_map(context);
    let parent = contexts.next()?;
    let attributes = vec![
        ("tiphys.namespace", firing.namespace.clone()),
        ("tiphys.sensor", firing.sensor.clone()),
        ("tiphys.trigger", firing.trigger.clone()),
        ("tiphys.firing.id", firing.id.to_string()),
        ("tiphys.event.id", events(set).map(|event| event.id.0.as_str()).collect::<Vec<_>>().join(",")),
    ];
    Some(Span {
        name: format!("decide {}/{}", firing.sensor, firing.trigger),
        kind: Kind::Internal,
        trace: decision(parent, &firing.id),
        parent: Some(parent),
        links: contexts.collect(),
        begun: firing.decided,
        ended: firing.decided,
        attributes,
        error: None,
    })
}

fn decision(parent: Trace, firing: &FiringId) -> Trace {
    parent.child(span_id(&["decide", &firing.0]))
}

fn events<'a>(set: &EventSet<'a>) -> impl Iterator<Item = &'a Event> {
    set.0.iter().map(|(_, parsed)| &parsed.event)
}

fn context(event: &Event) -> Option<Trace> {
    event.attributes.get(TRACEPARENT).and_then(|text| Trace::read(text))
}
