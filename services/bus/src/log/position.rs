//! Where a durable consumer stands: a cursor, and what was handed out before it and is not acked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::filter::Filters;
use super::stream::{Entry, Stream};
use crate::port::ConsumerInfo;
use crate::store::SavedConsumer;

/// Messages looked at in one go; beyond that the lock is let go for others.
const LOOK: usize = 20_000;

/// A message that was handed out and is not acked.
#[derive(Debug, Clone, Copy)]
struct Unsettled {
    attempts: u32,
    /// When it is handed out again, unless it is acked.
    due: Instant,
}

/// A position.
#[derive(Debug)]
pub(crate) struct Position {
    /// Tells this consumer from one of the same name that was deleted.
    pub(crate) incarnation: u64,
    /// Wakes fetches when something comes due earlier, or may be handed out again.
    pub(crate) changed: Arc<Notify>,
    /// Whether it differs from what is written.
    pub(crate) dirty: bool,
    saved: SavedConsumer,
    filters: Filters,
    next: u64,
    unsettled: BTreeMap<u64, Unsettled>,
    /// Nothing comes due before this.
    earliest: Option<Instant>,
    redelivered: u64,
}

/// A message to be handed out.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) sequence: u64,
    pub(crate) attempt: u32,
    pub(crate) entry: Entry,
}

/// What a look for messages gave.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) due: Vec<Due>,
    /// When there may be more, though nothing is published or acked.
    pub(crate) again: Option<Instant>,
    /// The look ended early: to be repeated at once.
    pub(crate) more: bool,
}

impl Position {
    pub(crate) fn new(incarnation: u64, saved: SavedConsumer, now: Instant) -> Self {
        let unsettled = saved
            .unsettled
            .iter()
            .map(|&(sequence, attempts)| (sequence, Unsettled { attempts, due: now }))
            .collect::<BTreeMap<_, _>>();
        Self {
            incarnation,
            changed: Arc::new(Notify::new()),
            dirty: false,
            filters: Filters::new(&saved.filters),
            next: saved.next,
            earliest: (!unsettled.is_empty()).then_some(now),
            unsettled,
            redelivered: 0,
            saved,
        }
    }

    /// Takes new filters and limits, and keeps its place.
    pub(crate) fn reconfigure(&mut self, saved: &SavedConsumer) {
        let (old, new) = (&self.saved, saved);
        if (&old.filters, old.ack_wait, old.max_ack_pending)
            == (&new.filters, new.ack_wait, new.max_ack_pending)
        {
            return;
        }
        self.filters = Filters::new(&saved.filters);
        self.saved = saved.clone();
        self.changed.notify_waiters();
    }

    /// What is to be written.
    pub(crate) fn save(&self) -> SavedConsumer {
        SavedConsumer {
            next: self.next,
            unsettled: self.unsettled.iter().map(|(sequence, out)| (*sequence, out.attempts)).collect(),
            ..self.saved.clone()
        }
    }

    /// Takes up to `max` messages: what is due again first, then new ones. To be called on a position that
    /// was lifted out of its stream, which it reads.
    pub(crate) fn take(&mut self, stream: &Stream, max: usize, now: Instant) -> Taken {
        let mut due = self.take_due(stream, max, now);
        let more = self.take_new(stream, max, now, &mut due);
        Taken { due, again: self.earliest, more }
    }

    fn take_due(&mut self, stream: &Stream, max: usize, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        if self.earliest.is_none_or(|at| at > now) {
            return due;
        }
        let until = now + self.saved.ack_wait;
        self.earliest = None;
        let mut gone = Vec::new();
        for (&sequence, out) in &mut self.unsettled {
            if out.due <= now && due.len() < max {
                match stream.entry(sequence) {
                    Some(entry) => {
                        out.attempts = out.attempts.saturating_add(1);
                        out.due = until;
                        due.push(Due { sequence, attempt: out.attempts, entry: entry.clone() });
                    }
                    None => gone.push(sequence),
                }
            }
            self.earliest = Some(self.earliest.map_or(out.due, |at| at.min(out.due)));
        }
        self.dirty |= !due.is_empty() || !gone.is_empty();
        self.redelivered += due.len() as u64;
        for sequence in gone {
            self.unsettled.remove(&sequence);
        }
        due
    }

    /// Returns whether the look ended before the end of the stream or the limits were reached.
    fn take_new(&mut self, stream: &Stream, max: usize, now: Instant, due: &mut Vec<Due>) -> bool {
        let until = now + self.saved.ack_wait;
        let from = self.next;
        let mut more = false;
        for (looked, (sequence, entry)) in stream.entries(from).enumerate() {
            if due.len() >= max || self.unsettled.len() >= self.saved.max_ack_pending {
                break;
            }
            if looked >= LOOK {
                more = true;
                break;
            }
            self.next = sequence + 1;
            if !self.filters.matches(&entry.subject) {
                continue;
            }
            self.unsettled.insert(sequence, Unsettled { attempts: 1, due: until });
            self.earliest = Some(self.earliest.map_or(until, |at| at.min(until)));
            due.push(Due { sequence, attempt: 1, entry: entry.clone() });
        }
        self.dirty |= self.next != from;
        more && due.is_empty()
    }

    /// Done with a message. Whoever acks, and however late: the effect is there.
    pub(crate) fn ack(&mut self, sequence: u64) {
        if self.unsettled.remove(&sequence).is_some() {
            self.dirty = true;
            if self.unsettled.len() + 1 >= self.saved.max_ack_pending {
                self.changed.notify_waiters();
            }
        }
    }

    /// Sets when a message comes again. Only the latest attempt has a say.
    pub(crate) fn postpone(&mut self, sequence: u64, attempt: u32, due: Instant) {
        if let Some(out) = self.unsettled.get_mut(&sequence)
            && out.attempts == attempt
        {
            out.due = due;
            self.earliest = Some(self.earliest.map_or(due, |at| at.min(due)));
            self.changed.notify_waiters();
        }
    }

    /// How long a delivery may take.
    pub(crate) const fn ack_wait(&self) -> Duration {
        self.saved.ack_wait
    }

    /// Every wanted message up to here is acked.
    pub(crate) fn floor(&self, stream: &Stream) -> u64 {
        if let Some(first) = self.unsettled.keys().next() {
            return first - 1;
        }
        match stream.first_wanted(&self.filters, self.next) {
            Some(first) => first - 1,
            None => stream.last,
        }
    }

    pub(crate) fn info(&self, stream: &Stream) -> ConsumerInfo {
        ConsumerInfo {
            ack_floor: self.floor(stream),
            outstanding: self.unsettled.len() as u64,
            pending: stream.count_wanted(&self.filters, self.next),
            redelivered: self.redelivered,
            begun_after: self.saved.begun_after,
        }
    }
}
