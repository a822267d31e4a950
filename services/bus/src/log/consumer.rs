//! A consumer that was opened, and the deliveries it hands out.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::position::{Position, Taken};
use super::shared::Shared;
use super::state::missing;
use crate::error::BusError;
use crate::port::{Consumer, ConsumerInfo, Delivery, Message};
use crate::store::StreamNumber;

/// Names a position, also after its consumer was deleted and another took the name.
struct Place {
    shared: Arc<Shared>,
    stream: String,
    number: StreamNumber,
    name: String,
    incarnation: u64,
}

/// An opened consumer.
pub(crate) struct LogConsumer {
    place: Arc<Place>,
    changed: Arc<Notify>,
    grown: watch::Receiver<u64>,
}

struct LogDelivery {
    place: Arc<Place>,
    message: Message,
    attempt: u32,
}

impl Place {
    /// Works on the position.
    fn with<T>(&self, work: impl FnOnce(&mut Position) -> T) -> Result<T, BusError> {
        self.shared.open()?;
        let mut state = self.shared.state();
        let stream = state.stream_mut(&self.stream)?;
        match stream.consumers.get_mut(&self.name) {
            Some(position) if position.incarnation == self.incarnation => Ok(work(position)),
            _ => Err(missing("consumer", &self.name)),
        }
    }

    fn take(&self, max: usize) -> Result<Taken, BusError> {
        self.shared.open()?;
        let mut state = self.shared.state();
        let stream = state.stream_mut(&self.stream)?;
        let Some((name, mut position)) = stream.consumers.remove_entry(&self.name) else {
            return Err(missing("consumer", &self.name));
        };
        let taken = if position.incarnation == self.incarnation {
            Ok(position.take(stream, max, Instant::now()))
        } else {
            Err(missing("consumer", &self.name))
        };
        stream.consumers.insert(name, position);
        taken
    }
}

impl LogConsumer {
    /// The consumer of this name, which exists.
    pub(crate) fn open(shared: &Arc<Shared>, stream: &str, name: &str) -> Result<Self, BusError> {
        let state = shared.state();
        let found = state.stream(stream)?;
        let position = found.consumers.get(name);
        let position = position.ok_or_else(|| missing("consumer", name))?;
        let place = Place {
            shared: Arc::clone(shared),
            stream: stream.into(),
            number: found.number,
            name: name.into(),
            incarnation: position.incarnation,
        };
        Ok(Self { place: Arc::new(place), changed: Arc::clone(&position.changed), grown: found.growth() })
    }

    fn deliveries(&self, taken: Taken) -> Result<Vec<Box<dyn Delivery>>, BusError> {
        let shared = &self.place.shared;
        let mut out: Vec<Box<dyn Delivery>> = Vec::with_capacity(taken.due.len());
        for due in taken.due {
            let message = shared.message(self.place.number, due.sequence, &due.entry)?;
            if let Some(message) = message {
                out.push(Box::new(LogDelivery {
                    place: Arc::clone(&self.place),
                    message,
                    attempt: due.attempt,
                }));
            }
        }
        Ok(out)
    }
}

#[async_trait]
impl Consumer for LogConsumer {
    async fn fetch(&self, max: usize, wait: Duration) -> Result<Vec<Box<dyn Delivery>>, BusError> {
        let deadline = Instant::now() + wait;
        let closed = &self.place.shared.closed;
        let mut grown = self.grown.clone();
        loop {
            // Both are armed before the look, so that nothing between look and wait is missed.
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            grown.mark_unchanged();
            let taken = self.place.take(max.max(1))?;
            let (again, more) = (taken.again, taken.more);
            let out = self.deliveries(taken)?;
            if !out.is_empty() || (Instant::now() >= deadline && !more) {
                return Ok(out);
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                _ = grown.changed() => {}
                () = changed => {}
                () = closed.cancelled() => {}
                () = tokio::time::sleep_until(again.map_or(deadline, |at| at.min(deadline))) => {}
            }
        }
    }

    async fn info(&self) -> Result<ConsumerInfo, BusError> {
        self.place.with(|_| ())?;
        let state = self.place.shared.state();
        let stream = state.stream(&self.place.stream)?;
        let position = stream.consumers.get(&self.place.name);
        let info = position.map(|position| position.info(stream));
        info.ok_or_else(|| missing("consumer", &self.place.name))
    }
}

#[async_trait]
impl Delivery for LogDelivery {
    fn message(&self) -> &Message {
        &self.message
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    async fn ack(&self) -> Result<(), BusError> {
        self.place.with(|p| p.ack(self.message.sequence))
    }

    async fn nack(&self, delay: Duration) -> Result<(), BusError> {
        let due = Instant::now() + delay;
        self.place.with(|p| p.postpone(self.message.sequence, self.attempt, due))
    }

    async fn progress(&self) -> Result<(), BusError> {
        let now = Instant::now();
        self.place.with(|p| {
            let due = now + p.ack_wait();
            p.postpone(self.message.sequence, self.attempt, due);
        })
    }
}
