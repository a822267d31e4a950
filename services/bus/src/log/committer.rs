//! The one writer of a log on disk: a thread that gathers what waits into one commit, and while that is
//! synced the next gathers. It never waits for more than there is.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::error;

use super::request::{Action, Request};
use super::shared::Shared;
use crate::error::BusError;

/// Requests that may wait; beyond that, whoever asks waits for a place.
const QUEUE: usize = 1024;
/// A commit gathers at most so many requests …
const MOST: usize = 1024;
/// … and stops gathering at so many bytes of payload.
const BYTES: usize = 8 << 20;

/// The thread and the way to it.
pub(crate) struct Committer {
    queue: mpsc::Sender<Request>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Committer {
    /// Starts the thread. It ends, all requests answered, once the log is closed.
    pub(crate) fn start(shared: Arc<Shared>) -> Result<Self, BusError> {
        let unavailable = |error: std::io::Error| BusError::Unavailable {
            reason: format!("the committer cannot start: {error}"),
        };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(unavailable)?;
        let (queue, waiting) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("tiphys-bus".into())
            .spawn(move || runtime.block_on(run(&shared, waiting)))
            .map_err(unavailable)?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Hands over a request.
    pub(crate) async fn send(&self, request: Request) -> Result<(), BusError> {
        let sent = self.queue.send(request).await;
        sent.map_err(|_| BusError::Closed)
    }

    /// Waits for the thread's end; blocks.
    pub(crate) fn join(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take()
            && thread.join().is_err()
        {
            error!("the committer panicked; what it had not answered is not stored for sure");
        }
    }
}

async fn run(shared: &Shared, mut waiting: mpsc::Receiver<Request>) {
    let mut closing = false;
    loop {
        let next = async {
            tokio::select! {
                biased;
                first = waiting.recv() => Some(first),
                () = shared.closed.cancelled(), if !closing => None,
            }
        };
        match timeout(shared.options.save_every, next).await {
            Ok(Some(Some(first))) => shared.process(gather(first, &mut waiting)),
            Ok(Some(None)) => break,
            Ok(None) => {
                closing = true;
                waiting.close();
            }
            Err(_idle) => shared.process(Vec::new()),
        }
    }
    shared.process_last();
    shared.store.close();
}

/// All that waits, up to the limits of a commit.
fn gather(first: Request, waiting: &mut mpsc::Receiver<Request>) -> Vec<Request> {
    let size = |request: &Request| match &request.action {
        Action::Publish(message) => message.payload.len(),
        _ => 0,
    };
    let mut bytes = size(&first);
    let mut requests = vec![first];
    while requests.len() < MOST && bytes < BYTES {
        let Ok(next) = waiting.try_recv() else { break };
        bytes += size(&next);
        requests.push(next);
    }
    requests
}
