//! Waiting for a stream to grow. All who wait for one stream share a consumer that gets headers only; one
//! of them listens, and tells the others.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, Info};
use serde_json::json;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::link::Link;
use super::place::places;
use super::pull::Puller;
use super::read;
use crate::error::BusError;

/// Notices asked for at once.
const BATCH: usize = 256;
/// One that is further behind is made anew rather than read through.
const BEHIND: u64 = 4096;
/// The server forgets a consumer that nobody asks for so long.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// So long a listener waits before it asks anew.
const LISTENS: Duration = Duration::from_secs(20);

/// Knows how far a stream has grown.
pub(super) struct Watcher {
    seen: watch::Sender<u64>,
    ear: Mutex<Option<Ear>>,
}

struct Ear {
    puller: Puller,
    heard: u64,
}

impl Default for Watcher {
    fn default() -> Self {
        Self { seen: watch::Sender::new(0), ear: Mutex::new(None) }
    }
}

impl Watcher {
    /// Returns once the stream's last sequence is greater than `after`, or `wait` is over.
    pub(super) async fn wait_for(
        &self,
        link: &Arc<Link>,
        stream: &str,
        after: u64,
        wait: Duration,
    ) -> Result<u64, BusError> {
        // A wait may be told as a very long time.
        let deadline = Instant::now() + wait.min(Duration::from_secs(365 * 86_400));
        loop {
            link.open()?;
            let last = read::info(link, stream).await?.last;
            if last > after || Instant::now() >= deadline {
                return Ok(last);
            }
            let mut seen = self.seen.subscribe();
            tokio::select! {
                biased;
                () = link.closed.cancelled() => return Err(BusError::Closed),
                grown = seen.wait_for(|seen| *seen > after) => {
                    if let Ok(grown) = grown {
                        return Ok(*grown);
                    }
                }
                listened = self.listen(link, stream, last, after) => listened?,
                () = tokio::time::sleep_until(deadline) => return Ok(last),
            }
        }
    }

    /// Listens in turn with others, until the stream has grown beyond `after`.
    async fn listen(&self, link: &Arc<Link>, stream: &str, last: u64, after: u64) -> Result<(), BusError> {
        let mut slot = self.ear.lock().await;
        let ear = match slot.as_mut() {
            Some(ear) if ear.heard + BEHIND > last => ear,
            _ => slot.insert(Ear::open(link, stream, last).await?),
        };
        while ear.heard <= after {
            match ear.listen(link).await {
                Ok(()) => self.seen.send_if_modified(|seen| {
                    let grown = ear.heard > *seen;
                    *seen = ear.heard.max(*seen);
                    grown
                }),
                // Forgotten, or lost with its server: whoever waits looks again, and makes another.
                Err(BusError::Missing { .. }) => {
                    *slot = None;
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
        }
        Ok(())
    }
}

impl Ear {
    async fn open(link: &Arc<Link>, stream: &str, last: u64) -> Result<Self, BusError> {
        let on_server = link.names.stream(stream);
        let name = link.client.new_inbox().replace(['.', '$'], "-");
        let config = Config {
            name: Some(name.clone()),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: last + 1 },
            ack_policy: AckPolicy::None,
            headers_only: true,
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: FORGOTTEN,
            ..Config::default()
        };
        let body = json!({ "stream_name": on_server, "config": config, "action": "create" });
        let request = format!("CONSUMER.CREATE.{on_server}.{name}");
        let made = link.ask::<Info>(&request, &body).await;
        made.map_err(|failure| failure.about(&format!("stream `{stream}`")))?;
        Ok(Self { puller: Puller::new(link, on_server, name).await?, heard: last })
    }

    async fn listen(&mut self, link: &Link) -> Result<(), BusError> {
        let arrived = self.puller.pull(BATCH, LISTENS).await?;
        for (place, _) in places(link, arrived)? {
            self.heard = self.heard.max(place.sequence);
        }
        Ok(())
    }
}
