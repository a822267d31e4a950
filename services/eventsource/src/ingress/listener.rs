//! Webhooks' own ports: opened, given another certificate, and closed as the routes change.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tiphys_kit::{CancellationToken, Guest, attend};
use tiphys_manifest::Diagnostic;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info};

use super::patience::Patient;
use super::receive::{MAX_HEADER_BYTES, MAX_HEADERS};
use super::table::Table;
use super::tls::Tls;
use super::{Ingress, on_port};
use crate::finding::PORT;

/// The ports that are open.
#[derive(Debug, Default)]
pub(super) struct Listeners(Mutex<HashMap<u16, Open>>);

#[derive(Debug)]
struct Open {
    address: SocketAddr,
    stop: CancellationToken,
    tls: watch::Sender<Option<Tls>>,
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, HashMap<u16, Open>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn open(&self) -> Vec<(u16, SocketAddr)> {
        let mut all: Vec<_> = self.lock().iter().map(|(p, o)| (*p, o.address)).collect();
        all.sort();
        all
    }

    pub(super) fn close(&self) {
        for (_, open) in self.lock().drain() {
            open.stop.cancel();
        }
    }
}

impl Ingress {
    /// Closes ports that no route wants, opens those that one does. Tells which could not be opened.
    pub(super) fn reconcile_listeners(&self, table: &Table) -> Vec<Diagnostic> {
        let mut open = self.0.listeners.lock();
        open.retain(|port, listener| {
            let wanted = table.ports().contains_key(port);
            if !wanted {
                info!(port, "webhook port closed");
                listener.stop.cancel();
            }
            wanted
        });
        let mut found = Vec::new();
        for (port, wanted) in table.ports() {
            if let Some(listener) = open.get(port) {
                listener.tls.send_if_modified(|tls| {
                    let new = *tls != wanted.tls;
                    tls.clone_from(&wanted.tls);
                    new
                });
                continue;
            }
            match self.listen(*port, wanted.tls.clone()) {
                Ok(listener) => {
                    info!(port, address = %listener.address, tls = wanted.tls.is_some(), "webhook port open");
                    open.insert(*port, listener);
                }
                Err(reason) => found.push(wanted.spot.diagnostic(
                    PORT,
                    format!("port {port} cannot be opened: {reason}"),
                    "free the port, or give the webhook another; its canonical address works, and the port is tried again".into(),
                )),
            }
        }
        found
    }

    fn listen(&self, port: u16, tls: Option<Tls>) -> std::io::Result<Open> {
        let listener = std::net::TcpListener::bind((self.0.config.host, port))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let stop = self.0.tasks.stop().child_token();
        let (tls, certificate) = watch::channel(tls);
        let accept = accept(self.clone(), port, listener, certificate, stop.clone());
        self.0.tasks.spawn("webhook port", accept);
        Ok(Open { address, stop, tls })
    }
}

/// Where a connection came in.
struct Door {
    ingress: Ingress,
    port: u16,
    guest: Arc<Guest>,
}

/// Accepts connections until told to stop.
async fn accept(
    ingress: Ingress,
    port: u16,
    listener: TcpListener,
    tls: watch::Receiver<Option<Tls>>,
    stop: CancellationToken,
) {
    while let Some((stream, guest)) = tiphys_kit::accept(&listener, &ingress.0.connections, &stop).await {
        let (tls, guest) = (tls.borrow().clone(), Arc::new(guest));
        let door = Door { ingress: ingress.clone(), port, guest: guest.clone() };
        let connection = connect(door, stream, tls, stop.clone());
        ingress.0.tasks.spawn("connection", async move {
            tokio::select! {
                // First, so that what can be written is written.
                biased;
                () = connection => {}
                () = guest.dismissed() => debug!(port, "an idle connection made room for another"),
            }
        });
    }
}

/// Serves one connection.
async fn connect(door: Door, stream: TcpStream, tls: Option<Tls>, stop: CancellationToken) {
    let Some(tls) = tls else {
        return serve(door, stream, stop).await;
    };
    let port = door.port;
    let shake = TlsAcceptor::from(tls.config).accept(stream);
    match tokio::time::timeout(door.ingress.0.config.header_timeout, shake).await {
        Ok(Ok(stream)) => serve(door, stream, stop).await,
        Ok(Err(reason)) => debug!(port, %reason, "no TLS connection"),
        Err(_) => debug!(port, "the TLS handshake took too long"),
    }
}

async fn serve<S>(door: Door, stream: S, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Door { ingress, port, guest } = door;
    let config = &ingress.0.config;
    let answering = Arc::new(AtomicBool::new(false));
    let patient = Patient::new(stream, config.header_timeout, answering.clone());
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.idle_timeout)
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(2 * MAX_HEADER_BYTES);
    let ingress = ingress.clone();
    let service = service_fn(move |request: http::Request<Incoming>| {
        answering.store(true, Ordering::Release);
        let (ingress, answering, guest) = (ingress.clone(), answering.clone(), guest.clone());
        async move {
            let response = attend(&guest, request, |request| on_port(ingress, port, request)).await;
            answering.store(false, Ordering::Release);
            Ok::<_, Infallible>(response)
        }
    });
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(patient), service));
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = stop.cancelled() => {
            // The request under way is answered; then the connection ends.
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(reason) = outcome {
        debug!(port, %reason, "connection ended");
    }
}
