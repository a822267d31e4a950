//! From a payload to a stored event: filter, identity, durable publication, duplicates.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tiphys_bus::{Acked, Bus, BusError, Publish, streams};
use tiphys_core::{Clock, Event, EventId, Origin, Timestamp};
use tiphys_kit::Backoff;
use tiphys_lang::template::Context;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::error::Error;
use crate::filter::Filter;
use crate::meter::Meter;
use crate::receipt::Receipt;

/// Header of the bus message that holds the fingerprint of the sender's body.
const FINGERPRINT: &str = "tiphys-body";
/// Failures are told of once in this time.
const QUIET: Duration = Duration::from_secs(10);
/// A native id longer than this is used, but not shown among the attributes.
const SHOWN_ID: usize = 256;

/// The sender's own id of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Native {
    /// The id.
    pub(crate) id: String,
    /// Fingerprint of the body, where the sender may reuse an id for something else.
    pub(crate) fingerprint: Option<String>,
}

/// The fingerprint of a body.
#[must_use]
pub(crate) fn fingerprint(body: &[u8]) -> String {
    let mut hex = hex::encode(Sha256::digest(body));
    hex.truncate(32);
    hex
}

/// What is to become an event.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// The sender's id; a fresh one is made where there is none.
    pub(crate) native: Option<Native>,
    /// One JSON text.
    pub(crate) payload: Bytes,
    /// When it happened, if known.
    pub(crate) occurred: Option<Timestamp>,
    /// Extensions of the event.
    pub(crate) attributes: BTreeMap<String, String>,
    /// What is stored beside the event, under the attribute that will hold the reference.
    pub(crate) blob: Option<(&'static str, Bytes)>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Emitted {
    /// The bus holds it.
    Stored(EventId),
    /// The bus held it before.
    Duplicate(EventId),
    /// The filter refused it.
    Filtered,
}

/// Publishes the events of one origin. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Emitter(Arc<Inner>);

struct Inner {
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    origin: Origin,
    kind: &'static str,
    subject: String,
    filter: Option<Filter>,
    meter: Meter,
    patience: Duration,
    /// When a failure was told last, and how many were not since then.
    told: Mutex<(Option<Instant>, u64)>,
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Emitter").field(&self.0.origin).finish()
    }
}

impl Emitter {
    pub(crate) fn new(
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        origin: Origin,
        kind: &'static str,
        filter: Option<Filter>,
        patience: Duration,
    ) -> Self {
        let names = [origin.namespace.as_str(), origin.source.as_str(), origin.event.as_str()];
        Self(Arc::new(Inner {
            subject: streams::subject(streams::EVENTS, &names),
            meter: Meter::of(&origin),
            bus,
            clock,
            origin,
            kind,
            filter,
            patience,
            told: Mutex::default(),
        }))
    }

    /// The time now.
    #[must_use]
    pub(crate) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Stores an event; durable when this returns.
    ///
    /// # Errors
    /// Fails when the bus refuses, or does not answer in time.
    pub(crate) async fn emit(&self, draft: Draft) -> Result<Emitted, Error> {
        let began = Instant::now();
        let meter = &self.0.meter;
        let outcome = self.store(draft).await;
        match &outcome {
            Ok(Emitted::Stored(id)) => {
                meter.sent.increment(1);
                debug!(event = %id, source = self.0.origin.source, name = self.0.origin.event, "event stored");
            }
            Ok(Emitted::Duplicate(id)) => {
                meter.duplicate.increment(1);
                info!(event = %id, source = self.0.origin.source, name = self.0.origin.event, "event was stored before");
            }
            Ok(Emitted::Filtered) => meter.filtered.increment(1),
            Err(failure) => {
                meter.failed.increment(1);
                self.tell(failure);
            }
        }
        meter.duration.record(began.elapsed().as_secs_f64() * 1000.0);
        outcome
    }

    /// Tells of a failure, of one in ten seconds: with a bus that is away each event fails, many at once.
    fn tell(&self, failure: &Error) {
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, silent) = *told;
        if since.is_some_and(|since| since.elapsed() < QUIET) {
            told.1 = silent.saturating_add(1);
            return;
        }
        *told = (Some(Instant::now()), 0);
        drop(told);
        warn!(
            source = self.0.origin.source,
            name = self.0.origin.event,
            error = tiphys_core::chain(failure),
            untold = silent,
            "event not stored"
        );
    }

    async fn store(&self, mut draft: Draft) -> Result<Emitted, Error> {
        let received = self.now();
        let native = match &draft.native {
            Some(native) => native.id.clone(),
            None => fresh_id(received),
        };
        let id = self.event_id(&native);
        let what = (self.0.kind, &self.0.origin, &id);
        let receipt = Receipt::begin(what, received, &mut draft.attributes);
        let outcome = self.store_as(id.clone(), &native, draft, received).await;
        receipt.end(self.now(), &outcome);
        outcome
    }

    async fn store_as(
        &self,
        id: EventId,
        native: &str,
        draft: Draft,
        received: Timestamp,
    ) -> Result<Emitted, Error> {
        if !self.wanted(&draft.payload, received, &id) {
            return Ok(Emitted::Filtered);
        }
        let mut attributes = draft.attributes;
        if draft.native.is_some() && native.len() <= SHOWN_ID {
            attributes.insert("nativeid".into(), native.to_owned());
        }
        if let Some((name, content)) = draft.blob {
            let put = self.0.bus.put_blob(content);
            let reference =
                tokio::time::timeout(self.0.patience, put).await.map_err(|_| Error::Patience)??;
            attributes.insert(name.into(), reference);
        }
        let event = Event {
            id,
            origin: self.0.origin.clone(),
            kind: self.0.kind.into(),
            occurred: draft.occurred,
            received,
            attributes,
            data: draft.payload,
        };
        let print = draft.native.and_then(|native| native.fingerprint);
        let acked = self.publish(&event, print.as_deref()).await?;
        if !acked.duplicate {
            return Ok(Emitted::Stored(event.id));
        }
        match print {
            Some(print) if self.differs(acked.sequence, &print).await? => {
                self.store_conflict(event, native, &print).await
            }
            _ => Ok(Emitted::Duplicate(event.id)),
        }
    }

    /// Another body under an id that is taken is another event, and somebody should know.
    async fn store_conflict(&self, first: Event, native: &str, print: &str) -> Result<Emitted, Error> {
        let mut event = first.clone();
        event.id = self.event_id(&format!("{native}\n{print}"));
        event.attributes.insert("conflictswith".into(), first.id.to_string());
        let acked = self.publish(&event, Some(print)).await?;
        if acked.duplicate {
            return Ok(Emitted::Duplicate(event.id));
        }
        self.0.meter.conflict.increment(1);
        warn!(
            event = %event.id, conflicts_with = %first.id, source = event.origin.source, name = event.origin.event,
            "a sender used one id for two bodies; both are kept as events of their own"
        );
        Ok(Emitted::Stored(event.id))
    }

    /// Whether the stored message was made of another body. One that is gone meanwhile counts as the same.
    async fn differs(&self, sequence: u64, print: &str) -> Result<bool, Error> {
        let stored = self.0.bus.get(streams::EVENTS, sequence).await?;
        let before = stored.and_then(|message| message.headers.get(FINGERPRINT).cloned());
        Ok(before.is_some_and(|before| before != print))
    }

    fn event_id(&self, native: &str) -> EventId {
        let origin = &self.0.origin;
        EventId::derive(&origin.namespace, &origin.source, &origin.event, native)
    }

    fn wanted(&self, payload: &Bytes, now: Timestamp, id: &EventId) -> bool {
        let Some(filter) = &self.0.filter else {
            return true;
        };
        let context = Context { now, seed: &id.0 };
        filter.holds(payload, context).unwrap_or_else(|reason| {
            warn!(
                source = self.0.origin.source,
                name = self.0.origin.event,
                reason,
                "the filter could not be evaluated; the event is not stored"
            );
            false
        })
    }

    /// Publishes, and tries again while the bus is away and patience lasts. Trying again is safe: the id
    /// is the same.
    async fn publish(&self, event: &Event, print: Option<&str>) -> Result<Acked, Error> {
        let record = event.encode().map_err(Error::Payload)?;
        let mut message = Publish::new(self.0.subject.clone(), record).id(event.id.0.clone());
        if let Some(print) = print {
            message.headers.insert(FINGERPRINT.into(), print.into());
        }
        let deadline = Instant::now() + self.0.patience;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        loop {
            let answer = tokio::time::timeout_at(deadline, self.0.bus.publish(message.clone()));
            match answer.await {
                Ok(Ok(acked)) => return Ok(acked),
                Ok(Err(BusError::Unavailable { .. })) if Instant::now() < deadline => {
                    let wait = Instant::now() + backoff.next_wait();
                    tokio::time::sleep_until(wait.min(deadline)).await;
                }
                Ok(Err(refused)) => return Err(refused.into()),
                Err(_) => return Err(Error::Patience),
            }
        }
    }
}

/// An id in the form of a UUID of version 7: time first, then randomness.
fn fresh_id(now: Timestamp) -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness the time must do; the nanoseconds make a collision unlikely even then.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = now.as_nanosecond().to_be_bytes();
    }
    let millis = now.as_millisecond().to_be_bytes();
    bytes[..6].copy_from_slice(&millis[2..]);
    bytes[6] = 0x70 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    hex::encode(bytes)
}
