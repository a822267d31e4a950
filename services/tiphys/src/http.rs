//! The main port: API, webhooks' canonical addresses and probes on one listener, with limits on slow clients.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures::StreamExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use tiphys_kit::{CancellationToken, Crowd, Guest, Tasks, attend};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

/// Connections at once; one more takes the place of the longest idle.
const CONNECTIONS: usize = 1024;
/// As on webhooks' own ports: a request has at most so many headers, and so many bytes of them.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 32 * 1024;
/// The headers of a request must arrive within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of whoever speaks TLS.
const HANDSHAKE: u8 = 22;
/// Connections under way may take so long to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// The address that a client on this machine asks. One that listens on every address is found on loopback too.
pub(crate) fn base(listens: SocketAddr) -> String {
    let ip = match listens.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, listens.port()))
}

/// Serves until `stop`, then lets open requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    serve_with(listener, router, None, stop).await
}

/// The same, with a certificate for those who begin with a handshake: one port is enough for both.
pub(crate) async fn serve_with(
    listener: TcpListener,
    router: Router,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let tls = tls.map(TlsAcceptor::from);
    let tasks = Tasks::new(stop.clone());
    let crowd = Crowd::new(CONNECTIONS);
    while let Some((stream, guest)) = tiphys_kit::accept(&listener, &crowd, &stop).await {
        let guest = Arc::new(guest);
        let connection = open(stream, tls.clone(), router.clone(), stop.clone(), guest.clone());
        tasks.spawn("connection", async move {
            tokio::select! {
                // First, so that what can be written is written.
                biased;
                () = connection => {}
                () = guest.dismissed() => debug!("an idle connection made room for another"),
            }
        });
    }
    if !tasks.drain(GRACE).await {
        warn!(left = tasks.len(), "the grace period is over, connections that are still open are cut off");
    }
    Ok(())
}

/// A connection of which it is known how it speaks.
enum Begun {
    Plain(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

async fn open(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    router: Router,
    stop: CancellationToken,
    guest: Arc<Guest>,
) {
    let Some(tls) = tls else { return connection(stream, router, stop, guest).await };
    let begins = tokio::time::timeout(HEADER_TIMEOUT, begin(stream, tls));
    match stop.run_until_cancelled(begins).await {
        Some(Ok(Ok(Begun::Plain(stream)))) => connection(stream, router, stop, guest).await,
        Some(Ok(Ok(Begun::Encrypted(stream)))) => connection(*stream, router, stop, guest).await,
        Some(Ok(Err(error))) => debug!(%error, "a connection ended in its handshake"),
        Some(Err(_)) | None => {}
    }
}

async fn begin(stream: TcpStream, tls: TlsAcceptor) -> std::io::Result<Begun> {
    let mut first = [0];
    if stream.peek(&mut first).await? == 1 && first == [HANDSHAKE] {
        return Ok(Begun::Encrypted(Box::new(tls.accept(stream).await?)));
    }
    Ok(Begun::Plain(stream))
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    stop: CancellationToken,
    guest: Arc<Guest>,
) {
    let router = TowerToHyperService::new(router);
    let ending = stop.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (router, guest, ending) = (router.clone(), guest.clone(), ending.clone());
        async move {
            let answer = |request| async move { endable(router.call(request).await.into_response(), ending) };
            Ok::<_, Infallible>(attend(&guest, request, answer).await)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(2 * MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!(%error, "a connection ended early");
                }
                return;
            }
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// A stream of events has no end of its own: it ends with the server, and holds up nobody.
fn endable(answer: Response, stop: CancellationToken) -> Response {
    let kind = answer.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        return answer;
    }
    answer.map(|body| Body::from_stream(body.into_data_stream().take_until(stop.cancelled_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_address_is_found_on_loopback() {
        for (listens, expected) in [
            ("0.0.0.0:2746", "http://127.0.0.1:2746"),
            ("[::]:2746", "http://[::1]:2746"),
            ("192.0.2.7:80", "http://192.0.2.7:80"),
            ("127.0.0.1:1", "http://127.0.0.1:1"),
        ] {
            assert_eq!(base(listens.parse().unwrap()), expected);
        }
    }
}
