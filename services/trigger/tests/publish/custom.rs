//! The custom trigger's contract, with a server of our own on its other side.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};
use tiphys_core::{Firing, Operation, Value};
use tiphys_proto::triggers::trigger_server::{Trigger, TriggerServer};
use tiphys_proto::triggers::{
    ApplyPolicyRequest, ApplyPolicyResponse, ExecuteRequest, ExecuteResponse, FetchResourceRequest,
    FetchResourceResponse,
};
use tiphys_trigger::dlq;
use tiphys_trigger::ledger::{Effect, State};
use tokio::net::TcpListener;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::world::{TRACE, World, firing};

/// What was executed: the firing's id and trace context, the resource, the payload.
type Executed = Arc<Mutex<Vec<(String, String, String)>>>;

#[derive(Clone, Default)]
struct Service {
    executed: Executed,
    /// How the next calls of Execute go wrong.
    failures: Arc<Mutex<Vec<Status>>>,
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tonic::async_trait]
impl Trigger for Service {
    async fn fetch_resource(
        &self,
        request: Request<FetchResourceRequest>,
    ) -> Result<Response<FetchResourceResponse>, Status> {
        let spec: Json = serde_json::from_slice(&request.into_inner().resource).unwrap();
        let resource = json!({"kind": "Run", "from": spec["url"]}).to_string();
        Ok(Response::new(FetchResourceResponse { resource: resource.into() }))
    }

    async fn execute(&self, request: Request<ExecuteRequest>) -> Result<Response<ExecuteResponse>, Status> {
        let said = |name: &str| request.metadata().get(name).unwrap().to_str().unwrap().to_owned();
        let id = format!("{} {}", said("tiphys-firing-id"), said("traceparent"));
        let request = request.into_inner();
        self.executed.lock().unwrap().push((id, text(&request.resource), text(&request.payload)));
        match self.failures.lock().unwrap().pop() {
            Some(failure) => Err(failure),
            None => Ok(Response::new(ExecuteResponse { response: request.payload })),
        }
    }

    async fn apply_policy(
        &self,
        request: Request<ApplyPolicyRequest>,
    ) -> Result<Response<ApplyPolicyResponse>, Status> {
        let success = !request.into_inner().request.windows(4).any(|word| word == b"fail");
        let message = if success { "started" } else { "the run failed" }.into();
        Ok(Response::new(ApplyPolicyResponse { success, message }))
    }
}

/// Serves on a runtime of its own, which can be killed with all its connections.
struct Server {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    async fn start(service: Service, address: &str, tls: Option<ServerTlsConfig>) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address: SocketAddr = address.parse().unwrap();
        let (tell, told) = tokio::sync::oneshot::channel();
        runtime.spawn(async move {
            let listener = free(address).await;
            tell.send(listener.local_addr().unwrap()).unwrap();
            let mut server = tonic::transport::Server::builder();
            if let Some(tls) = tls {
                server = server.tls_config(tls).unwrap();
            }
            let router = server.add_service(TriggerServer::new(service));
            router.serve_with_incoming(TcpIncoming::from(listener)).await
        });
        Self { address: told.await.unwrap(), runtime: Some(runtime) }
    }
}

/// The address may still be held by a server that is going.
async fn free(address: SocketAddr) -> TcpListener {
    for _ in 0..200 {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            bound => return bound.unwrap(),
        }
    }
    panic!("{address} is in use and stays so");
}

impl Drop for Server {
    fn drop(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }
}

fn calling(server: SocketAddr, name: &str, payload: &str) -> Firing {
    let template = json!({"serverURL": server.to_string(), "spec": {"url": "here"}});
    let mut firing = firing(name, &json!({"custom": template}));
    firing.trigger_spec["retryStrategy"] = json!({"steps": 200, "duration": "50ms", "factor": 1});
    let value = |dest: &str, value: &str| Value {
        dest: dest.into(),
        operation: Operation::Overwrite,
        value: json!(value).to_string(),
    };
    firing.attributes.insert("traceparent".into(), TRACE.into());
    firing.parameters.push(value("metadata.namespace", "red"));
    firing.payload.push(value("a", payload));
    firing
}

#[tokio::test(flavor = "multi_thread")]
async fn the_three_calls_carry_what_argo_sends_and_one_id() {
    let service = Service::default();
    service.failures.lock().unwrap().extend([Status::unknown("busy"), Status::unavailable("away")]);
    let server = Server::start(service.clone(), "127.0.0.1:0", None).await;
    let world = World::start().await;
    let firing = calling(server.address, "t", "x");
    world.fire(&firing, "1").await;
    let entry = world.until(&firing.id, State::Done).await;
    assert!(matches!(entry.effect, Some(Effect::Custom { message, .. }) if message == "started"));
    let resource = r#"{"kind":"Run","from":"here","metadata":{"namespace":"red"}}"#;
    let once = (format!("{} {TRACE}", firing.id), resource.to_owned(), r#"{"a":"x"}"#.to_owned());
    assert_eq!(*service.executed.lock().unwrap(), vec![once; 3]);

    // The server dies and comes back; the connection with it.
    let address = server.address;
    drop(server);
    let late = calling(address, "late", "y");
    world.fire(&late, "2").await;
    world.until(&late.id, State::Retrying).await;
    let _server = Server::start(service.clone(), &address.to_string(), None).await;
    world.until(&late.id, State::Done).await;
    assert_eq!(service.executed.lock().unwrap().len(), 4);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_went_wrong_is_a_dead_letter_that_says_so() {
    let service = Service::default();
    service.failures.lock().unwrap().push(Status::invalid_argument("no such pipeline"));
    let server = Server::start(service, "127.0.0.1:0", None).await;
    let world = World::start().await;
    for (name, payload, reason) in
        [("refused", "x", "no such pipeline"), ("failed", "fail", "the run failed")]
    {
        let firing = calling(server.address, name, payload);
        world.fire(&firing, name).await;
        assert_eq!(world.until(&firing.id, State::Dead).await.attempts, 1);
        let letter = dlq::list(&world.bus, 1, 10).await.unwrap().pop().unwrap().letter;
        assert!(letter.reason.contains(reason), "{}", letter.reason);
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_server_is_known_by_the_authority_and_the_name_of_the_manifest() {
    let made = rcgen::generate_simple_self_signed(vec!["trigger.example".into()]).unwrap();
    let identity = Identity::from_pem(made.cert.pem(), made.signing_key.serialize_pem());
    let tls = ServerTlsConfig::new().identity(identity);
    let server = Server::start(Service::default(), "127.0.0.1:0", Some(tls)).await;
    let world = World::start().await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "tls"}, "stringData": {"ca": made.cert.pem()}});
    world.put(&secret.to_string());
    let mut firing = calling(server.address, "t", "x");
    let template = &mut firing.trigger_spec["template"]["custom"];
    template["secure"] = json!(true);
    template["certSecret"] = json!({"name": "tls", "key": "ca"});
    let mut unnamed = firing.clone();
    unnamed.id.0.push('2');
    unnamed.trigger_spec["retryStrategy"] = json!({"steps": 1});
    firing.trigger_spec["template"]["custom"]["serverNameOverride"] = json!("trigger.example");
    world.fire(&firing, "1").await;
    world.until(&firing.id, State::Done).await;
    world.fire(&unnamed, "2").await;
    world.until(&unnamed.id, State::Dead).await;
    world.end().await;
}
