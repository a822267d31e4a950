//! The decision: one input, judged for every trigger. No I/O, no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tiphys_core::{Classify, Clause, DeadLetter, Event, Firing, Outcome, Timestamp, TriggerVerdict, Verdict};
use tiphys_kit::trace::Span;

use crate::compile::Compiled;
use crate::condition;
use crate::failure::Failure;
use crate::filter::Judgement;
use crate::parameter::EventSet;
use crate::parsed::Parsed;
use crate::state::ConditionState;
use crate::trace;
use crate::trigger::CompiledTrigger;

#[cfg(test)]
mod tests;

/// The state of a sensor's conditions, by trigger. A trigger without an entry waits for nothing.
pub type State = BTreeMap<String, ConditionState>;

/// What is to be judged.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "it is made, taken and gone; a box would cost more")]
pub enum Input {
    /// An event.
    Event {
        /// The event.
        event: Event,
        /// Its sequence in EVENTS.
        sequence: u64,
    },
    /// Time passed, and no event is left to be judged.
    Tick,
}

/// What was decided.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// The firings.
    pub firings: Vec<Arc<Firing>>,
    /// Why; absent where no trigger waits for the event, and for a tick.
    pub verdict: Option<Verdict>,
    /// What waited and was dropped; has no event.
    pub resets: Option<Verdict>,
    /// What could not be judged.
    pub dead: Vec<DeadLetter>,
    /// The triggers whose state changed.
    pub changed: BTreeSet<String>,
    /// The spans of the firings, where they are traced.
    pub spans: Vec<Span>,
}

impl Decision {
    /// Notes a firing.
    pub(crate) fn fire(&mut self, sensor: &Compiled, firing: Arc<Firing>, set: &EventSet<'_>) {
        if sensor.traced {
            self.spans.extend(trace::span(&firing, set));
        }
        self.firings.push(firing);
    }
}

/// Judges one input. `state` becomes the state after it.
pub fn eval(sensor: &Compiled, state: &mut State, now: Timestamp, input: Input) -> Decision {
    let mut decision = Decision::default();
    match input {
        Input::Tick => reset_due(sensor, state, now, now, &mut decision),
        Input::Event { event, sequence } => {
            let event = Arc::new(Parsed::new(event, sequence));
            reset_due(sensor, state, event.event.received, now, &mut decision);
            judge(sensor, state, now, &event, &mut decision);
        }
    }
    decision
}

fn judge(sensor: &Compiled, state: &mut State, now: Timestamp, event: &Arc<Parsed>, decision: &mut Decision) {
    let origin = &event.event.origin;
    let matching: Vec<_> = (sensor.dependencies.iter())
        .filter(|d| d.source == origin.source && d.event == origin.event)
        .collect();
    // Filters belong to a dependency; their judgement is shared by the triggers.
    let mut judged: Vec<Option<(Judgement, Vec<Clause>)>> = vec![None; matching.len()];
    let mut rows = Vec::new();
    for trigger in &sensor.triggers {
        for (dependency, judged) in matching.iter().zip(&mut judged) {
            if !trigger.names(&dependency.name) {
                continue;
            }
            let (judgement, clauses) = judged.get_or_insert_with(|| {
                let mut clauses = Vec::new();
                (dependency.filters.judge(event, &mut clauses), clauses)
            });
            let through = (dependency.name.as_str(), event);
            let outcome = match judgement {
                Judgement::Refused => Outcome::Filtered,
                Judgement::Failed(failure) => {
                    let set = EventSet(vec![(through.0, &**event)]);
                    decision.dead.push(dead_letter(sensor, Some(&trigger.name), &set, failure, now));
                    dead_outcome(failure, Vec::new())
                }
                Judgement::Passed if trigger.stateful => {
                    let state = state.entry(trigger.name.clone()).or_default();
                    condition::step(sensor, trigger, state, through, now, decision)
                }
                Judgement::Passed => at_once(sensor, trigger, through, now, decision),
            };
            rows.push(TriggerVerdict {
                trigger: trigger.name.clone(),
                dependency: dependency.name.clone(),
                outcome,
                clauses: clauses.clone(),
            });
        }
    }
    if !rows.is_empty() {
        let mut verdict = empty_verdict(sensor, now);
        verdict.event = Some(event.event.id.clone());
        verdict.sequence = event.sequence;
        verdict.replay = event.replay();
        verdict.triggers = rows;
        decision.verdict = Some(verdict);
    }
}

/// A trigger that waits for nothing else fires with the event alone.
fn at_once(
    sensor: &Compiled,
    trigger: &CompiledTrigger,
    (dependency, event): (&str, &Arc<Parsed>),
    now: Timestamp,
    decision: &mut Decision,
) -> Outcome {
    let set = EventSet(vec![(dependency, &**event)]);
    match trigger.fire(sensor, &set, now) {
        Ok(firing) => {
            let id = firing.id.clone();
            decision.fire(sensor, Arc::new(firing), &set);
            Outcome::Fired { firing: id, consumed: vec![format!("{dependency}={}", event.event.id)] }
        }
        Err(failure) => {
            decision.dead.push(dead_letter(sensor, Some(&trigger.name), &set, &failure, now));
            dead_outcome(&failure, Vec::new())
        }
    }
}

fn reset_due(sensor: &Compiled, state: &mut State, time: Timestamp, now: Timestamp, decision: &mut Decision) {
    for (trigger, state) in state.iter_mut() {
        let before = state.outbox.dropped.len();
        if condition::reset(state, time) {
            decision.changed.insert(trigger.clone());
            let resets = decision.resets.get_or_insert_with(|| empty_verdict(sensor, now));
            let dropped = state.outbox.dropped.iter().skip(before);
            resets
                .reset
                .extend(dropped.map(|one| (trigger.clone(), one.dependency.clone(), one.event.clone())));
        }
    }
}

/// A verdict that says nothing yet.
pub(crate) fn empty_verdict(sensor: &Compiled, now: Timestamp) -> Verdict {
    Verdict {
        version: 1,
        namespace: sensor.namespace.clone(),
        sensor: sensor.name.clone(),
        sensor_uid: sensor.uid.clone(),
        sensor_revision: sensor.revision.clone(),
        event: None,
        sequence: 0,
        replay: 0,
        at: now,
        triggers: Vec::new(),
        reset: Vec::new(),
    }
}

/// A dead letter about an event set.
pub(crate) fn dead_letter(
    sensor: &Compiled,
    trigger: Option<&str>,
    set: &EventSet<'_>,
    failure: &Failure,
    now: Timestamp,
) -> DeadLetter {
    DeadLetter {
        stage: "sensor".into(),
        code: failure.code().into(),
        reason: failure.to_string(),
        at: now,
        attempts: 1,
        namespace: sensor.namespace.clone(),
        sensor: Some(sensor.name.clone()),
        trigger: trigger.map(str::to_owned),
        events: set.0.iter().map(|(name, parsed)| parsed.reference(name)).collect(),
        firing: None,
        raw: None,
    }
}

pub(crate) fn dead_outcome(failure: &Failure, consumed: Vec<String>) -> Outcome {
    Outcome::Dead { code: failure.code().into(), reason: failure.to_string(), consumed }
}
