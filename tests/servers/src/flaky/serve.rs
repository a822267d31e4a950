//! The proxy's connections.

use std::io;
use std::sync::Arc;

use axum::body::Body;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, CONNECTION, HOST, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use kube::Client;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::fault::{Fault, answer};
use super::stream::{gone, watched};
use super::{Mood, Shared};
use crate::kubernetes::Request as Asked;

/// The largest request that the API server takes is 3 MiB.
const REQUEST_BYTES: usize = 4 << 20;
/// Exec sessions that may begin at one moment.
const SESSIONS: usize = 64;

/// Serves until the test's end of the mood is dropped.
pub(super) async fn serve(
    listener: std::net::TcpListener,
    behind: Client,
    shared: Arc<Shared>,
    mut mood: watch::Receiver<Mood>,
) {
    let address = listener.local_addr().expect("an address");
    let mut listener = Some(TcpListener::from_std(listener).expect("a port"));
    let (sessions, mut begun) = mpsc::channel(SESSIONS);
    let door = Door { behind, shared, mood: mood.clone(), sessions };
    let mut connections = JoinSet::new();
    loop {
        let away = mood.borrow_and_update().away;
        if away {
            listener = None;
            connections.shutdown().await;
        } else if listener.is_none() {
            listener = Some(TcpListener::bind(address).await.expect("the port that it had"));
        }
        tokio::select! {
            changed = mood.changed() => if changed.is_err() { return },
            stream = accept(listener.as_ref()) => drop(connections.spawn(connection(stream, door.clone()))),
            Some(session) = begun.recv() => drop(connections.spawn(session)),
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    loop {
        match listener {
            None => std::future::pending().await,
            Some(listener) => {
                if let Ok((stream, _)) = listener.accept().await {
                    let _ = stream.set_nodelay(true);
                    return stream;
                }
            }
        }
    }
}

#[derive(Clone)]
struct Door {
    behind: Client,
    shared: Arc<Shared>,
    mood: watch::Receiver<Mood>,
    sessions: mpsc::Sender<BoxFuture<'static, ()>>,
}

async fn connection(stream: TcpStream, door: Door) {
    let service = service_fn(|request| door.answer(request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    // One that breaks is what the test wants.
    let _ = served.await;
}

impl Door {
    /// An error breaks the connection.
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Body>> {
        let asked = asked(&request);
        let place = self.shared.note(&asked);
        // An answer to a request that was not read would break the connection.
        let request = Whole::read(request).await?;
        let answered = self.with_faults(&asked, request).await;
        if let Ok(answer) = &answered {
            self.shared.answered(place, answer.status().as_u16());
        }
        answered
    }

    async fn with_faults(&self, asked: &Asked, request: Whole) -> io::Result<Response<Body>> {
        match self.shared.fault(asked) {
            None => self.pass(asked, request).await,
            Some(Fault::Status(status)) => Ok(answer(status, None)),
            Some(Fault::TooMany(seconds)) => Ok(answer(429, Some(seconds))),
            Some(Fault::Late(time)) => {
                tokio::time::sleep(time).await;
                self.pass(asked, request).await
            }
            Some(Fault::Held) => {
                let _ = self.mood.clone().wait_for(|mood| mood.lets_go).await;
                self.pass(asked, request).await
            }
            Some(Fault::Unheard) => Err(io::ErrorKind::ConnectionReset.into()),
            Some(Fault::Unanswered) => {
                self.pass(asked, request).await?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Some(Fault::Gone) => Ok(Response::new(Body::from(gone()))),
        }
    }

    /// Asks the API server.
    async fn pass(&self, asked: &Asked, request: Whole) -> io::Result<Response<Body>> {
        let Whole { request, near } = request;
        let mut answer = self.behind.send(request).await.map_err(io::Error::other)?;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(near)) = (answer.status(), near) {
            let far = hyper::upgrade::on(&mut answer);
            let session = async move {
                let (Ok(near), Ok(far)) = (near.await, far.await) else { return };
                let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            };
            // Nobody takes it up only where the proxy ends.
            let _ = self.sessions.send(session.boxed()).await;
        }
        let watches = asked.verb == "watch";
        let answer = answer.map(Body::new);
        Ok(if watches { answer.map(|body| watched(body, self.mood.clone())) } else { answer })
    }
}

/// A request that was read.
struct Whole {
    request: Request<kube::client::Body>,
    /// The connection, where both sides are to talk in another way.
    near: Option<OnUpgrade>,
}

impl Whole {
    async fn read(mut request: Request<Incoming>) -> io::Result<Self> {
        let near = request.headers().contains_key(UPGRADE).then(|| hyper::upgrade::on(&mut request));
        let (mut parts, body) = request.into_parts();
        for header in [HOST, AUTHORIZATION] {
            parts.headers.remove(header);
        }
        if near.is_none() {
            parts.headers.remove(CONNECTION);
        }
        let body = axum::body::to_bytes(Body::new(body), REQUEST_BYTES).await.map_err(io::Error::other)?;
        Ok(Self { request: Request::from_parts(parts, body.into()), near })
    }
}

/// A request in the words of the audit log.
fn asked<B>(request: &Request<B>) -> Asked {
    let path = request.uri().path();
    let mut parts = path.trim_matches('/').split('/');
    // `/api/VERSION` and `/apis/GROUP/VERSION`.
    let resource = match parts.next() {
        Some("api") => parts.next().is_some(),
        Some("apis") => parts.nth(1).is_some(),
        _ => false,
    };
    let rest: Vec<&str> = if resource { parts.collect() } else { Vec::new() };
    let (namespace, rest) = match rest.as_slice() {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (resource, name) = match rest {
        [] => (path.to_owned(), ""),
        [resource] => ((*resource).to_owned(), ""),
        [resource, name] => ((*resource).to_owned(), *name),
        [resource, name, sub, ..] => (format!("{resource}/{sub}"), *name),
    };
    let verb = verb(request.method(), request.uri().query().unwrap_or_default(), name.is_empty());
    let [verb, namespace, name] = [verb, namespace, name].map(str::to_owned);
    Asked { user: "admin".to_owned(), verb, resource, namespace, name, status: 0 }
}

fn verb<'a>(method: &'a Method, query: &str, of_several: bool) -> &'a str {
    let watches = query.split('&').any(|part| matches!(part, "watch=1" | "watch=true"));
    match (method.as_str(), of_several) {
        ("GET", _) if watches => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        (other, _) => other,
    }
}
