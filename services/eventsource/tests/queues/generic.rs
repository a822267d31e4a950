//! The generic contract, with a server of our own on its other side.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::stream::BoxStream;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use tiphys_eventsource::Config;
use tiphys_proto::generic::eventing_server::{Eventing, EventingServer};
use tiphys_proto::generic::{Event, EventSource};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::{down, events, letters, until, up};

/// A server that sends what it is told, to whoever shows the token.
struct Server {
    address: SocketAddr,
    token: &'static str,
    runtime: Option<tokio::runtime::Runtime>,
    service: Service,
}

#[derive(Clone)]
struct Service {
    token: &'static str,
    asked: Arc<Mutex<Vec<EventSource>>>,
    outgoing: broadcast::Sender<String>,
}

#[tonic::async_trait]
impl Eventing for Service {
    type StartEventSourceStream = BoxStream<'static, Result<Event, Status>>;

    async fn start_event_source(
        &self,
        request: Request<EventSource>,
    ) -> Result<Response<Self::StartEventSourceStream>, Status> {
        let shown = request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        if shown.unwrap_or_default() != self.token {
            return Err(Status::unauthenticated(format!("`{}` is not known", shown.unwrap_or_default())));
        }
        let messages = self.outgoing.subscribe();
        self.asked.lock().unwrap().push(request.into_inner());
        let events = stream::unfold(messages, |mut messages| async {
            let payload = messages.recv().await.ok()?;
            Some((Ok(Event { name: "any".into(), payload: payload.into() }), messages))
        });
        Ok(Response::new(events.boxed()))
    }
}

impl Server {
    async fn start(token: &'static str) -> Self {
        let (outgoing, _) = broadcast::channel(2000);
        let service = Service { token, asked: Arc::default(), outgoing };
        let mut server = Self { address: "127.0.0.1:0".parse().unwrap(), token, runtime: None, service };
        server.serve().await;
        server
    }

    /// Serves on a runtime of its own, which can be killed with all its connections.
    async fn serve(&mut self) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (service, address) = (self.service.clone(), self.address);
        let (tell, told) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            let server = tonic::transport::Server::builder().add_service(EventingServer::new(service));
            server.serve_with_incoming(TcpIncoming::from(listener)).await
        });
        self.address = told.await.unwrap();
        self.runtime = Some(runtime);
    }

    fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Waits until somebody listens, and sends.
    async fn send(&self, payload: impl Into<String>) {
        until("somebody listens", || async { self.service.outgoing.receiver_count() > 0 }).await;
        self.service.outgoing.send(payload.into()).unwrap();
    }

    fn manifest(&self, event: &Value) -> String {
        let mut event = event.clone();
        event["url"] = json!(self.address.to_string());
        event["insecure"] = json!(true);
        if !self.token.is_empty() {
            event["authSecret"] = json!({"name": "login", "key": "token"});
        }
        let source = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "g"},
            "spec": {"generic": {"example": event}},
        });
        format!("{source}\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.runtime.is_some() {
            self.kill();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_in_argos_shape_and_a_server_may_come_and_go() {
    let mut server = Server::start("").await;
    let event = json!({"config": "key1: value1\n", "jsonBody": true, "metadata": {"team": "red"}});
    let stage = Stage::start(&server.manifest(&event)).await;
    up(&stage).await;
    server.send(r#"{ "n": 1795348800123456789 }"#).await;
    let found = events(&stage, 1).await;
    let payload = r#"{"body":{"n":1795348800123456789},"metadata":{"team":"red"}}"#;
    assert_eq!((found[0].kind.as_str(), &found[0].data[..]), ("generic", payload.as_bytes()));
    let asked = server.service.asked.lock().unwrap()[0].clone();
    assert_eq!((asked.name.as_str(), &asked.config[..]), ("example", &b"key1: value1\n"[..]));

    server.send("not json").await;
    let letter = letters(&stage, 1).await.remove(0);
    assert_eq!((letter.code.as_str(), letter.raw), ("TIP-SRC-009", Some(STANDARD.encode("not json"))));

    server.kill();
    down(&stage, "TIP-SRC-008").await;
    server.serve().await;
    server.send("{}").await;
    assert_eq!(events(&stage, 2).await.len(), 2);
    assert!(stage.codes().is_empty());

    stage.put(&server.manifest(&json!({"config": "raw"})));
    until("the new configuration", || async {
        server.service.asked.lock().unwrap().last().is_some_and(|asked| &asked.config[..] == b"raw")
    })
    .await;
    server.send("text").await;
    assert_eq!(&events(&stage, 3).await[2].data[..], br#"{"body":"dGV4dA=="}"#);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_and_never_told() {
    let server = Server::start("Bearer s3cret").await;
    let manifest = server.manifest(&json!({}));
    let secret = |token: &str| {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"token": token}});
        format!("{manifest}---\n{secret}\n")
    };
    let stage = Stage::start(&secret("wr0ng")).await;
    let reason = down(&stage, "TIP-SRC-008").await;
    assert!(reason.contains("Unauthenticated") && !reason.contains("wr0ng"), "{reason}");
    stage.put(&manifest);
    down(&stage, "TIP-SRC-002").await;
    stage.put(&secret("s3cret"));
    up(&stage).await;
    server.send("x").await;
    assert_eq!(events(&stage, 1).await.len(), 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_received_waits_for_a_bus_that_is_away_and_ids_make_one_of_two() {
    let server = Server::start("").await;
    let bus = Faulty::new();
    let config = Config { publish_patience: Duration::from_millis(100), ..Config::default() };
    let event = json!({"jsonBody": true, "idPath": "id"});
    let stage = Stage::with(&server.manifest(&event), bus.clone(), config).await;
    up(&stage).await;
    bus.away(true);
    for n in 0..1000 {
        server.send(json!({"id": n % 500}).to_string()).await;
    }
    bus.away(false);
    let found = events(&stage, 500).await;
    server.send(json!({"id": 500}).to_string()).await;
    assert_eq!(found.len(), 500);
    assert_eq!(events(&stage, 501).await.len(), 501);
    stage.end().await;
}
