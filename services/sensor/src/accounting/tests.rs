//! The buckets against an outside ledger, and each event that hides.

use proptest::prelude::*;
use serde_json::json;
use tiphys_core::{Event, Firing, Verdict};

use super::*;
use crate::eval::{Input, State, eval};
use crate::testing::{dependency, event, feed, sensor, time, trigger};

struct Book {
    sensor: Compiled,
    state: State,
    accounting: Accounting,
    verdicts: Vec<Verdict>,
    firings: Vec<std::sync::Arc<Firing>>,
}

fn book() -> Book {
    let mut filtered = dependency("b");
    filtered["filters"] = json!({"data": [{"path": "p", "type": "string", "value": ["high"]}]});
    let mut both = trigger("both", "a && b");
    both["template"]["conditionsReset"] = json!([{"byTime": {"cron": "0 * * * *"}}]);
    let sensor = sensor(json!({"dependencies": [dependency("a"), filtered],
        "triggers": [trigger("single", "a"), both]}));
    let mut accounting = Accounting::new();
    accounting.track(&sensor, 0);
    Book { sensor, state: State::new(), accounting, verdicts: Vec::new(), firings: Vec::new() }
}

impl Book {
    /// Judges an event; what was decided is kept back from the accounting.
    fn store(&mut self, sequence: u64, event: Event) {
        let subject = format!("events.ns.src.{}", event.origin.event);
        self.accounting.on_event(&subject, sequence);
        let decision = feed(&self.sensor, &mut self.state, sequence, event);
        self.verdicts.extend(decision.verdict);
        self.verdicts.extend(decision.resets);
        self.firings.extend(decision.firings);
    }

    fn tell(&mut self) {
        for verdict in self.verdicts.drain(..) {
            self.accounting.on_verdict(&verdict);
        }
    }

    fn settle(&mut self, settled: Settled) {
        for firing in self.firings.drain(..) {
            self.accounting.on_settled(&firing.id, settled);
        }
    }

    fn counts(&self, trigger: &str, dependency: &str) -> Counts {
        let rows = self.accounting.rows();
        let mine = |row: &&Row| row.trigger == trigger && row.dependency == dependency;
        rows.iter().find(mine).unwrap().counts
    }
}

fn sum(counts: Counts) -> u64 {
    counts.fired
        + counts.filtered
        + counts.superseded
        + counts.reset
        + counts.suppressed
        + counts.dead_lettered
        + counts.in_flight
}

fn high(id: &str) -> Event {
    event("b", id, r#"{"p":"high"}"#)
}

#[test]
fn an_event_moves_from_bucket_to_bucket() {
    let mut book = book();
    book.store(1, event("a", "a1", "{}"));
    let expected = Counts { accepted: 1, in_flight: 1, ..Counts::default() };
    assert_eq!(book.counts("single", "a"), expected);
    book.tell();
    assert_eq!(book.counts("single", "a"), expected);
    book.settle(Settled::Done);
    assert_eq!(book.counts("single", "a"), Counts { accepted: 1, fired: 1, ..Counts::default() });
    assert_eq!(book.counts("both", "a"), expected);
    book.store(2, event("a", "a2", "{}"));
    book.store(3, event("b", "b1", "{}"));
    book.store(4, high("b2"));
    book.tell();
    let expected = Counts { accepted: 2, superseded: 1, in_flight: 1, ..Counts::default() };
    assert_eq!(book.counts("both", "a"), expected);
    let expected = Counts { accepted: 2, filtered: 1, in_flight: 1, ..Counts::default() };
    assert_eq!(book.counts("both", "b"), expected);
    let firing = book.firings.last().unwrap().id.clone();
    book.settle(Settled::Dead);
    assert_eq!(book.counts("both", "a").dead_lettered, 1);
    assert_eq!(book.counts("both", "b").dead_lettered, 1);
    // A dead letter that is retried moves back to in flight.
    book.accounting.on_settled(&firing, Settled::Retrying);
    assert_eq!(book.counts("both", "b").in_flight, 1);
    assert_eq!(book.counts("both", "b").dead_lettered, 0);
    book.accounting.on_settled(&firing, Settled::Done);
    assert_eq!(book.counts("both", "a").fired, 1);
    assert!(book.accounting.rows().iter().all(|row| row.counts.accepted == sum(row.counts)));
}

#[test]
fn resets_duplicates_and_second_copies_have_their_buckets() {
    let mut book = book();
    book.store(1, event("a", "a1", "{}"));
    let later = Event { received: time("2026-03-01T13:30:00Z"), ..event("a", "a2", "{}") };
    book.store(2, later);
    // The same event, stored again after the bus forgot its id.
    book.store(3, event("a", "a1", "{}"));
    let twice = book.verdicts.clone();
    book.tell();
    for verdict in &twice {
        book.accounting.on_verdict(verdict);
    }
    book.settle(Settled::Done);
    let expected = Counts { accepted: 3, reset: 1, suppressed: 1, in_flight: 1, ..Counts::default() };
    assert_eq!(book.counts("both", "a"), expected);
    let expected = Counts { accepted: 3, fired: 2, suppressed: 1, ..Counts::default() };
    assert_eq!(book.counts("single", "a"), expected);
}

#[test]
fn verdicts_and_ledger_may_come_first() {
    let mut book = book();
    let decision = feed(&book.sensor, &mut book.state, 5, event("a", "a1", "{}"));
    book.accounting.on_settled(&decision.firings[0].id, Settled::Done);
    book.accounting.on_verdict(&decision.verdict.unwrap());
    assert_eq!(book.counts("single", "a"), Counts::default());
    book.accounting.on_event("events.ns.src.a", 5);
    assert_eq!(book.counts("single", "a"), Counts { accepted: 1, fired: 1, ..Counts::default() });
    assert_eq!(book.accounting.position(), 5);
}

#[test]
fn a_condition_may_be_told_before_the_event_that_waited() {
    let mut book = book();
    book.store(1, event("a", "a1", "{}"));
    book.store(2, event("a", "a2", "{}"));
    book.store(3, high("b1"));
    book.verdicts.reverse();
    book.tell();
    let expected = Counts { accepted: 2, superseded: 1, in_flight: 1, ..Counts::default() };
    assert_eq!(book.counts("both", "a"), expected);
    book.settle(Settled::Done);
    assert_eq!(book.counts("both", "a").fired, 1);
    assert_eq!(book.counts("both", "a").in_flight, 0);
}

#[test]
fn a_hidden_verdict_shows_as_in_flight() {
    let mut book = book();
    for sequence in 1..=10 {
        book.store(sequence, event("a", &format!("a{sequence}"), "{}"));
    }
    book.verdicts.remove(4);
    book.tell();
    book.settle(Settled::Done);
    let expected = Counts { accepted: 10, fired: 9, in_flight: 1, ..Counts::default() };
    assert_eq!(book.counts("single", "a"), expected);
}

#[test]
fn an_edit_keeps_counting_and_new_triggers_start_at_zero() {
    let mut book = book();
    book.store(1, event("a", "a1", "{}"));
    book.tell();
    let edited = sensor(json!({"dependencies": [dependency("a"), dependency("b")],
        "triggers": [trigger("single", "a"), trigger("new", "a")]}));
    book.accounting.track(&edited, 0);
    assert_eq!(book.counts("new", "a"), Counts::default());
    assert_eq!(book.counts("single", "a").accepted, 1);
    // Stored after the edit, judged by the revision before it: the new trigger was not asked.
    book.store(2, event("a", "a2", "{}"));
    book.tell();
    assert_eq!(book.counts("new", "a"), Counts::default());
    assert_eq!(book.counts("single", "a").accepted, 2);
    book.accounting.forget("ns", "watch");
    assert!(book.accounting.rows().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_sum_holds_at_every_read(
        moves in proptest::collection::vec((0..4u8, 0..12u8, any::<bool>()), 1..60),
    ) {
        let mut book = book();
        let mut accepted = [0u64; 2];
        for (sequence, (what, number, late)) in (1..).zip(moves) {
            match what {
                0 => { book.store(sequence, event("a", &format!("a{number}"), "{}")); accepted[0] += 1; }
                1 => { book.store(sequence, high(&format!("b{number}"))); accepted[1] += 1; }
                2 => { book.store(sequence, event("b", &format!("x{number}"), "{}")); accepted[1] += 1; }
                _ => {
                    let tick = eval(&book.sensor, &mut book.state, time("2026-03-01T14:00:00Z"), Input::Tick);
                    book.verdicts.extend(tick.resets);
                }
            }
            if !late {
                book.tell();
                book.settle(if number % 3 == 0 { Settled::Dead } else { Settled::Done });
            }
            for row in book.accounting.rows() {
                prop_assert_eq!(row.counts.accepted, sum(row.counts));
                prop_assert_eq!(row.counts.accepted, accepted[usize::from(row.dependency == "b")]);
            }
        }
        book.tell();
        book.settle(Settled::Done);
        // What is still in flight is what the conditions hold.
        let held = book.state.get("both").map_or(0, |state| state.held.len() as u64);
        let open: u64 = book.accounting.rows().iter().map(|row| row.counts.in_flight).sum();
        prop_assert_eq!(open, held);
    }
}
