//! A running event source room: memory bus, catalog, main port.
#![allow(dead_code, reason = "each suite uses a part")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tiphys_bus::{Bus, Message, memory, streams};
use tiphys_catalog::{Catalog, Feeder};
use tiphys_core::{Event, SystemClock};
use tiphys_eventsource::{Config, Deps, Ingress, run};
use tiphys_kit::{CancellationToken, Health, Tasks};
use tiphys_manifest::load::{LoadOptions, load};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A condition that has not come about by then never will.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// The room, with what surrounds it.
pub(crate) struct Stage {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) ingress: Ingress,
    pub(crate) health: Health,
    pub(crate) client: reqwest::Client,
    feeder: Feeder,
    main: SocketAddr,
    stop: CancellationToken,
    tasks: Tasks,
}

impl Stage {
    /// Starts with these manifests on a memory bus.
    pub(crate) async fn start(manifests: &str) -> Self {
        Self::with(manifests, memory(), Config::default()).await
    }

    pub(crate) async fn with(manifests: &str, bus: Arc<dyn Bus>, config: Config) -> Self {
        for stream in streams::all() {
            bus.ensure_stream(&stream).await.unwrap();
        }
        let catalog = Catalog::new();
        let feeder = catalog.feeder();
        let ingress = Ingress::new(config.clone());
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let health = Health::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let main = listener.local_addr().unwrap();
        let router = ingress.router();
        let closing = stop.clone();
        tasks.spawn("main port", async move {
            let serve = axum::serve(listener, router);
            serve.with_graceful_shutdown(closing.cancelled_owned()).await.unwrap();
        });
        let stage = Self {
            bus: bus.clone(),
            ingress: ingress.clone(),
            health: health.clone(),
            client: reqwest::Client::new(),
            feeder,
            main,
            stop: stop.clone(),
            tasks,
        };
        stage.put(manifests);
        let deps = Deps { bus, spool: None, catalog, clock: Arc::new(SystemClock), health };
        stage.tasks.spawn("eventsource", async move {
            run(config, deps, ingress, stop).await.unwrap();
        });
        let parts = || stage.health.parts();
        until("ready", || parts().get("eventsource") == Some(&None)).await;
        stage
    }

    /// Puts these manifests in the place of those before.
    pub(crate) fn put(&self, manifests: &str) {
        let loaded = load("test.yaml", manifests, &LoadOptions::default());
        assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
        let objects = loaded.objects.into_iter().map(Arc::new).collect();
        self.feeder.replace(objects, Vec::new());
    }

    /// The canonical address of `default/SOURCE/EVENT`.
    pub(crate) fn canonical(&self, source: &str, event: &str) -> String {
        format!("http://{}/events/default/{source}/{event}", self.main)
    }

    pub(crate) const fn main(&self) -> SocketAddr {
        self.main
    }

    /// Where the port that the manifest calls `port` really is.
    pub(crate) fn port(&self, port: u16) -> Option<SocketAddr> {
        let open = self.ingress.listeners().into_iter();
        open.into_iter().find(|(p, _)| *p == port).map(|(_, a)| a)
    }

    pub(crate) async fn post(&self, url: &str, body: impl Into<reqwest::Body>) -> reqwest::Response {
        self.client.post(url).body(body).send().await.unwrap()
    }

    /// All stored messages.
    pub(crate) async fn messages(&self) -> Vec<Message> {
        self.bus.read(streams::EVENTS, "", 0, 10_000).await.unwrap()
    }

    /// All stored events.
    pub(crate) async fn events(&self) -> Vec<Event> {
        let messages = self.messages().await;
        messages.iter().map(|m| Event::decode(&m.payload).unwrap()).collect()
    }

    /// The codes of the diagnostics.
    pub(crate) fn codes(&self) -> Vec<String> {
        self.ingress.diagnostics().into_iter().map(|d| d.code).collect()
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        assert!(self.tasks.drain(DEADLINE).await, "the room did not stop");
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(DEADLINE, wait).await.is_ok(), "never came about: {what}");
}

/// Sends bytes over a connection of their own; gives all that comes back.
pub(crate) async fn raw(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    answer(&mut stream).await
}

/// Reads one answer without body, or to the end.
pub(crate) async fn answer(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    let read = async {
        let mut part = [0_u8; 4096];
        loop {
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(n) => all.extend_from_slice(&part[..n]),
            }
            if all.windows(4).any(|w| w == b"\r\n\r\n") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, read).await.expect("an answer");
    String::from_utf8_lossy(&all).into_owned()
}

/// The body within a payload, byte for byte.
pub(crate) fn body_of(event: &Event) -> Bytes {
    #[derive(serde::Deserialize)]
    struct Payload<'a> {
        #[serde(borrow)]
        body: &'a serde_json::value::RawValue,
    }
    let payload: Payload<'_> = serde_json::from_slice(&event.data).unwrap();
    Bytes::copy_from_slice(payload.body.get().as_bytes())
}
