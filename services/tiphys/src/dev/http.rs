//! The main port: API, webhooks' canonical addresses and probes on one listener, with limits on slow clients.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tiphys_kit::{CancellationToken, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tracing::debug;

/// Connections at once; one more waits in the system's queue.
const CONNECTIONS: usize = 1024;
/// The headers of a request must arrive within this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections under way may take so long to end at shutdown.
const GRACE: Duration = Duration::from_secs(5);

/// Serves until `stop`, then lets open requests end.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    stop: CancellationToken,
) -> Result<(), std::io::Error> {
    let tasks = Tasks::new(stop.clone());
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    while let Some((stream, slot)) = tiphys_kit::accept(&listener, &slots, &stop).await {
        let (router, stop) = (router.clone(), stop.clone());
        tasks.spawn("connection", async move {
            connection(stream, router, stop).await;
            drop(slot);
        });
    }
    tasks.drain(GRACE).await;
    Ok(())
}

async fn connection(stream: TcpStream, router: Router, stop: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(100)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
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
