use super::*;

use std::sync::{Arc, Mutex};

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SpanExporter};

#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

fn tracer(sampler: Sampler) -> (Tracer, Kept) {
    let kept = Kept::default();
    let scope = InstrumentationScope::builder("test").build();
    let processor = BatchSpanProcessor::builder(kept.clone()).build();
    (Tracer { processor, sampler: Box::new(sampler), scope, over: CancellationToken::new() }, kept)
}

fn parent(sampled: bool) -> Trace {
    Trace { id: 7, span: 8, sampled }
}

fn span(trace: Trace) -> Span {
    let begun: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
    Span {
        name: "act t".into(),
        kind: Kind::Client,
        trace,
        parent: Some(parent(true)),
        links: vec![Trace { id: 9, span: 10, sampled: true }],
        begun,
        ended: begun,
        attributes: vec![("tiphys.attempt", "1".into())],
        error: Some("no".into()),
    }
}

#[test]
fn the_sampler_is_asked_where_a_trace_enters() {
    let (by_parent, _) = tracer(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)));
    assert_eq!(by_parent.enter(None, 5, 6), Trace { id: 5, span: 6, sampled: true });
    assert_eq!(by_parent.enter(Some(parent(true)), 5, 6), Trace { id: 7, span: 6, sampled: true });
    assert_eq!(by_parent.enter(Some(parent(false)), 5, 6), Trace { id: 7, span: 6, sampled: false });
    let (none, _) = tracer(Sampler::AlwaysOff);
    assert_eq!(none.enter(Some(parent(true)), 5, 6), Trace { id: 7, span: 6, sampled: false });
}

#[test]
fn a_span_goes_out_as_it_is_and_only_where_it_is_recorded() {
    let (tracer, kept) = tracer(Sampler::AlwaysOn);
    tracer.tell(span(parent(false).child(11)));
    tracer.tell(span(parent(true).child(12)));
    tracer.processor.shutdown_with_timeout(LAST).unwrap();
    let kept = kept.0.lock().unwrap();
    assert_eq!(kept.len(), 1);
    let sent = &kept[0];
    assert_eq!(sent.span_context.trace_id(), TraceId::from(7));
    assert_eq!((sent.span_context.span_id(), sent.parent_span_id), (SpanId::from(12), SpanId::from(8)));
    assert_eq!((sent.name.as_ref(), &sent.span_kind), ("act t", &SpanKind::Client));
    assert_eq!(sent.links[0].span_context.span_id(), SpanId::from(10));
    assert_eq!(sent.attributes, [KeyValue::new("tiphys.attempt", "1")]);
    assert_eq!(sent.status, Status::error("no"));
    assert_eq!(sent.start_time, sent.end_time);
}
