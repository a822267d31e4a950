//! The span of one receipt, which the event's own trace context then names.

use std::collections::BTreeMap;

use tiphys_core::trace::{TRACEPARENT, number, trace_id};
use tiphys_core::{EventId, Origin, Timestamp, Trace, chain};
use tiphys_kit::trace::{Kind, Span, Tracer, tracer};

use crate::emit::Emitted;
use crate::error::Error;

/// A receipt under way. Without a collector it is nothing, and the event keeps the context of its sender.
pub(crate) struct Receipt(Option<(&'static Tracer, Span)>);

impl Receipt {
    /// Begins one, and puts its context into the attributes.
    pub(crate) fn begin(
        (kind, origin, id): (&str, &Origin, &EventId),
        received: Timestamp,
        attributes: &mut BTreeMap<String, String>,
    ) -> Self {
        let Some(tracer) = tracer() else { return Self(None) };
        let parent = attributes.get(TRACEPARENT).and_then(|text| Trace::read(text));
        // Two requests for one event are two receipts.
        let trace = tracer.enter(parent, beginning(id), random());
        attributes.insert(TRACEPARENT.into(), trace.to_string());
        let attributes = vec![
            ("tiphys.namespace", origin.namespace.clone()),
            ("tiphys.source", origin.source.clone()),
            ("tiphys.event", origin.event.clone()),
            ("tiphys.event.type", kind.to_owned()),
            ("tiphys.event.id", id.to_string()),
        ];
        let span = Span {
            name: format!("receive {}/{}", origin.source, origin.event),
            kind: side(kind),
            trace,
            parent,
            links: Vec::new(),
            begun: received,
            ended: received,
            attributes,
            error: None,
        };
        Self(Some((tracer, span)))
    }

    /// Ends it.
    pub(crate) fn end(self, now: Timestamp, outcome: &Result<Emitted, Error>) {
        let Some((tracer, mut span)) = self.0 else { return };
        let told = match outcome {
            Ok(Emitted::Stored(_)) => "stored",
            Ok(Emitted::Duplicate(_)) => "duplicate",
            Ok(Emitted::Filtered) => "filtered",
            Err(_) => "failed",
        };
        span.attributes.push(("tiphys.outcome", told.into()));
        span.error = outcome.as_ref().err().map(|failure| chain(failure));
        span.ended = now;
        tracer.tell(span);
    }
}

/// The trace that an event begins: its id is one already.
fn beginning(id: &EventId) -> u128 {
    u128::from_str_radix(&id.0, 16).ok().filter(|id| *id != 0).unwrap_or_else(|| trace_id(&[&id.0]))
}

fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    // Without randomness two receipts of one event are one to those who look.
    let _ = getrandom::fill(&mut bytes);
    number(&hex::encode(bytes))
}

/// What a receipt is to those who send.
fn side(kind: &str) -> Kind {
    match kind {
        "calendar" => Kind::Internal,
        "webhook" => Kind::Server,
        _ => Kind::Consumer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_begins_the_trace_of_its_own_id() {
        let id = EventId::derive("ns", "s", "e", "1");
        assert_eq!(format!("{:032x}", beginning(&id)), id.0);
        assert_ne!(beginning(&EventId("none of ours".into())), 0);
    }

    #[test]
    fn without_a_collector_the_context_of_the_sender_stays() {
        let origin = Origin { namespace: "ns".into(), source: "s".into(), event: "e".into() };
        let id = EventId::derive("ns", "s", "e", "1");
        let sent = BTreeMap::from([(TRACEPARENT.to_owned(), "as it came".to_owned())]);
        let mut attributes = sent.clone();
        Receipt::begin(("webhook", &origin, &id), Timestamp::UNIX_EPOCH, &mut attributes)
            .end(Timestamp::UNIX_EPOCH, &Ok(Emitted::Filtered));
        assert_eq!(attributes, sent);
    }
}
