//! Conditions: latest wins, resets, redelivery; and against a naive model.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use tiphys_core::{Event, EventId, Outcome, Timestamp};

use super::{adopt, reset};
use crate::compile::Compiled;
use crate::eval::{Decision, Input, State, eval};
use crate::testing::{dependency, event, feed, sensor, time, trigger, wrong};

fn spec(condition: &str) -> Value {
    json!({"dependencies": [dependency("a"), dependency("b"), dependency("c")],
        "triggers": [trigger("t", condition)]})
}

fn resetting(condition: &str, cron: &str, zone: &str) -> Compiled {
    let mut spec = spec(condition);
    spec["triggers"][0]["template"]["conditionsReset"] =
        json!([{"byTime": {"cron": cron, "timezone": zone}}]);
    sensor(spec)
}

fn outcome(decision: &Decision) -> &Outcome {
    &decision.verdict.as_ref().unwrap().triggers[0].outcome
}

fn waiting(missing: &[&str], superseded: Option<&str>) -> Outcome {
    Outcome::Waiting {
        missing: missing.iter().map(|name| (*name).to_owned()).collect(),
        superseded: superseded.map(|id| EventId(id.into())),
    }
}

fn members(decision: &Decision) -> Vec<String> {
    let events = decision.firings[0].events.iter();
    events.map(|event| format!("{}={}", event.dependency, event.id)).collect()
}

#[test]
fn the_latest_event_of_each_dependency_wins() {
    let sensor = sensor(spec("a && b"));
    let mut state = State::new();
    let first = feed(&sensor, &mut state, 1, event("a", "a1", "{}"));
    assert_eq!(*outcome(&first), waiting(&["b"], None));
    assert_eq!(first.changed, BTreeSet::from(["t".to_owned()]));
    let second = feed(&sensor, &mut state, 2, event("a", "a2", "{}"));
    assert_eq!(*outcome(&second), waiting(&["b"], Some("a1")));
    let third = feed(&sensor, &mut state, 3, event("b", "b1", "{}"));
    assert_eq!(members(&third), ["a=a2", "b=b1"]);
    let Outcome::Fired { consumed, .. } = outcome(&third) else { panic!() };
    assert_eq!(*consumed, ["a=a2", "b=b1"]);
    // Everything is used up.
    let fourth = feed(&sensor, &mut state, 4, event("b", "b2", "{}"));
    assert_eq!(*outcome(&fourth), waiting(&["a"], None));
}

#[test]
fn what_waits_in_an_unneeded_branch_goes_along() {
    let sensor = sensor(spec("(a && b) || c"));
    let mut state = State::new();
    feed(&sensor, &mut state, 1, event("a", "a1", "{}"));
    let fired = feed(&sensor, &mut state, 2, event("c", "c1", "{}"));
    assert_eq!(members(&fired), ["a=a1", "c=c1"]);
    assert!(state["t"].held.is_empty());
}

#[test]
fn alternatives_fire_with_one_event_and_keep_nothing() {
    let sensor = sensor(spec("a || b"));
    let mut state = State::new();
    for (sequence, name) in [(1, "a"), (2, "b"), (3, "a")] {
        let decision = feed(&sensor, &mut state, sequence, event(name, &format!("{name}{sequence}"), "{}"));
        assert_eq!(members(&decision), [format!("{name}={name}{sequence}")]);
    }
    assert!(state.is_empty());
    assert!(feed(&sensor, &mut state, 4, event("c", "c1", "{}")).verdict.is_none());
}

#[test]
fn an_empty_condition_waits_for_all_dependencies() {
    let sensor = sensor(spec(""));
    let mut state = State::new();
    assert_eq!(*outcome(&feed(&sensor, &mut state, 1, event("b", "b1", "{}"))), waiting(&["a", "c"], None));
    feed(&sensor, &mut state, 2, event("a", "a1", "{}"));
    assert_eq!(members(&feed(&sensor, &mut state, 3, event("c", "c1", "{}"))), ["a=a1", "b=b1", "c=c1"]);
}

#[test]
fn bad_conditions_are_found_when_the_manifest_loads() {
    for condition in ["a && nobody", "a &&", "!a", "a and b"] {
        assert_eq!(wrong(spec(condition))[0].code, "TIP-SEN-005", "{condition}");
    }
}

#[test]
fn an_event_that_comes_again_gets_its_verdict_again_and_changes_nothing() {
    let sensor = sensor(spec("a && b"));
    let mut state = State::new();
    let first = feed(&sensor, &mut state, 1, event("a", "a1", "{}"));
    let fired = feed(&sensor, &mut state, 2, event("b", "b1", "{}"));
    for _ in 0..10 {
        let again = feed(&sensor, &mut state, 1, event("a", "a1", "{}"));
        assert_eq!(outcome(&again), outcome(&first));
        let again = feed(&sensor, &mut state, 2, event("b", "b1", "{}"));
        assert_eq!(outcome(&again), outcome(&fired));
        assert!(again.firings.is_empty() && again.changed.is_empty());
    }
    assert_eq!(state["t"].outbox.firings.len(), 1);
    // Stored a second time, after the bus forgot its id.
    let twice = feed(&sensor, &mut state, 9, event("a", "a1", "{}"));
    assert!(matches!(outcome(&twice), Outcome::Suppressed { .. }));
    // Delivered again after its ack was known to be kept.
    state.get_mut("t").unwrap().settle(9);
    let late = feed(&sensor, &mut state, 2, event("b", "b1", "{}"));
    assert!(matches!(outcome(&late), Outcome::Suppressed { .. }));
    assert!(state["t"].rows.is_empty() && state["t"].held.is_empty());
}

#[test]
fn a_replay_is_a_new_generation() {
    let sensor = sensor(spec("a && b"));
    let mut state = State::new();
    let replayed = |name: &str, id: &str, generation: &str| {
        let mut event = event(name, id, "{}");
        event.attributes.insert("replay".into(), generation.into());
        event
    };
    feed(&sensor, &mut state, 1, event("a", "a1", "{}"));
    let original = feed(&sensor, &mut state, 2, event("b", "b1", "{}"));
    assert_eq!(*outcome(&feed(&sensor, &mut state, 3, replayed("a", "a1", "1"))), waiting(&["b"], None));
    let again = feed(&sensor, &mut state, 4, replayed("b", "b1", "1"));
    assert_eq!((again.firings[0].replay, again.verdict.as_ref().unwrap().replay), (1, 1));
    assert_eq!(again.firings[0].events[0].id, original.firings[0].events[0].id);
    assert_ne!(again.firings[0].id, original.firings[0].id);
}

#[test]
fn a_reset_drops_what_was_received_before_it() {
    let sensor = resetting("a && b", "0 13 * * *", "");
    let at =
        |name: &str, id: &str, received: &str| Event { received: time(received), ..event(name, id, "{}") };
    let mut state = State::new();
    feed(&sensor, &mut state, 1, at("a", "a1", "2026-03-01T12:59:00Z"));
    // A backlog is judged as it would have been without the delay: both came before the reset.
    let mut late = state.clone();
    let now = time("2026-03-01T15:00:00Z");
    let input = Input::Event { event: at("b", "b1", "2026-03-01T12:59:59Z"), sequence: 2 };
    assert_eq!(eval(&sensor, &mut late, now, input).firings.len(), 1);
    // An event from after the reset finds nothing.
    let mut after = state.clone();
    let decision = feed(&sensor, &mut after, 2, at("b", "b1", "2026-03-01T13:00:01Z"));
    assert_eq!(*outcome(&decision), waiting(&["a"], None));
    let dropped = decision.resets.unwrap().reset;
    assert_eq!(dropped, [("t".into(), "a".into(), EventId("a1".into()))]);
    // So does a tick, once.
    assert!(eval(&sensor, &mut state, time("2026-03-01T12:59:59Z"), Input::Tick).resets.is_none());
    let tick = eval(&sensor, &mut state, time("2026-03-01T13:00:00Z"), Input::Tick);
    assert_eq!(tick.resets.unwrap().reset.len(), 1);
    assert!(eval(&sensor, &mut state, time("2026-03-02T13:00:00Z"), Input::Tick).changed.is_empty());
}

#[test]
fn a_reset_missed_while_nothing_ran_is_made_up_for() {
    let sensor = resetting("a && b", "0 3 * * *", "Europe/Berlin");
    let mut state = State::new();
    feed(&sensor, &mut state, 1, event("a", "a1", "{}"));
    // As after a restart: what is due is worked out anew from the manifest.
    let held = state.get_mut("t").unwrap();
    held.held.get_mut("a").unwrap().expires = None;
    adopt(sensor.trigger("t"), held);
    assert!(!reset(held, time("2026-03-02T01:59:59Z")));
    assert!(reset(held, time("2026-03-02T02:00:00Z")));
}

#[test]
fn an_edit_drops_what_is_no_longer_waited_for() {
    let before = sensor(spec("a && b && c"));
    let mut state = State::new();
    feed(&before, &mut state, 1, event("a", "a1", "{}"));
    feed(&before, &mut state, 2, event("b", "b1", "{}"));
    let after = sensor(spec("a && c"));
    let held = state.get_mut("t").unwrap();
    adopt(after.trigger("t"), held);
    assert_eq!(held.outbox.dropped[0].event.0, "b1");
    let fired = feed(&after, &mut state, 3, event("c", "c1", "{}"));
    assert_eq!(members(&fired), ["a=a1", "c=c1"]);
}

#[test]
fn bad_resets_are_found_when_the_manifest_loads() {
    for (cron, zone) in [("every day", ""), ("0 3 * * *", "Mars/Olympus"), ("61 * * * *", "")] {
        let mut spec = spec("a && b");
        spec["triggers"][0]["template"]["conditionsReset"] =
            json!([{"byTime": {"cron": cron, "timezone": zone}}]);
        assert_eq!(wrong(spec)[0].code, "TIP-SEN-006", "{cron} {zone}");
    }
}

/// One move of the world: an event of a dependency, by its number, delivered so many times.
#[derive(Debug, Clone)]
enum Move {
    Event { dependency: usize, number: u8, copies: u8 },
    Tick { minutes: i64 },
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let event = (0..3usize, any::<u8>(), 1..4u8).prop_map(|(dependency, number, copies)| Move::Event {
        dependency,
        number,
        copies,
    });
    let tick = (1..90i64).prop_map(|minutes| Move::Tick { minutes });
    proptest::collection::vec(prop_oneof![5 => event, 1 => tick], 0..60)
}

/// What a condition is, without any care: a map, a set, and the rule.
#[derive(Default)]
struct Naive {
    held: BTreeMap<&'static str, (String, Timestamp)>,
    seen: BTreeSet<String>,
}

impl Naive {
    fn reset(&mut self, time: Timestamp) -> usize {
        let hour = time.as_second() / 3600 * 3600;
        let before = self.held.len();
        self.held.retain(|_, (_, received)| received.as_second() >= hour);
        before - self.held.len()
    }
}

const NAMES: [&str; 3] = ["a", "b", "c"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn conditions_do_what_the_naive_model_does(moves in moves()) {
        let sensor = resetting("a && (b || c)", "0 * * * *", "UTC");
        let (mut state, mut naive) = (State::new(), Naive::default());
        let mut now = time("2026-03-01T12:10:00Z");
        for (sequence, step) in (1..).zip(moves) {
            match step {
                Move::Tick { minutes } => {
                    now += jiff::SignedDuration::from_mins(minutes);
                    let dropped = eval(&sensor, &mut state, now, Input::Tick).resets;
                    prop_assert_eq!(dropped.map_or(0, |verdict| verdict.reset.len()), naive.reset(now));
                }
                Move::Event { dependency, number, copies } => {
                    let name = NAMES[dependency];
                    let id = format!("{name}{number}");
                    naive.reset(now);
                    let fresh = naive.seen.insert(id.clone());
                    let mut fired = None;
                    if fresh {
                        naive.held.insert(name, (id.clone(), now));
                        let has = |name: &str| naive.held.contains_key(name);
                        if has("a") && (has("b") || has("c")) {
                            let set = std::mem::take(&mut naive.held);
                            fired = Some(set.into_iter().map(|(name, (id, _))| format!("{name}={id}")).collect::<Vec<_>>());
                        }
                    }
                    for copy in 0..copies {
                        let event = Event { received: now, ..event(name, &id, "{}") };
                        let decision = feed(&sensor, &mut state, sequence, event);
                        prop_assert_eq!(decision.firings.len(), usize::from(copy == 0 && fired.is_some()));
                        match (outcome(&decision), &fired) {
                            (Outcome::Fired { consumed, .. }, Some(expected)) => prop_assert_eq!(consumed, expected),
                            (Outcome::Waiting { .. }, None) => prop_assert!(fresh),
                            (Outcome::Suppressed { .. }, None) => prop_assert!(!fresh),
                            (other, _) => prop_assert!(false, "{:?}", other),
                        }
                    }
                }
            }
            let held: Vec<String> = state.get("t").map_or_else(Vec::new, |state| state.held.values().map(|held| held.event.event.id.0.clone()).collect());
            prop_assert_eq!(held, naive.held.values().map(|(id, _)| id.clone()).collect::<Vec<_>>());
        }
    }
}
