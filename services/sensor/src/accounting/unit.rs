//! The buckets of one (trigger, dependency), and where its open events are.

use std::collections::{BTreeMap, HashMap};

use tiphys_core::{EventId, FiringId};

use super::{Counts, Settled};

/// How far an open event has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Stored, not judged.
    Accepted,
    /// It waits for other events.
    Waiting,
    /// It is part of a firing that is not settled.
    Fired,
}

/// How an event that waits leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exit {
    /// Displaced by a later one.
    Superseded,
    /// Taken by a condition that could not be fired.
    Dead,
    /// Taken into a firing.
    Fired(FiringId),
}

/// One (trigger, dependency).
#[derive(Debug, Default)]
pub(super) struct Unit {
    since: u64,
    counts: Counts,
    open: BTreeMap<u64, Stage>,
    /// Sequences of the events that wait, by their ids.
    waiting: HashMap<EventId, Vec<u64>>,
    /// Exits of events whose own verdict is still to come.
    owed: HashMap<EventId, Vec<Exit>>,
}

impl Unit {
    pub(super) fn since(sequence: u64) -> Self {
        Self { since: sequence, ..Self::default() }
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { in_flight: self.open.len() as u64, ..self.counts }
    }

    pub(super) fn accept(&mut self, sequence: u64) {
        if sequence > self.since {
            self.since = sequence;
            self.counts.accepted += 1;
            self.open.insert(sequence, Stage::Accepted);
        }
    }

    pub(super) fn is_unjudged(&self, sequence: u64) -> bool {
        self.open.get(&sequence) == Some(&Stage::Accepted)
    }

    pub(super) fn close(&mut self, sequence: u64, bucket: fn(&mut Counts) -> &mut u64) {
        if self.open.remove(&sequence).is_some() {
            *bucket(&mut self.counts) += 1;
        }
    }

    pub(super) fn advance(&mut self, sequence: u64, stage: Stage) {
        if let Some(open) = self.open.get_mut(&sequence) {
            *open = stage;
        }
    }

    /// The event was not judged, and never will be.
    pub(super) fn disown(&mut self, sequence: u64) {
        if self.is_unjudged(sequence) {
            self.open.remove(&sequence);
            self.counts.accepted -= 1;
        }
    }

    /// The event waits, unless it is known already how it left; gives the firing that took it.
    pub(super) fn wait(&mut self, sequence: u64, event: EventId) -> Option<FiringId> {
        let owed = self.owed.get_mut(&event).and_then(Vec::pop);
        if self.owed.get(&event).is_some_and(Vec::is_empty) {
            self.owed.remove(&event);
        }
        self.advance(sequence, Stage::Waiting);
        match owed {
            None => {
                self.waiting.entry(event).or_default().push(sequence);
                None
            }
            Some(exit) => self.exit(sequence, exit),
        }
    }

    /// The event that waits leaves; gives its sequence where it is known already.
    pub(super) fn leave(&mut self, event: &EventId, exit: Exit) -> Option<u64> {
        match self.take(event) {
            Some(sequence) => {
                self.exit(sequence, exit);
                Some(sequence)
            }
            None => {
                self.owed.entry(event.clone()).or_default().push(exit);
                None
            }
        }
    }

    pub(super) fn reset(&mut self, event: &EventId) {
        if let Some(sequence) = self.take(event) {
            self.close(sequence, |counts| &mut counts.reset);
        }
    }

    pub(super) fn settle(&mut self, sequence: u64, before: Option<Settled>, now: Settled) {
        let was_dead = before == Some(Settled::Dead);
        if was_dead && now != Settled::Dead {
            // A dead letter that is retried moves back to in flight.
            self.counts.dead_lettered -= 1;
            self.open.insert(sequence, Stage::Fired);
        }
        match now {
            Settled::Done => self.close(sequence, |counts| &mut counts.fired),
            Settled::Dead if !was_dead => self.close(sequence, |counts| &mut counts.dead_lettered),
            Settled::Dead | Settled::Retrying => {}
        }
    }

    /// The oldest event of this id that waits.
    fn take(&mut self, event: &EventId) -> Option<u64> {
        let waiting = self.waiting.get_mut(event)?;
        let sequence = (!waiting.is_empty()).then(|| waiting.remove(0));
        if waiting.is_empty() {
            self.waiting.remove(event);
        }
        sequence
    }

    fn exit(&mut self, sequence: u64, exit: Exit) -> Option<FiringId> {
        match exit {
            Exit::Superseded => self.close(sequence, |counts| &mut counts.superseded),
            Exit::Dead => self.close(sequence, |counts| &mut counts.dead_lettered),
            Exit::Fired(firing) => {
                self.advance(sequence, Stage::Fired);
                return Some(firing);
            }
        }
        None
    }
}
