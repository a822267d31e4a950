//! Streams: made, written to, and kept from overflowing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::Info as ConsumerState;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType};
use serde::Deserialize;
use serde_json::{Value, json};

use super::consumer::floor;
use super::link::{Failure, Link, code};
use super::read;
use super::watch::Watcher;
use crate::error::BusError;
use crate::port::StreamConfig;

/// Marks streams on the server of which we drop what is acked.
const TRIMS: &str = "tiphys-trim-acked";
/// Marks streams on the server that remember ids.
const REMEMBERS: &str = "tiphys-remembers-ids";
/// One round of making room removes at most this part of a stream, so that replay keeps what it can.
const PART: u64 = 16;
/// A stream that is so full, in hundredths, is given room before a publisher must wait for it.
const TENDED: u64 = 80;
/// The server remembers ids at least so long.
const LEAST_WINDOW: Duration = Duration::from_millis(100);

/// What publishers must know of a stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits {
    pub(super) remembers_ids: bool,
    pub(super) trims: bool,
}

/// A stream as this process knows it.
pub(super) struct Stream {
    pub(super) name: String,
    traits: Mutex<Option<Traits>>,
    pub(super) watcher: Watcher,
    trimming: tokio::sync::Mutex<()>,
    /// Rounds of making room that were begun.
    rounds: AtomicU64,
    /// Whether this process makes room.
    trims: bool,
}

#[derive(Deserialize)]
struct Purged {
    purged: u64,
}

#[derive(Deserialize)]
struct Consumers {
    total: usize,
    #[serde(default)]
    consumers: Option<Vec<ConsumerState>>,
}

impl Stream {
    pub(super) fn new(name: &str, trims: bool) -> Self {
        Self {
            name: name.into(),
            traits: Mutex::new(None),
            watcher: Watcher::default(),
            trimming: tokio::sync::Mutex::new(()),
            rounds: AtomicU64::new(0),
            trims,
        }
    }

    fn what(&self) -> String {
        format!("stream `{}`", self.name)
    }

    /// Makes the stream, or gives it new limits.
    pub(super) async fn ensure(
        &self,
        link: &Link,
        config: &StreamConfig,
        replicas: usize,
    ) -> Result<(), BusError> {
        let mut wanted = on_server(link, config, replicas);
        let mut made = make(link, &wanted).await;
        if made.as_ref().is_err_and(|failure| failure.code() == code::ALONE) {
            // A server that is alone keeps one copy, whatever is asked for; the findings tell.
            wanted.num_replicas = 1;
            made = make(link, &wanted).await;
        }
        let info = made.map_err(|failure| failure.about(&self.what()))?;
        self.learn(&info);
        Ok(())
    }

    fn learn(&self, info: &Info) -> Traits {
        let marked = |mark: &str| info.config.metadata.get(mark).is_some_and(|v| v == "true");
        let traits = Traits { remembers_ids: marked(REMEMBERS), trims: self.trims && marked(TRIMS) };
        *self.traits.lock().unwrap_or_else(PoisonError::into_inner) = Some(traits);
        traits
    }

    /// What publishers must know; asked of the server once.
    pub(super) async fn traits(&self, link: &Link) -> Result<Traits, BusError> {
        let known = *self.traits.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(traits) => Ok(traits),
            None => Ok(self.learn(&read::details(link, &self.name).await?)),
        }
    }

    /// Removes messages. Returns how many.
    pub(super) async fn purge(
        &self,
        link: &Link,
        filter: Option<&str>,
        up_to: Option<u64>,
    ) -> Result<u64, BusError> {
        let mut body = serde_json::Map::new();
        if let Some(filter) = filter {
            body.insert("filter".into(), filter.into());
        }
        match up_to {
            // The server's zero means all.
            Some(0) => {
                read::details(link, &self.name).await?;
                return Ok(0);
            }
            Some(sequence) => drop(body.insert("seq".into(), sequence.saturating_add(1).into())),
            None => {}
        }
        let request = format!("STREAM.PURGE.{}", link.names.stream(&self.name));
        let answer = link.ask::<Purged>(&request, &Value::Object(body)).await;
        Ok(answer.map_err(|failure| failure.about(&self.what()))?.purged)
    }

    /// Rounds of making room so far; to be read before the publish that finds the stream full.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Acquire)
    }

    /// Drops some of what every durable consumer has acked. Returns whether there may be room now. Of many
    /// publishers that find the stream full, one does the work.
    pub(super) async fn make_room(&self, link: &Link, seen: u64) -> Result<bool, BusError> {
        let _alone = self.trimming.lock().await;
        if self.rounds() > seen {
            return Ok(true);
        }
        self.rounds.fetch_add(1, Ordering::AcqRel);
        let state = read::info(link, &self.name).await?;
        let Some(floor) = self.acked_by_all(link, state.last).await? else {
            return Ok(false);
        };
        if state.messages == 0 || floor < state.first {
            return Ok(false);
        }
        let part = state.first + (state.last - state.first) / PART;
        let up_to = part.min(floor);
        let removed = self.purge(link, None, Some(up_to)).await?;
        tracing::debug!(stream = self.name, up_to, removed, "made room");
        Ok(removed > 0)
    }

    /// Makes room before the stream is full.
    pub(super) async fn tend(&self, link: &Link) -> Result<(), BusError> {
        if !self.traits(link).await?.trims {
            return Ok(());
        }
        loop {
            let info = read::details(link, &self.name).await?;
            let full = |have: u64, most: i64| {
                let most = u64::try_from(most).unwrap_or(0);
                most > 0 && have.saturating_mul(100) > most.saturating_mul(TENDED)
            };
            let (state, config) = (info.state, info.config);
            if !full(state.messages, config.max_messages) && !full(state.bytes, config.max_bytes) {
                return Ok(());
            }
            if !self.make_room(link, self.rounds()).await? {
                return Ok(());
            }
        }
    }

    /// Up to where every durable consumer has acked; `None` without any.
    async fn acked_by_all(&self, link: &Link, last: u64) -> Result<Option<u64>, BusError> {
        let request = format!("CONSUMER.LIST.{}", link.names.stream(&self.name));
        let (mut seen, mut lowest) = (0, None::<u64>);
        loop {
            let page = link.ask::<Consumers>(&request, &json!({ "offset": seen })).await;
            let page = page.map_err(|failure| failure.about(&self.what()))?;
            let consumers = page.consumers.unwrap_or_default();
            seen += consumers.len();
            let durable = consumers.iter().filter(|c| c.config.durable_name.is_some());
            let floors = durable.map(|consumer| floor(consumer, last));
            lowest = floors.chain(lowest).min();
            if consumers.is_empty() {
                // One that is missing from the list may be the one that has acked least.
                return Ok(lowest.filter(|_| seen >= page.total));
            }
            if seen >= page.total {
                return Ok(lowest);
            }
        }
    }
}

async fn make(link: &Link, wanted: &Config) -> Result<Info, Failure> {
    let update = || async { link.ask::<Info>(&format!("STREAM.UPDATE.{}", wanted.name), wanted).await };
    // A server whose room is all given away refuses to make even what is there.
    match link.ask::<Info>(&format!("STREAM.INFO.{}", wanted.name), &json!({})).await {
        Ok(info) if same(&info.config, wanted) => return Ok(info),
        Ok(_) => return update().await,
        Err(_) => {}
    }
    match link.ask::<Info>(&format!("STREAM.CREATE.{}", wanted.name), wanted).await {
        // Another made it meanwhile, with other limits.
        Err(failure) if failure.code() == code::STREAM_EXISTS => update().await,
        made => made,
    }
}

/// A limit of ours as one of the server's.
fn limit(limit: u64) -> i64 {
    match limit {
        0 => -1,
        limit => i64::try_from(limit).unwrap_or(i64::MAX),
    }
}

/// Whether the stream on the server has the limits that are wanted.
fn same(there: &Config, wanted: &Config) -> bool {
    there.subjects == wanted.subjects
        && there.max_messages == wanted.max_messages
        && there.max_bytes == wanted.max_bytes
        && there.max_messages_per_subject == wanted.max_messages_per_subject
        && there.max_age == wanted.max_age
        && there.duplicate_window == wanted.duplicate_window
        && there.num_replicas == wanted.num_replicas
        && there.discard == wanted.discard
        && wanted.metadata.iter().all(|(key, value)| there.metadata.get(key) == Some(value))
}

fn on_server(link: &Link, config: &StreamConfig, replicas: usize) -> Config {
    let window = config.duplicate_window.max(LEAST_WINDOW);
    let marks = [(REMEMBERS, !config.duplicate_window.is_zero()), (TRIMS, config.trim_acked)];
    Config {
        name: link.names.stream(&config.name),
        subjects: link.names.subjects(&config.name),
        max_messages: limit(config.max_messages),
        max_bytes: limit(config.max_bytes),
        max_messages_per_subject: if config.last_per_subject { 1 } else { -1 },
        max_consumers: -1,
        max_age: config.max_age,
        // The server refuses to remember ids for longer than messages.
        duplicate_window: if config.max_age.is_zero() { window } else { window.min(config.max_age) },
        discard: DiscardPolicy::New,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        num_replicas: replicas,
        allow_direct: true,
        deny_delete: true,
        metadata: HashMap::from(marks.map(|(mark, set)| (mark.to_owned(), set.to_string()))),
        ..Config::default()
    }
}
