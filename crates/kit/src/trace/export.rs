//! The way to the collector: OTLP over HTTP, from a thread of the library's own, with the HTTP client of everybody here.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use metrics::counter;
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, Config, SpanData, SpanExporter, SpanProcessor as _};
use tiphys_core::chain;
use tokio::runtime::Handle;
use tokio_util::context::TokioContext;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Tracer;
use super::settings::Settings;

/// Failures are told of once in this time.
const QUIET: Duration = Duration::from_secs(10);
/// A longer answer is not read.
const ANSWER: usize = 64 * 1024;

/// Makes the tracer; the library reads the other variables.
pub(super) fn open(
    settings: &Settings,
    role: &str,
    instance: &str,
) -> Result<Tracer, Box<dyn std::error::Error>> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tiphys/", env!("CARGO_PKG_VERSION")))
        .timeout(settings.patience)
        .build()?;
    let ear = Ear::default();
    let over = CancellationToken::new();
    let post = Post { client, runtime: Handle::try_current()?, ear: ear.clone(), over: over.clone() };
    let inner = exporter(post)?;
    let mut processor = BatchSpanProcessor::builder(Telling { inner, ear, told: Mutex::default() }).build();
    processor.set_resource(&resource(settings, role, instance));
    let scope = InstrumentationScope::builder("tiphys").with_version(env!("CARGO_PKG_VERSION")).build();
    Ok(Tracer { processor, sampler: Config::default().sampler, scope, over })
}

fn exporter(post: Post) -> Result<opentelemetry_otlp::SpanExporter, ExporterBuildError> {
    opentelemetry_otlp::SpanExporter::builder().with_http().with_http_client(post).build()
}

/// Who sends: what the environment says, and what it does not say.
fn resource(settings: &Settings, role: &str, instance: &str) -> Resource {
    let mut all = vec![
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_owned()),
        KeyValue::new("tiphys.role", role.to_owned()),
    ];
    if !settings.is_named {
        all.push(KeyValue::new("service.name", "tiphys"));
    }
    Resource::builder().with_attributes(all).build()
}

/// Why the last request failed. The library keeps no more than that it did.
#[derive(Debug, Clone, Default)]
struct Ear(Arc<Mutex<Option<String>>>);

impl Ear {
    fn hear(&self, reason: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }

    fn heard(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Sends requests from a thread outside the runtime.
#[derive(Debug)]
struct Post {
    client: reqwest::Client,
    runtime: Handle,
    ear: Ear,
    /// The runtime is about to end, and nothing may be sent any more.
    over: CancellationToken,
}

#[async_trait]
impl HttpClient for Post {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sending = async {
            tokio::select! {
                biased;
                () = self.over.cancelled() => Err(HttpError::from("the process ends")),
                sent = send(&self.client, request) => sent.map_err(HttpError::from),
            }
        };
        let sent = TokioContext::new(sending, self.runtime.clone()).await;
        if let Err(error) = &sent {
            self.ear.hear(chain(error.as_ref()));
        }
        sent
    }
}

async fn send(client: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
    // Headers may hold secrets, and so may an address.
    let request = reqwest::Request::try_from(request)?;
    let mut answer = client.execute(request).await.map_err(reqwest::Error::without_url)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while body.len() < ANSWER
        && let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)?
    {
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// Counts, and tells of failures now and then: with a collector that is away each batch fails.
#[derive(Debug)]
struct Telling<E> {
    inner: E,
    ear: Ear,
    /// When a failure was told last, and how many spans were lost without a word since then.
    told: Mutex<(Option<Instant>, usize)>,
}

impl<E: SpanExporter> SpanExporter for Telling<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let outcome = self.inner.export(batch).await;
        let counted = u64::try_from(spans).unwrap_or(u64::MAX);
        match &outcome {
            Ok(()) => counter!("tiphys_spans_total", "outcome" => "sent").increment(counted),
            Err(error) => {
                counter!("tiphys_spans_total", "outcome" => "lost").increment(counted);
                let reason = self.ear.heard().unwrap_or_else(|| error.to_string());
                if let Some(lost) = self.due(spans, Instant::now()) {
                    warn!(lost, reason, "the collector does not take spans");
                }
            }
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

impl<E> Telling<E> {
    /// Whether a loss is to be told now, and of how many spans.
    fn due(&self, spans: usize, now: Instant) -> Option<usize> {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = told.1.saturating_add(spans);
        if told.0.is_some_and(|last| now.duration_since(last) < QUIET) {
            told.1 = lost;
            return None;
        }
        *told = (Some(now), 0);
        Some(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_told_once_in_a_while_and_none_is_forgotten() {
        let telling = Telling { inner: (), ear: Ear::default(), told: Mutex::default() };
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(telling.due(3, start), Some(3));
        assert_eq!(telling.due(4, after(5)), None);
        assert_eq!(telling.due(5, after(9)), None);
        assert_eq!(telling.due(6, after(10)), Some(15));
        assert_eq!(telling.due(7, after(21)), Some(7));
    }
}
