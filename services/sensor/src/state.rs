//! What a condition remembers between events.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tiphys_core::{DeadLetter, EventId, Firing, Outcome, Timestamp};
use tiphys_lang::cron::Schedule;

use crate::parsed::Parsed;
use crate::seen::Seen;

/// The state of one trigger's condition.
///
/// It is written as one record by compare-and-set, so that what an event changed and what it caused (the
/// outbox) are durable together, or not at all.
#[derive(Debug, Clone, Default)]
pub struct ConditionState {
    /// The event that waits for each dependency.
    pub(crate) held: BTreeMap<String, Held>,
    /// What was decided and is perhaps not yet published.
    pub(crate) outbox: Outbox,
    /// Outcomes of events that may be delivered again, because their acks are not yet known to be kept.
    pub(crate) rows: Vec<Row>,
    /// What was applied.
    pub(crate) seen: Seen,
    /// Every event of the sensor up to this sequence was applied.
    pub(crate) floor: u64,
}

/// An event that waits. Its content is kept here, so that the stream of events may be trimmed.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) event: Arc<Parsed>,
    /// The first scheduled reset after its receipt.
    pub(crate) expires: Option<Timestamp>,
}

impl Held {
    pub(crate) fn new(event: Arc<Parsed>, resets: &[Schedule]) -> Self {
        let received = event.event.received;
        let expires = resets.iter().filter_map(|schedule| schedule.next_after(received)).min();
        Self { event, expires }
    }
}

/// What was decided and is perhaps not yet published.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outbox {
    pub(crate) firings: Vec<Arc<Firing>>,
    pub(crate) dead: Vec<DeadLetter>,
    pub(crate) dropped: Vec<Dropped>,
}

impl Outbox {
    pub(crate) const fn is_empty(&self) -> bool {
        self.firings.is_empty() && self.dead.is_empty() && self.dropped.is_empty()
    }
}

/// An event that waited and was dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dropped {
    pub(crate) dependency: String,
    pub(crate) event: EventId,
    pub(crate) sequence: u64,
}

/// What became of one event through one dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) sequence: u64,
    pub(crate) dependency: String,
    pub(crate) outcome: Outcome,
}

impl ConditionState {
    /// Notes that every event of the sensor up to `floor` is acked; nothing is remembered for their sake.
    pub(crate) fn settle(&mut self, floor: u64) {
        if floor > self.floor {
            self.floor = floor;
            self.rows.retain(|row| row.sequence > floor);
        }
    }

    /// Drops what waits and is not wanted.
    pub(crate) fn drop_held(&mut self, unwanted: impl Fn(&str, &Held) -> bool) -> bool {
        let before = self.outbox.dropped.len();
        let dropped = &mut self.outbox.dropped;
        self.held.retain(|dependency, held| {
            let drop = unwanted(dependency, held);
            if drop {
                dropped.push(Dropped {
                    dependency: dependency.clone(),
                    event: held.event.event.id.clone(),
                    sequence: held.event.sequence,
                });
            }
            !drop
        });
        self.outbox.dropped.len() > before
    }
}
