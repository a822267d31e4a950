//! Traces for an OpenTelemetry collector. Without one in the environment nothing is made, and nothing runs.
//!
//! A span is told of once, when it has ended, by its own identity: whoever derives that from what the span is about
//! tells of the same span again, and of no second one.

mod export;
mod settings;

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _};
use opentelemetry::trace::{TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SamplingDecision, ShouldSample, SpanData, SpanLinks};
use opentelemetry_sdk::trace::{SpanEvents, SpanProcessor as _};
use tiphys_core::{Timestamp, Trace};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// How long the last spans may take on their way at the end.
const LAST: Duration = Duration::from_secs(3);

static TRACER: OnceLock<Tracer> = OnceLock::new();

/// What a span is to those on the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Nobody is there.
    #[default]
    Internal,
    /// It answers a request.
    Server,
    /// It makes one.
    Client,
    /// It puts something into a queue.
    Producer,
    /// It takes something out of one.
    Consumer,
}

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// What was done, in few words that many spans share.
    pub name: String,
    /// What it is to others.
    pub kind: Kind,
    /// Itself.
    pub trace: Trace,
    /// What caused it.
    pub parent: Option<Trace>,
    /// What else did.
    pub links: Vec<Trace>,
    /// When it began.
    pub begun: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// What it was about.
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// Gives spans to the exporter, and never waits for it.
#[derive(Debug)]
pub struct Tracer {
    processor: BatchSpanProcessor,
    sampler: Box<dyn ShouldSample>,
    scope: InstrumentationScope,
    /// Ends what is under way.
    over: CancellationToken,
}

/// The tracer of the process; none where no collector is named.
#[must_use]
pub fn tracer() -> Option<&'static Tracer> {
    TRACER.get()
}

/// Begins to trace, where `variable` (the environment's, as OpenTelemetry names them) names a collector. To be called once,
/// within the runtime, before the work. What is wrong with the settings is told, and keeps nobody from work.
pub fn install(role: &str, instance: &str, variable: impl Fn(&str) -> Option<String>) {
    let Some(settings) = settings::Settings::of(variable) else { return };
    for warning in &settings.warnings {
        warn!("{warning}");
    }
    match export::open(&settings, role, instance) {
        Ok(tracer) => {
            debug!("spans are sent to a collector");
            let _ = TRACER.set(tracer);
        }
        Err(error) => warn!(%error, "no spans are sent: see the variables OTEL_*"),
    }
}

/// Sends what is left. Waits for a short while at most.
pub async fn flush() {
    let Some(tracer) = tracer() else { return };
    let last = tokio::task::spawn_blocking(|| tracer.processor.shutdown_with_timeout(LAST)).await;
    // What is under way still would outlive the runtime that it needs.
    tracer.over.cancel();
    if let Ok(Err(error)) = last {
        warn!(%error, "the last spans may be lost");
    }
}

impl Tracer {
    /// Where something enters: the child of `parent`, or the beginning of the trace `root`. The sampler says whether it and
    /// what follows is recorded.
    #[must_use]
    pub fn enter(&self, parent: Option<Trace>, root: u128, span: u64) -> Trace {
        let above = parent.map(|parent| Context::new().with_remote_span_context(place(parent)));
        let trace = parent.map_or(Trace { id: root, span, sampled: false }, |parent| parent.child(span));
        let id = TraceId::from(trace.id);
        let asked = self.sampler.should_sample(above.as_ref(), id, "", &SpanKind::Internal, &[], &[]);
        Trace { sampled: asked.decision == SamplingDecision::RecordAndSample, ..trace }
    }

    /// Takes a span, where it is recorded. One that there is no room for is dropped.
    pub fn tell(&self, span: Span) {
        if span.trace.sampled {
            self.processor.on_end(data(span, self.scope.clone()));
        }
    }
}

fn place(trace: Trace) -> SpanContext {
    let flags = TraceFlags::default().with_sampled(trace.sampled);
    let (id, span) = (TraceId::from(trace.id), SpanId::from(trace.span));
    SpanContext::new(id, span, flags, true, TraceState::NONE)
}

fn data(span: Span, scope: InstrumentationScope) -> SpanData {
    let mut links = SpanLinks::default();
    links.links = span.links.into_iter().map(|link| Link::with_context(place(link))).collect();
    SpanData {
        span_context: place(span.trace),
        parent_span_id: span.parent.map_or(SpanId::INVALID, |parent| SpanId::from(parent.span)),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: match span.kind {
            Kind::Internal => SpanKind::Internal,
            Kind::Server => SpanKind::Server,
            Kind::Client => SpanKind::Client,
            Kind::Producer => SpanKind::Producer,
            Kind::Consumer => SpanKind::Consumer,
        },
        name: span.name.into(),
        start_time: span.begun.into(),
        // A clock may be set back meanwhile.
        end_time: span.ended.max(span.begun).into(),
        attributes: span.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: span.error.map_or(Status::Unset, Status::error),
        instrumentation_scope: scope,
    }
}

#[cfg(test)]
mod tests;
