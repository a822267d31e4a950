//! The door for HTTP: routes that are swapped at once, on the main port and on webhooks' own ports.

mod body;
mod listener;
mod patience;
mod receive;
mod refusal;
pub(crate) mod table;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::any;
use http::StatusCode;
use tiphys_kit::{CancellationToken, Crowd, Tasks};
use tiphys_manifest::Diagnostic;
use tokio::sync::{Semaphore, watch};

use self::listener::Listeners;
pub(crate) use self::refusal::Refusal;
use self::table::Table;
pub(crate) use self::table::{Candidate, Place, Route};
pub(crate) use self::tls::Tls;
use crate::config::Config;
use crate::finding::Findings;

/// The door. Cheap to clone. It is shut (503) until [`crate::run`] opens it, and again after that ends.
#[derive(Debug, Clone)]
pub struct Ingress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    table: watch::Sender<Option<Arc<Table>>>,
    listeners: Listeners,
    connections: Crowd,
    in_flight: Arc<Semaphore>,
    tasks: Tasks,
    findings: Findings,
}

impl Ingress {
    /// A door that is shut.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(Arc::new(Inner {
            table: watch::Sender::new(None),
            listeners: Listeners::default(),
            connections: Crowd::new(config.max_connections),
            in_flight: Arc::new(Semaphore::new(config.max_in_flight)),
            tasks: Tasks::new(CancellationToken::new()),
            findings: Findings::default(),
            config,
        }))
    }

    /// The canonical addresses, to be mounted on the main port:
    /// `/events/{namespace}/{eventsource}/{event}`. They need no bearer token of the API.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/events/{namespace}/{eventsource}/{event}", any(canonical))
            .with_state(self.clone())
    }

    /// What is wrong with event sources now, beyond what their manifests show.
    #[must_use]
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.0.findings.all()
    }

    /// The ports that are open: as the manifests name them, and where they really are.
    #[must_use]
    pub fn listeners(&self) -> Vec<(u16, SocketAddr)> {
        self.0.listeners.open()
    }

    /// How many connections to own ports are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.0.connections.len()
    }

    pub(crate) fn findings(&self) -> &Findings {
        &self.0.findings
    }

    /// Puts new routes in the place of the old ones. Requests under way keep the route they came by.
    /// Returns whether every port is open.
    pub(crate) fn apply(&self, candidates: Vec<Candidate>) -> bool {
        let (table, mut found) = Table::build(candidates);
        let table = Arc::new(table);
        self.0.table.send_replace(Some(table.clone()));
        let closed = self.reconcile_listeners(&table);
        let all_open = closed.is_empty();
        found.extend(closed);
        self.0.findings.set("ingress", found);
        all_open
    }

    /// Tells everybody 503, closes the own ports, and waits for what is under way.
    pub(crate) async fn close(&self) {
        self.0.table.send_replace(None);
        self.0.listeners.close();
        self.0.tasks.stop().cancel();
        self.0.tasks.drain(self.0.config.grace).await;
    }

    fn table(&self) -> Option<Arc<Table>> {
        self.0.table.borrow().clone()
    }
}

/// A request to a canonical address.
async fn canonical(
    State(ingress): State<Ingress>,
    Path(address): Path<(String, String, String)>,
    request: Request,
) -> Response {
    let Some(table) = ingress.table() else {
        return ingress.refuse(Refusal::Closed, request.into_body()).await;
    };
    match table.canonical(&address) {
        Some(route) => ingress.receive(&route, request).await,
        None => ingress.refuse(Refusal::Unknown, request.into_body()).await,
    }
}

/// A request to a webhook's own port.
async fn on_port(ingress: Ingress, port: u16, request: Request) -> Response {
    let Some(table) = ingress.table() else {
        return ingress.refuse(Refusal::Closed, request.into_body()).await;
    };
    let path = request.uri().path();
    if let Some(route) = table.on_port(port, path) {
        return ingress.receive(&route, request).await;
    }
    if path == "/health" {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::OK;
        return response;
    }
    ingress.refuse(Refusal::Unknown, request.into_body()).await
}
