//! An OpenTelemetry collector that keeps what it is told, and any other server that a trigger calls.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message as _;

/// A span as it came.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty where it begins its trace.
    pub(crate) parent: String,
    /// OTLP's number.
    pub(crate) kind: i32,
    pub(crate) failed: bool,
    pub(crate) begun: u64,
    pub(crate) ended: u64,
    pub(crate) attributes: BTreeMap<String, String>,
    /// Of the process.
    pub(crate) resource: BTreeMap<String, String>,
}

impl Told {
    /// Its context, as W3C writes it.
    pub(crate) fn context(&self) -> String {
        format!("00-{}-{}-01", self.trace, self.id)
    }
}

#[derive(Default)]
struct Kept {
    spans: Vec<Told>,
    calls: Vec<String>,
}

/// A running one; it runs until the test's process ends.
#[derive(Clone)]
pub(crate) struct Collector {
    /// Where.
    pub(crate) url: String,
    kept: Arc<Mutex<Kept>>,
}

/// What every sender must say.
pub(crate) const KEY: &str = "let me in";

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self { url, kept: Arc::default() };
        let router = Router::new()
            .route("/v1/traces", post(take))
            .route("/call", post(call))
            .with_state(collector.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                axum::serve(listener, router).await.unwrap();
            });
        });
        collector
    }

    /// Everything that was told. What is told again is the same span.
    pub(crate) fn spans(&self) -> Vec<Told> {
        let kept = self.kept.lock().unwrap();
        let mut seen = BTreeSet::new();
        kept.spans.iter().filter(|span| seen.insert(span.id.clone())).cloned().collect()
    }

    /// The span of this name, once it was told; there must be one at most.
    pub(crate) fn span(&self, name: &str) -> Option<Told> {
        let mut all = self.spans();
        all.retain(|span| span.name == name);
        assert!(all.len() < 2, "{name} is more than one span: {all:#?}");
        all.pop()
    }

    /// The `traceparent` of each call.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.kept.lock().unwrap().calls.clone()
    }
}

async fn take(State(collector): State<Collector>, headers: HeaderMap, body: Bytes) -> (StatusCode, Vec<u8>) {
    if headers.get("x-key").is_none_or(|key| key != KEY) {
        return (StatusCode::UNAUTHORIZED, Vec::new());
    }
    assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let mut kept = collector.kept.lock().unwrap();
    for of_resource in request.resource_spans {
        let resource = table(of_resource.resource.unwrap_or_default().attributes);
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            kept.spans.push(Told {
                name: span.name,
                trace: hex::encode(span.trace_id),
                id: hex::encode(span.span_id),
                parent: hex::encode(span.parent_span_id),
                kind: span.kind,
                failed: span.status.is_some_and(|status| status.code == 2),
                begun: span.start_time_unix_nano,
                ended: span.end_time_unix_nano,
                attributes: table(span.attributes),
                resource: resource.clone(),
            });
        }
    }
    (StatusCode::OK, Vec::new())
}

async fn call(State(collector): State<Collector>, headers: HeaderMap) {
    let trace = headers.get("traceparent").map_or("", |value| value.to_str().unwrap());
    collector.kept.lock().unwrap().calls.push(trace.to_owned());
}

fn table(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.clone()) {
        Some(Value::StringValue(text)) => text,
        other => format!("{other:?}"),
    };
    pairs.iter().map(|pair| (pair.key.clone(), text(pair))).collect()
}
