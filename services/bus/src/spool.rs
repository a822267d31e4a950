//! The spool: events are durable in a log of our own before the sender is answered, and go on to the bus in their
//! order, under the same ids. Senders that never try again lose nothing while the bus is away.
//!
//! A bus forgets ids after a while, so that an event whose acknowledgement was lost cannot simply be sent again
//! after a long absence. The forwarder therefore looks, whenever it does not know, into the bus: each event that it
//! forwards carries its id as a header, and what was stored since the last one that it knows of is read back.
//!
//! Of one subject one event is under way at a time, and expects the one before it: that keeps the order whatever a
//! connection loses, and refuses what arrives later than anybody waited for it.

mod cursor;
mod forward;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_core::Timestamp;
use tokio_util::sync::CancellationToken;

use self::cursor::Cursor;
use self::forward::Forwarder;
use crate::error::BusError;
use crate::port::{Acked, Bus, Message, Publish, StreamConfig};
use crate::streams;

/// Carries the id in a form that can be read back.
const ID: &str = "tiphys-id";
/// The references of blobs that are to be forwarded before any later event.
const BLOBS: &str = "SPOOLBLOBS";

/// How much is kept, and for how long.
#[derive(Debug, Clone)]
pub struct SpoolConfig {
    /// At most so many bytes of events, forwarded ones that are still remembered included; senders are refused
    /// beyond that.
    pub max_bytes: u64,
    /// How long a forwarded event is kept to recognise its duplicates.
    pub remember: Duration,
    /// The largest message that the bus takes, in bytes of subject, headers and payload.
    pub max_message: usize,
}

impl Default for SpoolConfig {
    fn default() -> Self {
        Self { max_bytes: 1 << 30, remember: Duration::from_secs(600), max_message: 1_000_000 }
    }
}

/// How the spool stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Events not yet on the bus.
    pub messages: u64,
    /// When the oldest of them was stored.
    pub oldest: Option<Timestamp>,
    /// Why they are not forwarded, where something is wrong.
    pub held: Option<String>,
}

/// A bus whose events go through a log of our own. Everything else is the bus's.
pub struct Spool {
    local: Arc<dyn Bus>,
    remote: Arc<dyn Bus>,
    config: SpoolConfig,
    state: Mutex<State>,
}

/// What the forwarder tells.
#[derive(Debug, Default)]
struct State {
    cursor: Cursor,
    held: Option<String>,
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool").field("config", &self.config).finish_non_exhaustive()
    }
}

/// Opens the spool that `local` holds, before `remote`.
///
/// # Errors
/// Fails when the local log cannot be used.
pub async fn open(
    local: Arc<dyn Bus>,
    remote: Arc<dyn Bus>,
    config: SpoolConfig,
) -> Result<Arc<Spool>, BusError> {
    let stream = |name: &str, max_bytes, duplicate_window| StreamConfig {
        name: name.into(),
        max_messages: 0,
        max_bytes,
        max_age: Duration::ZERO,
        duplicate_window,
        last_per_subject: false,
        trim_acked: false,
    };
    local.ensure_stream(&stream(streams::EVENTS, config.max_bytes, config.remember)).await?;
    local.ensure_stream(&stream(BLOBS, 0, Duration::ZERO)).await?;
    cursor::ensure(local.as_ref()).await?;
    let cursor = cursor::load(local.as_ref()).await?;
    let state = Mutex::new(State { cursor, held: None });
    Ok(Arc::new(Spool { local, remote, config, state }))
}

impl Spool {
    /// Forwards until `stop`.
    ///
    /// # Errors
    /// Fails when the local log cannot be used.
    pub async fn forward(self: Arc<Self>, stop: CancellationToken) -> Result<(), BusError> {
        Forwarder::new(self).run(stop).await
    }

    /// How the spool stands.
    ///
    /// # Errors
    /// Fails when the local log cannot be used.
    pub async fn backlog(&self) -> Result<Backlog, BusError> {
        let (cursor, held) = {
            let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            (state.cursor, state.held.clone())
        };
        let oldest = self.local.read(streams::EVENTS, "", cursor.local + 1, 1).await?;
        let Some(oldest) = oldest.first() else {
            return Ok(Backlog { held, ..Backlog::default() });
        };
        let last = self.local.info(streams::EVENTS).await?.last;
        Ok(Backlog { messages: last + 1 - oldest.sequence, oldest: Some(oldest.stored), held })
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn forwarded(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).cursor.local
    }

    /// Stores an event in the log of our own. A full log first forgets what was forwarded.
    async fn store(&self, mut message: Publish) -> Result<Acked, BusError> {
        if let Some(id) = &message.id {
            message.headers.insert(ID.into(), id.clone());
        }
        let headers = message.headers.iter().map(|(name, value)| name.len() + value.len() + 4);
        let size = message.subject.len() + message.payload.len() + headers.sum::<usize>();
        // The forwarder could never get rid of it.
        if size > self.config.max_message {
            let (subject, limit) = (message.subject, self.config.max_message);
            return Err(BusError::TooLarge { subject, size, limit });
        }
        match self.local.publish(message.clone()).await {
            Err(BusError::Full { .. }) => {
                let removed = self.local.purge(streams::EVENTS, "", Some(self.forwarded())).await?;
                tracing::debug!(removed, "the spool forgot forwarded events to make room");
                self.local.publish(message).await
            }
            stored => stored,
        }
    }
}

/// Everything but events and blobs is the bus's.
#[async_trait]
impl crate::Layer for Spool {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        Ok(self.remote.as_ref())
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        if streams::stream_of(&message.subject) == streams::EVENTS {
            return self.store(message).await;
        }
        self.remote.publish(message).await
    }

    /// Of EVENTS: by the sequence that [`Bus::publish`] of this spool gave.
    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        let bus = if stream == streams::EVENTS { &self.local } else { &self.remote };
        bus.get(stream, sequence).await
    }

    /// Kept here, and noted, so that it is on the bus before any event that is stored later.
    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        let reference = self.local.put_blob(content).await?;
        let note = Publish::new(streams::subject(BLOBS, &["note"]), reference.clone());
        self.local.publish(note).await?;
        Ok(reference)
    }

    /// Closes the log of our own; the bus belongs to others.
    async fn close(&self) {
        self.local.close().await;
    }
}
