//! What the bus, its consumers, their deliveries and the committer share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::draft::Draft;
use super::request::{Action, Outcome, Request};
use super::state::State;
use super::stream::Entry;
use super::upkeep::Upkeep;
use crate::error::BusError;
use crate::options::Options;
use crate::port::{Message, StreamConfig};
use crate::store::{Batch, Body, Store};

type Answer = (oneshot::Sender<Result<Outcome, BusError>>, Result<Outcome, BusError>);

/// A log: the durable state, the store it lies in, and the way from one to the other.
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) store: Arc<dyn Store>,
    /// Cancelled when the bus closes.
    pub(crate) closed: CancellationToken,
    state: Mutex<State>,
    upkeep: Mutex<Upkeep>,
    /// Why nothing can be written any more.
    failure: Mutex<Option<BusError>>,
}

impl Shared {
    pub(crate) fn new(options: Options, store: Arc<dyn Store>, state: State) -> Self {
        Self {
            options,
            store,
            closed: CancellationToken::new(),
            state: Mutex::new(state),
            upkeep: Mutex::new(Upkeep::new(Instant::now())),
            failure: Mutex::new(None),
        }
    }

    /// The durable state. Never to be held across an await or a look into the store.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the bus is closed.
    pub(crate) fn open(&self) -> Result<(), BusError> {
        if self.closed.is_cancelled() {
            return Err(BusError::Closed);
        }
        Ok(())
    }

    /// The message of an entry, unless it was removed meanwhile.
    pub(crate) fn message(
        &self,
        stream: u16,
        sequence: u64,
        entry: &Entry,
    ) -> Result<Option<Message>, BusError> {
        let body = self.store.body(stream, sequence)?;
        Ok(body.map(|Body { headers, payload }| Message {
            subject: entry.subject.to_string(),
            sequence,
            stored: entry.stored,
            headers,
            payload,
        }))
    }

    /// Answers requests by one commit, or several where a stream is made in between. To be called by one
    /// thread at a time.
    pub(crate) fn process(&self, requests: Vec<Request>) {
        let mut group = Vec::with_capacity(requests.len());
        for request in requests {
            match &request.action {
                Action::Ensure(config) if self.state().stream(&config.name).is_err() => {
                    self.commit_group(std::mem::take(&mut group));
                    let made = self.make_stream(config);
                    let _ = request.answer.send(made);
                }
                _ => group.push(request),
            }
        }
        self.commit_group(group);
    }

    /// Writes down where the consumers stand, whether that is due or not.
    pub(crate) fn process_last(&self) {
        self.upkeep_lock().hurry();
        self.commit_group(Vec::new());
    }

    /// Whether upkeep is due.
    pub(crate) fn is_upkeep_due(&self) -> bool {
        self.upkeep_lock().is_due(Instant::now(), &self.options)
    }

    fn upkeep_lock(&self) -> MutexGuard<'_, Upkeep> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failure_lock(&self) -> MutexGuard<'_, Option<BusError>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make_stream(&self, config: &StreamConfig) -> Result<Outcome, BusError> {
        check_stream(config)?;
        let batch = self.state().make(config)?;
        self.commit(batch)?;
        Ok(Outcome::Done)
    }

    fn commit_group(&self, requests: Vec<Request>) {
        let (batch, answers) = self.plan(requests);
        let committed = self.commit(batch);
        for (answer, outcome) in answers {
            // Whoever asked may be gone; what was stored stays stored.
            let _ = answer.send(committed.clone().and(outcome));
        }
    }

    /// Judges the requests one by one. Also what is refused is answered only after the commit, since it
    /// may have been refused for something in it.
    fn plan(&self, requests: Vec<Request>) -> (Batch, Vec<Answer>) {
        let now = self.options.clock.now();
        let publishes = |r: &Request| matches!(r.action, Action::Publish(_));
        let room = match requests.iter().any(publishes) {
            true => self.store.room(),
            false => Ok(()),
        };
        let mut state = self.state();
        let mut upkeep = self.upkeep_lock();
        let at = Instant::now();
        let due = match upkeep.is_due(at, &self.options) {
            true => upkeep.collect(&mut state, at, now, &self.options),
            false => Vec::new(),
        };
        drop(upkeep);
        let mut draft = Draft::new(&state, now, self.options.max_message, room);
        for work in due {
            draft.keep_up(work);
        }
        let answers =
            requests.into_iter().map(|request| (request.answer, judge(&mut draft, request.action))).collect();
        (draft.finish(), answers)
    }

    fn commit(&self, batch: Batch) -> Result<(), BusError> {
        if batch.is_empty() {
            return Ok(());
        }
        if let Some(failure) = &*self.failure_lock() {
            return Err(failure.clone());
        }
        if let Err(failure) = self.store.commit(&batch) {
            error!(%failure, "a commit failed; nothing is written any more until the next start");
            *self.failure_lock() = Some(failure.clone());
            return Err(failure);
        }
        self.state().apply(batch, tokio::time::Instant::now());
        Ok(())
    }
}

fn judge(draft: &mut Draft<'_>, action: Action) -> Result<Outcome, BusError> {
    match action {
        Action::Publish(message) => draft.publish(message).map(Outcome::Stored),
        Action::Purge { stream, filter, up_to } => draft.purge(&stream, &filter, up_to).map(Outcome::Removed),
        Action::Ensure(config) => draft.ensure(&config).map(|()| Outcome::Done),
        Action::OpenConsumer { stream, config } => {
            draft.open_consumer(&stream, &config).map(|()| Outcome::Done)
        }
        Action::DeleteConsumer { stream, name } => {
            draft.delete_consumer(&stream, &name).map(|()| Outcome::Done)
        }
    }
}

/// Refuses what cannot be a stream.
pub(crate) fn check_stream(config: &StreamConfig) -> Result<(), BusError> {
    let good = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !config.name.is_empty() && config.name.bytes().all(good) {
        return Ok(());
    }
    Err(BusError::Invalid {
        reason: format!(
            "`{}` is no name of a stream: it must be upper-case letters, digits and `_`",
            config.name
        ),
    })
}
