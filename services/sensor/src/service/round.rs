//! A round: what was decided about some events, and is made durable together.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tiphys_bus::{Message, streams};
use tiphys_core::{DeadLetter, Firing, Timestamp, TriggerVerdict, Verdict};
use tiphys_kit::trace::Span;

use crate::compile::Compiled;
use crate::eval::{Decision, dead_letter, dead_outcome, empty_verdict};
use crate::failure::Failure;
use crate::parameter::EventSet;

/// A round ends when so much is decided, so that the records of conditions stay small.
const ROUND_FIRINGS: usize = 16;
/// Without conditions there are no such records; what is decided is told many at once.
const FREE_FIRINGS: usize = 256;
const ROUND_BYTES: usize = 4 << 20;

/// What a round decided.
#[derive(Default)]
pub(super) struct Round {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) firings: Vec<Arc<Firing>>,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) dead: Vec<DeadLetter>,
    pub(super) changed: BTreeSet<String>,
    pub(super) received: Vec<Timestamp>,
    pub(super) spans: Vec<Span>,
}

impl Round {
    pub(super) fn add(&mut self, decision: Decision) {
        self.firings.extend(decision.firings);
        self.verdicts.extend(decision.verdict);
        self.dead.extend(decision.dead);
        self.changed.extend(decision.changed);
        self.spans.extend(decision.spans);
    }

    /// Whether it ends here; of a sensor with conditions sooner.
    pub(super) const fn is_full(&self, conditions: bool) -> bool {
        let most = if conditions { ROUND_FIRINGS } else { FREE_FIRINGS };
        self.firings.len() >= most || self.bytes >= ROUND_BYTES
    }
}

/// The decision about a record that is no event.
pub(super) fn unreadable(sensor: &Compiled, message: &Message, reason: &str, now: Timestamp) -> Decision {
    let failure = Failure::Unreadable(reason.to_owned());
    let mut letter = dead_letter(sensor, None, &EventSet(Vec::new()), &failure, now);
    letter.raw = Some(STANDARD.encode(&message.payload));
    let mut verdict = empty_verdict(sensor, now);
    verdict.sequence = message.sequence;
    for (trigger, dependency, source, event) in sensor.units() {
        if streams::subject(streams::EVENTS, &[&sensor.namespace, source, event]) == message.subject {
            verdict.triggers.push(TriggerVerdict {
                trigger: trigger.to_owned(),
                dependency: dependency.to_owned(),
                outcome: dead_outcome(&failure, Vec::new()),
                clauses: Vec::new(),
            });
        }
    }
    Decision { verdict: Some(verdict), dead: vec![letter], ..Decision::default() }
}
