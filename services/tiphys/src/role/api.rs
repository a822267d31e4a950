//! The API, and the webhooks' addresses on its port, which it passes on to the event source.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::{HeaderMap, StatusCode, header};
use tiphys_bus::Bus;
use tiphys_catalog::Catalog;
use tiphys_executor::launcher::process::LogReader;
use tiphys_kit::Group;
use tiphys_server::{Guard, Parts, Shared};
use tokio::net::TcpListener;

use super::Service;
use super::beat::Others;
use crate::client::ServerFile;
use crate::data::DataFolder;

/// An answer of the event source may take so long.
const PATIENCE: Duration = Duration::from_secs(60);

impl Service<'_> {
    pub(super) async fn api(
        &self,
        rooms: &mut Group,
        bus: &Arc<dyn Bus>,
        catalog: &Catalog,
    ) -> anyhow::Result<SocketAddr> {
        let listener = TcpListener::bind((self.args.host.as_str(), self.args.port)).await;
        let listener = listener.with_context(|| format!("{}:{}", self.args.host, self.args.port))?;
        let address = listener.local_addr()?;
        let (others, metrics) = (Others::default(), self.metrics.clone());
        let heard = others.clone();
        let (shared, followers) = Shared::open(Parts {
            bus: bus.clone(),
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
            launcher: Arc::new(LogReader::new(self.data.steps())),
            metrics: Arc::new(move || metrics.render()),
            diagnostics: Arc::new(move || heard.diagnostics()),
            namespace: self.namespace.clone(),
        })
        .await?;
        shared.follow(followers, rooms);
        let (listening, clock, health) = (bus.clone(), self.clock.clone(), self.health.clone());
        rooms.spawn("others", move |stop| others.listen(listening, clock, health, stop));
        let base = self.args.api.clone().unwrap_or_else(|| format!("http://{address}"));
        let named = base.parse::<http::Uri>().with_context(|| format!("--api {base}"))?;
        let hosts = [address.ip().to_string()].into_iter().chain(named.host().map(str::to_owned)).collect();
        let guard = Guard::new(self.data.token()?.into(), hosts);
        let router = tiphys_server::router(shared, guard).merge(self.passing_on()?);
        rooms.spawn("http", move |stop| crate::http::serve(listener, router, stop));
        self.data.announce(&ServerFile { address: base, pid: std::process::id() })?;
        Ok(address)
    }

    fn passing_on(&self) -> anyhow::Result<Router> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        let way = Way { client, fixed: self.args.webhooks.clone(), data: self.data.clone() };
        Ok(Router::new().route("/events/{*path}", any(pass_on)).with_state(Arc::new(way)))
    }
}

/// The way to the event source.
struct Way {
    client: reqwest::Client,
    fixed: Option<String>,
    data: DataFolder,
}

impl Way {
    fn base(&self) -> Option<String> {
        self.fixed.clone().or_else(|| Some(self.data.role("eventsource")?["address"].as_str()?.to_owned()))
    }
}

/// Passes a webhook on as it came. The sender is answered by the event source, or told 503.
async fn pass_on(State(way): State<Arc<Way>>, request: Request) -> Response {
    let away = || {
        let mut answer = StatusCode::SERVICE_UNAVAILABLE.into_response();
        answer.headers_mut().insert(header::RETRY_AFTER, http::HeaderValue::from_static("1"));
        answer
    };
    let Some(base) = way.base() else { return away() };
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let onward = way
        .client
        .request(parts.method, format!("{base}{path}"))
        .headers(end_to_end(parts.headers))
        .body(reqwest::Body::wrap_stream(body.into_data_stream()));
    let Ok(answer) = onward.send().await else { return away() };
    let (status, headers) = (answer.status(), end_to_end(answer.headers().clone()));
    let mut response = Response::new(Body::from_stream(answer.bytes_stream()));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Headers that concern more than one connection. The length stays: senders keep a connection only where an empty
/// answer says that it is empty.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE, header::HOST] {
        headers.remove(name);
    }
    headers
}
