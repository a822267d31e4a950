//! Durable consumers: made, opened, asked for messages, and where they stand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use async_nats::Message as Raw;
use async_nats::jetstream::consumer::{AckPolicy, Config, DeliverPolicy, Info};
use async_trait::async_trait;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::link::{Failure, Link, code, unavailable};
use super::place::{Place, places};
use super::pull::{Puller, nanoseconds};
use super::{read, wire};
use crate::error::BusError;
use crate::port::{Consumer, ConsumerConfig, ConsumerInfo, Delivery, Message, Start};
use crate::streams;

/// A server answers acks at once, or never: after a crash it may have forgotten that it handed a message
/// out, and does so again.
const ANSWERS: Duration = Duration::from_secs(2);

const ACK: &str = "+ACK";

/// What this process knows of a consumer, all its handles together.
#[derive(Debug, Default)]
pub(super) struct Known {
    redelivered: AtomicU64,
    /// Where the last ack went that the server did not confirm. It takes acks of a consumer one after another.
    unconfirmed: std::sync::Mutex<Option<String>>,
    /// Cancelled when it is deleted.
    pub(super) gone: CancellationToken,
}

impl Known {
    fn unconfirmed(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.unconfirmed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once the server has taken every ack so far; by acking the last one again, and waiting for the answer. An
    /// ack that is lost is no harm: the message comes again.
    pub(super) async fn settle(&self, link: &Link) {
        let last = self.unconfirmed().take();
        if let Some(answer_to) = last {
            let _ = link.send_within(ANSWERS, answer_to, None, ACK.into()).await;
        }
    }
}

/// The server's name of a consumer: dots and the like may not stand in it.
pub(super) fn name_on_server(name: &str) -> String {
    streams::token(name)
}

fn missing(name: &str) -> BusError {
    BusError::Missing { what: format!("consumer `{name}`") }
}

/// Makes a consumer, or gives an existing one new filters and limits.
pub(super) async fn ensure(link: &Link, stream: &str, config: &ConsumerConfig) -> Result<(), BusError> {
    let what = format!("consumer `{}` of stream `{stream}`", config.name);
    let filters = link.names.filters(stream, &config.filters)?;
    // Another process may make or delete it between the look and the deed.
    for _ in 0..3 {
        let (action, wanted) = match find(link, stream, &config.name).await? {
            None => ("create", fresh(link, stream, config).await?),
            Some(info) => ("update", info.config),
        };
        let mut new = wanted.clone();
        new.filter_subject = String::new();
        new.filter_subjects.clone_from(&filters);
        new.ack_wait = config.ack_wait;
        new.max_ack_pending = i64::try_from(config.max_ack_pending).unwrap_or(i64::MAX);
        if action == "update" && same(&wanted, &new) {
            return Ok(());
        }
        let (stream, name) = (link.names.stream(stream), name_on_server(&config.name));
        let body = json!({ "stream_name": stream, "config": new, "action": action });
        let request = format!("CONSUMER.CREATE.{stream}.{name}");
        match link.ask::<Info>(&request, &body).await {
            Ok(_) => return Ok(()),
            Err(failure) if matches!(failure.code(), code::CONSUMER_EXISTS | code::CONSUMER_ABSENT) => {}
            Err(failure) => return Err(failure.about(&what)),
        }
    }
    Err(unavailable(format!("{what} is made and deleted by others")))
}

fn same(old: &Config, new: &Config) -> bool {
    let mut filters = old.filter_subjects.clone();
    if !old.filter_subject.is_empty() {
        filters.push(old.filter_subject.clone());
    }
    filters.sort();
    (filters.as_slice(), old.ack_wait, old.max_ack_pending)
        == (new.filter_subjects.as_slice(), new.ack_wait, new.max_ack_pending)
}

async fn fresh(link: &Link, stream: &str, config: &ConsumerConfig) -> Result<Config, BusError> {
    let from = match config.start {
        Start::All => None,
        // A sequence rather than the server's own "new", so that it is known where it began.
        Start::New => Some(read::info(link, stream).await?.last + 1),
        Start::Sequence(sequence) => Some(sequence.max(1)),
    };
    Ok(Config {
        durable_name: Some(name_on_server(&config.name)),
        deliver_policy: from
            .map_or(DeliverPolicy::All, |start_sequence| DeliverPolicy::ByStartSequence { start_sequence }),
        ack_policy: AckPolicy::Explicit,
        max_deliver: -1,
        ..Config::default()
    })
}

async fn find(link: &Link, stream: &str, name: &str) -> Result<Option<Info>, BusError> {
    let (on_server, consumer) = (link.names.stream(stream), name_on_server(name));
    match link.ask(&format!("CONSUMER.INFO.{on_server}.{consumer}"), &json!({})).await {
        Ok(info) => Ok(Some(info)),
        Err(failure) if failure.code() == code::CONSUMER_NOT_FOUND => Ok(None),
        Err(failure) => Err(failure.about(&format!("stream `{stream}`"))),
    }
}

/// Forgets a consumer.
pub(super) async fn delete(link: &Link, stream: &str, name: &str) -> Result<(), BusError> {
    let (on_server, consumer) = (link.names.stream(stream), name_on_server(name));
    let request = format!("CONSUMER.DELETE.{on_server}.{consumer}");
    match link.ask::<serde_json::Value>(&request, &json!({})).await {
        Err(failure) if failure.code() != code::CONSUMER_NOT_FOUND => {
            Err(failure.about(&format!("stream `{stream}`")))
        }
        _ => Ok(()),
    }
}

/// Where a consumer stands.
pub(super) async fn position(
    link: &Link,
    stream: &str,
    name: &str,
    known: Option<&Known>,
) -> Result<Option<ConsumerInfo>, BusError> {
    if let Some(known) = known {
        known.settle(link).await;
    }
    // Before the consumer is looked at: what is stored in between is not taken for acked.
    let last = read::info(link, stream).await?.last;
    let Some(info) = find(link, stream, name).await? else {
        return Ok(None);
    };
    Ok(Some(ConsumerInfo {
        ack_floor: floor(&info, last),
        outstanding: info.num_ack_pending as u64,
        pending: info.num_pending,
        redelivered: known.map_or(0, |known| known.redelivered.load(Ordering::Relaxed)),
        begun_after: begun_after(&info),
    }))
}

const fn begun_after(info: &Info) -> u64 {
    match info.config.deliver_policy {
        DeliverPolicy::ByStartSequence { start_sequence } => start_sequence - 1,
        _ => 0,
    }
}

/// Up to where everything that a consumer wants is acked. The server's own floor stays at the last message
/// that the consumer wanted.
pub(super) fn floor(info: &Info, last: u64) -> u64 {
    let acked = info.ack_floor.stream_sequence.max(begun_after(info));
    match (info.num_ack_pending, info.num_pending) {
        (0, 0) => acked.max(last),
        (0, _) => acked.max(info.delivered.stream_sequence),
        _ => acked,
    }
}

/// A consumer on the server.
pub(super) struct RemoteConsumer {
    link: Arc<Link>,
    stream: String,
    name: String,
    known: Arc<Known>,
    puller: Mutex<Puller>,
}

impl RemoteConsumer {
    pub(super) async fn new(
        link: &Arc<Link>,
        stream: &str,
        name: &str,
        known: Arc<Known>,
    ) -> Result<Self, BusError> {
        let puller = Puller::new(link, link.names.stream(stream), name_on_server(name)).await?;
        Ok(Self {
            link: Arc::clone(link),
            stream: stream.into(),
            name: name.into(),
            known,
            puller: Mutex::new(puller),
        })
    }

    fn delivery(&self, place: Place, raw: Raw) -> Result<Box<dyn Delivery>, BusError> {
        let Some(answer_to) = raw.reply.as_ref().map(ToString::to_string) else {
            return Err(unavailable("a delivery that cannot be acked"));
        };
        if place.attempt > 1 {
            self.known.redelivered.fetch_add(1, Ordering::Relaxed);
        }
        let subject = raw.subject.clone();
        Ok(Box::new(RemoteDelivery {
            message: wire::message(&self.link.names, &subject, place.sequence, place.stored, raw)?,
            attempt: u32::try_from(place.attempt).unwrap_or(u32::MAX),
            answer_to,
            link: Arc::clone(&self.link),
            known: Arc::clone(&self.known),
            consumer: self.name.clone(),
        }))
    }
}

#[async_trait]
impl Consumer for RemoteConsumer {
    async fn fetch(&self, max: usize, wait: Duration) -> Result<Vec<Box<dyn Delivery>>, BusError> {
        self.link.open()?;
        let deadline = Instant::now() + wait;
        let taking = async {
            let mut puller = self.puller.lock().await;
            let left = deadline.saturating_duration_since(Instant::now());
            puller.pull(max, left).await
        };
        let taken = tokio::select! {
            biased;
            () = self.link.closed.cancelled() => return Err(BusError::Closed),
            () = self.known.gone.cancelled() => return Err(missing(&self.name)),
            taken = taking => taken?,
        };
        let placed = places(&self.link, taken)?;
        placed.into_iter().map(|(place, raw)| self.delivery(place, raw)).collect()
    }

    async fn info(&self) -> Result<ConsumerInfo, BusError> {
        self.link.open()?;
        let position = position(&self.link, &self.stream, &self.name, Some(&self.known)).await?;
        position.ok_or_else(|| missing(&self.name))
    }
}

struct RemoteDelivery {
    link: Arc<Link>,
    known: Arc<Known>,
    consumer: String,
    message: Message,
    attempt: u32,
    answer_to: String,
}

impl RemoteDelivery {
    fn still_there(&self) -> Result<(), BusError> {
        self.link.open()?;
        if self.known.gone.is_cancelled() {
            return Err(missing(&self.consumer));
        }
        Ok(())
    }

    /// Tells the server, and waits until it has understood: what follows on the same connection may
    /// otherwise overtake it.
    async fn tell(&self, word: impl Into<Bytes>) -> Result<(), BusError> {
        self.still_there()?;
        match self.link.send_within(ANSWERS, self.answer_to.clone(), None, word.into()).await {
            Ok(_) => Ok(()),
            Err(Failure::Nobody) => Err(missing(&self.consumer)),
            Err(failure) => Err(failure.about(&format!("consumer `{}`", self.consumer))),
        }
    }
}

#[async_trait]
impl Delivery for RemoteDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    async fn ack(&self) -> Result<(), BusError> {
        self.still_there()?;
        let away = || unavailable(format!("consumer `{}`: there is no connection to NATS", self.consumer));
        if !self.link.is_connected() {
            return Err(away());
        }
        let sent = self.link.client.publish(self.answer_to.clone(), ACK.into());
        match tokio::time::timeout(ANSWERS, sent).await {
            Ok(Ok(())) => *self.known.unconfirmed() = Some(self.answer_to.clone()),
            Ok(Err(error)) => return Err(unavailable(error.to_string())),
            Err(_) => return Err(away()),
        }
        Ok(())
    }

    async fn nack(&self, delay: Duration) -> Result<(), BusError> {
        if delay.is_zero() {
            return self.tell("-NAK").await;
        }
        self.tell(format!("-NAK {}", json!({ "delay": nanoseconds(delay) }))).await
    }

    async fn progress(&self) -> Result<(), BusError> {
        self.tell("+WPI").await
    }
}
