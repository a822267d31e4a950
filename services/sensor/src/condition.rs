//! The AND-state of a trigger: what an event, a reset and an edit do to it.

use std::collections::BTreeSet;
use std::sync::Arc;

use tiphys_core::{Outcome, Timestamp};

use crate::compile::Compiled;
use crate::eval::{Decision, dead_letter, dead_outcome};
use crate::parameter::EventSet;
use crate::parsed::Parsed;
use crate::state::{ConditionState, Dropped, Held, Row};
use crate::trigger::CompiledTrigger;

#[cfg(test)]
mod tests;

/// Forgets what waits since before a scheduled reset that `time` has reached.
///
/// `time` is the receipt of the event at hand, or now where there is none: so a backlog is judged as it would have
/// been without the delay.
pub(crate) fn reset(state: &mut ConditionState, time: Timestamp) -> bool {
    state.drop_held(|_, held| held.expires.is_some_and(|expires| expires <= time))
}

/// Fits the state to a trigger as it now is; without one, nothing is waited for any longer.
pub(crate) fn adopt(trigger: Option<&CompiledTrigger>, state: &mut ConditionState) {
    state.drop_held(|dependency, _| !trigger.is_some_and(|trigger| trigger.names(dependency)));
    if let Some(trigger) = trigger {
        for held in state.held.values_mut() {
            *held = Held::new(held.event.clone(), &trigger.resets);
        }
    }
}

/// Applies an event that passed the filters of `dependency`. An event that was applied before changes nothing.
pub(crate) fn step(
    sensor: &Compiled,
    trigger: &CompiledTrigger,
    state: &mut ConditionState,
    (dependency, event): (&str, &Arc<Parsed>),
    now: Timestamp,
    decision: &mut Decision,
) -> Outcome {
    let known = |row: &&Row| row.sequence == event.sequence && row.dependency == dependency;
    if let Some(row) = state.rows.iter().find(known) {
        return row.outcome.clone();
    }
    let (id, replay) = (&event.event.id, event.replay());
    if event.sequence <= state.floor || state.seen.contains(dependency, id, replay) {
        return Outcome::Suppressed { reason: "this event was applied before".into() };
    }
    state.seen.insert(dependency, id, replay);
    decision.changed.insert(trigger.name.clone());
    let displaced = state.held.insert(dependency.to_owned(), Held::new(event.clone(), &trigger.resets));
    let present: BTreeSet<&str> = state.held.keys().map(String::as_str).collect();
    let outcome = if trigger.condition.holds(&present) {
        // Only after an edit can an event be displaced that had completed the condition already.
        state.outbox.dropped.extend(displaced.map(|held| Dropped {
            dependency: dependency.to_owned(),
            event: held.event.event.id.clone(),
            sequence: held.event.sequence,
        }));
        complete(sensor, trigger, state, now, decision)
    } else {
        let names = trigger.condition.dependencies().iter();
        Outcome::Waiting {
            missing: names.filter(|name| !present.contains(name.as_str())).cloned().collect(),
            superseded: displaced.map(|held| held.event.event.id.clone()),
        }
    };
    state.rows.push(Row {
        sequence: event.sequence,
        dependency: dependency.to_owned(),
        outcome: outcome.clone(),
    });
    outcome
}

/// Takes all that waits into a firing, also what stands in a branch of `||` that was not needed.
fn complete(
    sensor: &Compiled,
    trigger: &CompiledTrigger,
    state: &mut ConditionState,
    now: Timestamp,
    decision: &mut Decision,
) -> Outcome {
    let held = std::mem::take(&mut state.held);
    let set = EventSet(held.iter().map(|(name, held)| (name.as_str(), &*held.event)).collect());
    let consumed = set.0.iter().map(|(name, parsed)| format!("{name}={}", parsed.event.id)).collect();
    match trigger.fire(sensor, &set, now) {
        Ok(firing) => {
            let (id, firing) = (firing.id.clone(), Arc::new(firing));
            state.outbox.firings.push(firing.clone());
            decision.fire(sensor, firing, &set);
            Outcome::Fired { firing: id, consumed }
        }
        Err(failure) => {
            let letter = dead_letter(sensor, Some(&trigger.name), &set, &failure, now);
            state.outbox.dead.push(letter.clone());
            decision.dead.push(letter);
            dead_outcome(&failure, consumed)
        }
    }
}
