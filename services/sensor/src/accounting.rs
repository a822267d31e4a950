//! Accounting: where every accepted event is, for every trigger and dependency.
//!
//! A fold over the records of EVENTS, VERDICTS and LEDGER. The unit is (event × dependency × trigger). What was
//! accepted is counted from EVENTS alone, and what is in flight from the units that are open, so that a
//! verdict that is missing shows as an event that stays in flight, and one that was made twice as nothing.
//!
//! The host gives each record once and in the order of its stream; it starts at the oldest one that it
//! can still read, and [`Accounting::track`]s each sensor before it gives the events that follow.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::Serialize;
use tiphys_bus::streams;
use tiphys_core::{EventId, FiringId, Outcome, Verdict};

use crate::compile::Compiled;

mod unit;

#[cfg(test)]
mod tests;

use unit::{Exit, Stage, Unit};

/// Firings remembered, so that one that is made again is known: about 14 days at 20 a minute.
const FIRINGS: usize = 400_000;

/// The eight buckets. The first is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Stored on the bus and matching the dependency.
    pub accepted: u64,
    /// Part of a firing whose effect is done.
    pub fired: u64,
    /// Refused by a filter.
    pub filtered: u64,
    /// Displaced by a later event while it waited.
    pub superseded: u64,
    /// Dropped by a reset or an edit while it waited.
    pub reset: u64,
    /// Applied before.
    pub suppressed: u64,
    /// Given up, by the sensor or by the trigger.
    pub dead_lettered: u64,
    /// Not judged yet, waiting for other events, or in a firing that is not done yet.
    pub in_flight: u64,
}

/// The buckets of one unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Namespace of the sensor.
    pub namespace: String,
    /// The sensor.
    pub sensor: String,
    /// The trigger.
    pub trigger: String,
    /// The dependency.
    pub dependency: String,
    /// The buckets.
    #[serde(flatten)]
    pub counts: Counts,
}

/// What the ledger says of a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// Its effect is done.
    Done,
    /// It was given up.
    Dead,
    /// It was given up, and is tried again.
    Retrying,
}

/// Namespace and name of a sensor.
type Sensor = (String, String);
/// Names of a trigger and a dependency.
type Pair = (String, String);

/// One event of a firing, as a member of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    sensor: Sensor,
    pair: Pair,
    sequence: u64,
}

#[derive(Debug, Default)]
struct Account {
    revision: String,
    /// Pairs by the subject of the events that concern them.
    subjects: HashMap<String, Vec<Pair>>,
    units: BTreeMap<Pair, Unit>,
    /// Verdicts whose events were not given yet, and what came after them.
    waiting: VecDeque<Verdict>,
}

#[derive(Debug, Default)]
struct Firing {
    settled: Option<Settled>,
    members: Vec<Member>,
}

/// The fold.
#[derive(Debug, Default)]
pub struct Accounting {
    sensors: BTreeMap<Sensor, Account>,
    firings: HashMap<FiringId, Firing>,
    order: VecDeque<FiringId>,
    position: u64,
}

impl Accounting {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The sequence in EVENTS up to which events are counted.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Counts for a sensor from now on, or goes on with another revision of it. Events up to `begun_after` (see
    /// `ConsumerInfo`) are not its business.
    pub fn track(&mut self, sensor: &Compiled, begun_after: u64) {
        let key = (sensor.namespace.clone(), sensor.name.clone());
        let account = self.sensors.entry(key).or_default();
        account.revision.clone_from(&sensor.revision);
        account.subjects.clear();
        let mut units = BTreeMap::new();
        for (trigger, dependency, source, event) in sensor.units() {
            let subject = streams::subject(streams::EVENTS, &[&sensor.namespace, source, event]);
            let pair = (trigger.to_owned(), dependency.to_owned());
            account.subjects.entry(subject).or_default().push(pair.clone());
            let since = begun_after.max(self.position);
            let unit = account.units.remove(&pair).unwrap_or_else(|| Unit::since(since));
            units.insert(pair, unit);
        }
        account.units = units;
    }

    /// Forgets a sensor.
    pub fn forget(&mut self, namespace: &str, sensor: &str) {
        self.sensors.remove(&(namespace.to_owned(), sensor.to_owned()));
    }

    /// Takes a record of EVENTS, by its subject and sequence.
    pub fn on_event(&mut self, subject: &str, sequence: u64) {
        self.position = self.position.max(sequence);
        for account in self.sensors.values_mut() {
            for pair in account.subjects.get(subject).into_iter().flatten() {
                if let Some(unit) = account.units.get_mut(pair) {
                    unit.accept(sequence);
                }
            }
        }
        let behind: Vec<Sensor> = (self.sensors.iter())
            .filter(|(_, account)| !account.waiting.is_empty())
            .map(|(sensor, _)| sensor.clone())
            .collect();
        for sensor in behind {
            self.catch_up(&sensor);
        }
    }

    /// Takes a record of VERDICTS.
    pub fn on_verdict(&mut self, verdict: &Verdict) {
        let sensor = (verdict.namespace.clone(), verdict.sensor.clone());
        if let Some(account) = self.sensors.get_mut(&sensor) {
            account.waiting.push_back(verdict.clone());
            self.catch_up(&sensor);
        }
    }

    /// Takes what LEDGER says of a firing.
    pub fn on_settled(&mut self, firing: &FiringId, settled: Settled) {
        let entry = self.firing(firing);
        if entry.settled == Some(Settled::Done) {
            // What is done stays done.
            return;
        }
        let before = entry.settled.replace(settled);
        let members = entry.members.clone();
        for member in members {
            if let Some(unit) = unit_of(&mut self.sensors, &member.sensor, &member.pair) {
                unit.settle(member.sequence, before, settled);
            }
        }
    }

    /// All buckets, in order of namespace, sensor, trigger and dependency.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let rows = self.sensors.iter().flat_map(|((namespace, sensor), account)| {
            account.units.iter().map(move |((trigger, dependency), unit)| Row {
                namespace: namespace.clone(),
                sensor: sensor.clone(),
                trigger: trigger.clone(),
                dependency: dependency.clone(),
                counts: unit.counts(),
            })
        });
        rows.collect()
    }

    /// Applies the verdicts of a sensor whose events were given. Their order is kept.
    fn catch_up(&mut self, sensor: &Sensor) {
        loop {
            let position = self.position;
            let next = self
                .sensors
                .get_mut(sensor)
                .and_then(|account| account.waiting.pop_front_if(|verdict| verdict.sequence <= position));
            let Some(verdict) = next else {
                return;
            };
            self.apply(sensor, &verdict);
        }
    }

    fn apply(&mut self, sensor: &Sensor, verdict: &Verdict) {
        for row in &verdict.triggers {
            let pair = (row.trigger.clone(), row.dependency.clone());
            self.judge(sensor, &pair, verdict, &row.outcome);
        }
        let Some(account) = self.sensors.get_mut(sensor) else {
            return;
        };
        for (trigger, dependency, event) in &verdict.reset {
            if let Some(unit) = account.units.get_mut(&(trigger.clone(), dependency.clone())) {
                unit.reset(event);
            }
        }
        // A trigger that the deciding revision did not have yet was not asked.
        if verdict.sequence > 0 && verdict.sensor_revision != account.revision {
            for unit in account.units.values_mut() {
                unit.disown(verdict.sequence);
            }
        }
    }

    fn judge(&mut self, sensor: &Sensor, pair: &Pair, verdict: &Verdict, outcome: &Outcome) {
        let sequence = verdict.sequence;
        let Some(unit) = unit_of(&mut self.sensors, sensor, pair) else {
            return;
        };
        // A verdict that was given twice counts once.
        if !unit.is_unjudged(sequence) {
            return;
        }
        let event = verdict.event.clone().unwrap_or_else(|| EventId(String::new()));
        match outcome {
            Outcome::Filtered => unit.close(sequence, |counts| &mut counts.filtered),
            Outcome::Suppressed { .. } => unit.close(sequence, |counts| &mut counts.suppressed),
            Outcome::Waiting { superseded, .. } => {
                if let Some(displaced) = superseded {
                    unit.leave(displaced, Exit::Superseded);
                }
                if let Some(firing) = unit.wait(sequence, event) {
                    self.join(firing, sensor, pair, sequence);
                }
            }
            Outcome::Dead { consumed, .. } => {
                unit.close(sequence, |counts| &mut counts.dead_lettered);
                for (pair, id) in others(pair, &event, consumed) {
                    if let Some(unit) = unit_of(&mut self.sensors, sensor, &pair) {
                        unit.leave(&id, Exit::Dead);
                    }
                }
            }
            Outcome::Fired { firing, consumed } => {
                if self.firings.get(firing).is_some_and(|known| !known.members.is_empty()) {
                    // The same event set was fired before; the ledger lets it through once.
                    if let Some(unit) = unit_of(&mut self.sensors, sensor, pair) {
                        unit.close(sequence, |counts| &mut counts.suppressed);
                    }
                    return;
                }
                unit.advance(sequence, Stage::Fired);
                self.join(firing.clone(), sensor, pair, sequence);
                for (pair, id) in others(pair, &event, consumed) {
                    let unit = unit_of(&mut self.sensors, sensor, &pair);
                    let exit = Exit::Fired(firing.clone());
                    if let Some(sequence) = unit.and_then(|unit| unit.leave(&id, exit)) {
                        self.join(firing.clone(), sensor, &pair, sequence);
                    }
                }
            }
        }
    }

    /// Makes an event a member of a firing, and gives it what the ledger said of that already.
    fn join(&mut self, firing: FiringId, sensor: &Sensor, pair: &Pair, sequence: u64) {
        let member = Member { sensor: sensor.clone(), pair: pair.clone(), sequence };
        let entry = self.firing(&firing);
        entry.members.push(member);
        if let Some(settled) = entry.settled
            && let Some(unit) = unit_of(&mut self.sensors, sensor, pair)
        {
            unit.settle(sequence, None, settled);
        }
    }

    fn firing(&mut self, id: &FiringId) -> &mut Firing {
        if !self.firings.contains_key(id) {
            self.order.push_back(id.clone());
            while self.order.len() > FIRINGS {
                if let Some(oldest) = self.order.pop_front() {
                    self.firings.remove(&oldest);
                }
            }
        }
        self.firings.entry(id.clone()).or_default()
    }
}

fn unit_of<'a>(
    sensors: &'a mut BTreeMap<Sensor, Account>,
    sensor: &Sensor,
    pair: &Pair,
) -> Option<&'a mut Unit> {
    sensors.get_mut(sensor)?.units.get_mut(pair)
}

/// The other members of an event set, as (trigger and dependency, event).
fn others(pair: &Pair, event: &EventId, consumed: &[String]) -> Vec<(Pair, EventId)> {
    let members = consumed.iter().filter_map(|one| one.rsplit_once('='));
    members
        .filter(|(dependency, id)| (*dependency, *id) != (pair.1.as_str(), event.0.as_str()))
        .map(|(dependency, id)| ((pair.0.clone(), dependency.to_owned()), EventId(id.to_owned())))
        .collect()
}
