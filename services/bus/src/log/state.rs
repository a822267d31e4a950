//! All streams of a bus as readers see them.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::position::Position;
use super::stream::Stream;
use crate::error::BusError;
use crate::port::StreamConfig;
use crate::store::{Batch, SavedConsumer, StreamChange, StreamNumber};

/// The durable state.
#[derive(Debug, Default)]
pub(crate) struct State {
    streams: BTreeMap<StreamNumber, Stream>,
    numbers: HashMap<String, StreamNumber>,
    incarnations: u64,
}

impl State {
    /// A stream by name.
    pub(crate) fn stream(&self, name: &str) -> Result<&Stream, BusError> {
        let number = self.numbers.get(name);
        let stream = number.and_then(|number| self.streams.get(number));
        stream.ok_or_else(|| missing("stream", name))
    }

    /// A stream by name.
    pub(crate) fn stream_mut(&mut self, name: &str) -> Result<&mut Stream, BusError> {
        let number = self.numbers.get(name);
        let stream = number.and_then(|number| self.streams.get_mut(number));
        stream.ok_or_else(|| missing("stream", name))
    }

    /// A stream by number.
    pub(crate) fn numbered(&self, number: StreamNumber) -> Option<&Stream> {
        self.streams.get(&number)
    }

    /// All streams.
    pub(crate) fn streams_mut(&mut self) -> impl Iterator<Item = &mut Stream> {
        self.streams.values_mut()
    }

    /// The change that makes a stream that is not there yet.
    pub(crate) fn make(&self, config: &StreamConfig) -> Result<Batch, BusError> {
        let last = self.streams.keys().next_back().copied().unwrap_or(0);
        let number = last.checked_add(1).ok_or_else(|| BusError::Invalid {
            reason: format!("there are too many streams for `{}`", config.name),
        })?;
        let change = StreamChange { config: Some(config.clone()), ..StreamChange::default() };
        Ok(Batch::from([(number, change)]))
    }

    /// Adds a stream that the store has.
    pub(crate) fn add(&mut self, stream: Stream) {
        self.numbers.insert(stream.config.name.clone(), stream.number);
        self.streams.insert(stream.number, stream);
    }

    /// Makes a commit visible. To be called once it is durable.
    pub(crate) fn apply(&mut self, batch: Batch, now: Instant) {
        for (number, mut change) in batch {
            if !self.streams.contains_key(&number) {
                let Some(config) = change.config.take() else {
                    continue;
                };
                self.add(Stream::new(number, config));
            }
            for (name, saved) in std::mem::take(&mut change.consumers) {
                self.set_consumer(number, name, saved, now);
            }
            if let Some(stream) = self.streams.get_mut(&number) {
                stream.apply(change);
            }
        }
    }

    /// Sets, moves or (`None`) deletes a consumer. One that is there knows its place better than the store.
    pub(crate) fn set_consumer(
        &mut self,
        number: StreamNumber,
        name: String,
        saved: Option<SavedConsumer>,
        now: Instant,
    ) {
        let Some(stream) = self.streams.get_mut(&number) else {
            return;
        };
        match (saved, stream.consumers.get_mut(&name)) {
            (None, Some(position)) => {
                position.changed.notify_waiters();
                stream.consumers.remove(&name);
            }
            (None, None) => {}
            (Some(saved), Some(position)) => position.reconfigure(&saved),
            (Some(saved), None) => {
                self.incarnations += 1;
                let position = Position::new(self.incarnations, saved, now);
                stream.consumers.insert(name, position);
            }
        }
    }
}

/// The error for what does not exist.
pub(crate) fn missing(kind: &str, name: &str) -> BusError {
    BusError::Missing { what: format!("{kind} `{name}`") }
}
