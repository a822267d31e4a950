//! The bus as a log of our own: what the memory and the embedded adapter share. They differ in the store
//! behind it, and in who commits: the embedded one has a thread for that, the memory one does it at once.

mod committer;
mod consumer;
mod draft;
mod duplicates;
mod filter;
mod position;
mod request;
mod shared;
mod state;
mod stream;
#[cfg(test)]
mod tests;
mod upkeep;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

use self::committer::Committer;
use self::consumer::LogConsumer;
pub(crate) use self::duplicates::older as is_older;
pub(crate) use self::filter::check_filter;
#[cfg(feature = "jetstream")]
pub(crate) use self::filter::check_subject;
use self::filter::{Filters, is_exact};
use self::request::{Action, Outcome, Request};
use self::shared::Shared;
#[cfg(feature = "jetstream")]
pub(crate) use self::shared::check_stream;
pub(crate) use self::state::State;
pub(crate) use self::stream::{Entry, Stream};
use crate::error::BusError;
use crate::options::Options;
use crate::port::{
    Acked, Bus, Claim, Consumer, ConsumerConfig, ConsumerInfo, Message, Publish, StreamConfig, StreamInfo,
};
use crate::store::Store;
use crate::{blobs, claims, streams};

/// Entries looked at in one go while reading; beyond that the lock is let go for others.
const LOOK: usize = 4096;

/// A bus on a log.
pub(crate) struct LogBus {
    shared: Arc<Shared>,
    writer: Writer,
}

enum Writer {
    /// Commits in the caller's task; the lock lets one in at a time.
    Inline(Mutex<()>),
    Thread(Arc<Committer>),
}

impl LogBus {
    /// A log that commits in the caller's task; for stores that never wait.
    pub(crate) fn inline(options: Options, store: Arc<dyn Store>) -> Self {
        Self {
            shared: Arc::new(Shared::new(options, store, State::default())),
            writer: Writer::Inline(Mutex::new(())),
        }
    }

    /// A log with a committer, and what its store held.
    pub(crate) fn threaded(options: Options, store: Arc<dyn Store>, state: State) -> Result<Self, BusError> {
        let shared = Arc::new(Shared::new(options, store, state));
        let committer = Committer::start(Arc::clone(&shared))?;
        Ok(Self { shared, writer: Writer::Thread(Arc::new(committer)) })
    }

    async fn ask(&self, action: Action) -> Result<Outcome, BusError> {
        self.shared.open()?;
        let (answer, answered) = oneshot::channel();
        let request = Request { action, answer };
        match &self.writer {
            Writer::Inline(lock) => {
                let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
                self.shared.process(vec![request]);
            }
            Writer::Thread(committer) => committer.send(request).await?,
        }
        answered.await.map_err(|_| BusError::Closed)?
    }

    /// Without a thread, whoever looks does the upkeep that is due.
    fn keep_up(&self) {
        if let Writer::Inline(lock) = &self.writer
            && self.shared.is_upkeep_due()
        {
            let _alone = lock.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.process(Vec::new());
        }
    }

    /// Sequences of up to `max` messages from `from` on, and where to look on.
    fn find(&self, stream: &str, filter: &str, from: u64, max: usize) -> Result<Found, BusError> {
        let state = self.shared.state();
        let stream = state.stream(stream)?;
        let mut found = Found { number: stream.number, entries: Vec::new(), next: None };
        if is_exact(filter) {
            let sequences = stream.of_subject(filter, from..=u64::MAX).take(max);
            let entries = sequences.filter_map(|s| Some((s, stream.entry(s)?.clone())));
            found.entries.extend(entries);
            return Ok(found);
        }
        let filters = Filters::new(&[filter]);
        for (looked, (sequence, entry)) in stream.entries(from).enumerate() {
            if found.entries.len() >= max {
                break;
            }
            if looked >= LOOK {
                found.next = Some(sequence);
                break;
            }
            if filters.matches(&entry.subject) {
                found.entries.push((sequence, entry.clone()));
            }
        }
        Ok(found)
    }
}

struct Found {
    number: u16,
    entries: Vec<(u64, Entry)>,
    next: Option<u64>,
}

#[async_trait]
impl Bus for LogBus {
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        self.ask(Action::Ensure(config.clone())).await.map(drop)
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        match self.ask(Action::Publish(message)).await? {
            Outcome::Stored(acked) => Ok(acked),
            other => Err(mixed_up(other)),
        }
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        self.shared.open()?;
        let (number, sequence, entry) = {
            let state = self.shared.state();
            let stream = state.stream(&streams::stream_of(subject))?;
            let sequence = stream.head(subject);
            match stream.entry(sequence) {
                Some(entry) => (stream.number, sequence, entry.clone()),
                None => return Ok(None),
            }
        };
        match self.shared.message(number, sequence, &entry)? {
            Some(message) => Ok(Some(message)),
            // Replaced between the look and the read: the newer one is durable.
            None => Box::pin(self.last(subject)).await,
        }
    }

    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        self.shared.open()?;
        let (number, entry) = {
            let state = self.shared.state();
            let stream = state.stream(stream)?;
            match stream.entry(sequence) {
                Some(entry) => (stream.number, entry.clone()),
                None => return Ok(None),
            }
        };
        self.shared.message(number, sequence, &entry)
    }

    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        check_filter(filter)?;
        self.keep_up();
        let (mut messages, mut from) = (Vec::new(), from);
        loop {
            self.shared.open()?;
            let found = self.find(stream, filter, from, max - messages.len())?;
            for (sequence, entry) in &found.entries {
                messages.extend(self.shared.message(found.number, *sequence, entry)?);
            }
            match found.next {
                Some(next) if messages.len() < max => from = next,
                _ => return Ok(messages),
            }
            tokio::task::yield_now().await;
        }
    }

    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError> {
        let deadline = Instant::now() + wait;
        let mut grown = self.shared.state().stream(stream)?.growth();
        loop {
            self.shared.open()?;
            let last = *grown.borrow_and_update();
            if last > after || Instant::now() >= deadline {
                return Ok(last);
            }
            tokio::select! {
                _ = grown.changed() => {}
                () = self.shared.closed.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        let action = Action::Purge { stream: stream.into(), filter: filter.into(), up_to };
        match self.ask(action).await? {
            Outcome::Removed(count) => Ok(count),
            other => Err(mixed_up(other)),
        }
    }

    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.shared.open()?;
        self.keep_up();
        Ok(self.shared.state().stream(stream)?.info())
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        let name = config.name.clone();
        let action = Action::OpenConsumer { stream: stream.into(), config };
        self.ask(action).await?;
        let consumer = LogConsumer::open(&self.shared, stream, &name)?;
        Ok(Box::new(consumer))
    }

    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError> {
        match LogConsumer::open(&self.shared, stream, name) {
            Ok(consumer) => consumer.info().await.map(Some),
            Err(BusError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        let action = Action::DeleteConsumer { stream: stream.into(), name: name.into() };
        self.ask(action).await.map(drop)
    }

    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError> {
        claims::claim(self, self.shared.options.clock.now(), key, owner, for_time).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        claims::release(self, claim).await
    }

    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        self.shared.open()?;
        blobs::put(Arc::clone(&self.shared.store), content).await
    }

    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.shared.open()?;
        blobs::get(Arc::clone(&self.shared.store), reference).await
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        if let Writer::Thread(committer) = &self.writer {
            let committer = Arc::clone(committer);
            // Fails only when the runtime is going down; then dropping the bus joins.
            let _ = tokio::task::spawn_blocking(move || committer.join()).await;
        }
    }
}

impl Drop for LogBus {
    fn drop(&mut self) {
        self.shared.closed.cancel();
        if let Writer::Thread(committer) = &self.writer {
            committer.join();
        }
    }
}

fn mixed_up(outcome: Outcome) -> BusError {
    BusError::Unavailable { reason: format!("the committer answered another question: {outcome:?}") }
}
