//! The span of one attempt, and the context that goes with what it does.

use serde_json::Value as Json;
use tiphys_core::trace::{TRACEPARENT, span_id};
use tiphys_core::{Classify as _, Firing, Timestamp, Trace, chain};
use tiphys_kit::trace::{Kind, Span, Tracer, tracer};

use crate::error::Error;
use crate::ledger::Effect;
use crate::work::describe;

/// An attempt under way.
pub(crate) struct Act {
    span: Option<(&'static Tracer, Span)>,
    context: Option<String>,
}

impl Act {
    /// Begins one. Without a collector what it does carries the context of the firing.
    pub(crate) fn begin(firing: &Firing, attempt: u32, now: Timestamp) -> Self {
        let above = firing.attributes.get(TRACEPARENT);
        let traced = tracer().zip(above.and_then(|text| Trace::read(text)));
        let Some((tracer, parent)) = traced else { return Self { span: None, context: above.cloned() } };
        let span = span(firing, attempt, parent, now);
        Self { context: Some(span.trace.to_string()), span: Some((tracer, span)) }
    }

    /// What goes with the effect.
    pub(crate) fn context(&self) -> Option<&str> {
        self.context.as_deref()
    }

    /// Ends it.
    pub(crate) fn end(self, now: Timestamp, result: &Result<Effect, Error>) {
        let Some((tracer, mut span)) = self.span else { return };
        match result {
            Ok(effect) => span.attributes.push(("tiphys.effect", describe(effect))),
            Err(failure) => {
                span.attributes.push(("tiphys.error.code", failure.code().into()));
                span.error = Some(chain(failure));
            }
        }
        span.ended = now;
        tracer.tell(span);
    }
}

/// The span of an attempt that ended as soon as it began. One that a dead process had under way and that is made again is
/// the same attempt.
fn span(firing: &Firing, attempt: u32, parent: Trace, now: Timestamp) -> Span {
    let number = attempt.to_string();
    let attributes = vec![
        ("tiphys.namespace", firing.namespace.clone()),
        ("tiphys.sensor", firing.sensor.clone()),
        ("tiphys.trigger", firing.trigger.clone()),
        ("tiphys.firing.id", firing.id.to_string()),
        ("tiphys.attempt", number.clone()),
    ];
    Span {
        name: format!("act {}", firing.trigger),
        kind: side(&firing.trigger_spec),
        trace: parent.child(span_id(&["act", &firing.id.0, &number])),
        parent: Some(parent),
        links: Vec::new(),
        begun: now,
        ended: now,
        attributes,
        error: None,
    }
}

/// What an attempt is to those on whom it acts.
fn side(spec: &Json) -> Kind {
    let is = |kind: &str| spec.pointer(&format!("/template/{kind}")).is_some_and(|there| !there.is_null());
    if is("http") || is("custom") {
        Kind::Client
    } else if ["kafka", "nats", "pubsub", "sqs"].into_iter().any(is) {
        Kind::Producer
    } else {
        Kind::Internal
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ABOVE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn firing(template: Json) -> Firing {
        let firing = json!({
            "version": 1, "id": "f", "namespace": "ns", "sensor": "s", "sensorUid": "u", "sensorRevision": "r",
            "trigger": "t", "events": [], "decided": "2026-03-01T12:00:00Z", "received": "2026-03-01T12:00:00Z",
            "triggerSpec": {"template": template}, "attributes": {"traceparent": ABOVE},
        });
        serde_json::from_value(firing).unwrap()
    }

    #[test]
    fn each_attempt_is_a_child_of_the_firing_and_its_own_span() {
        let firing = firing(json!({"name": "t", "http": {"url": "http://x"}}));
        let parent = Trace::read(ABOVE).unwrap();
        let of = |attempt| span(&firing, attempt, parent, firing.decided);
        assert_eq!((of(1).name.as_str(), of(1).kind, of(1).trace.id), ("act t", Kind::Client, parent.id));
        assert_eq!(of(1), of(1));
        assert_ne!(of(1).trace, of(2).trace);
    }

    #[test]
    fn without_a_collector_the_context_of_the_firing_goes_on() {
        let firing = firing(json!({"name": "t", "log": {}}));
        let act = Act::begin(&firing, 1, firing.decided);
        assert_eq!(act.context(), Some(ABOVE));
        act.end(firing.decided, &Ok(Effect::Log));
    }

    #[test]
    fn the_kind_says_what_it_is_to_others() {
        for (kind, side_of) in
            [("http", Kind::Client), ("sqs", Kind::Producer), ("argoWorkflow", Kind::Internal)]
        {
            assert_eq!(side(&json!({"template": {"name": "t", kind: {}}})), side_of, "{kind}");
        }
    }
}
