//! A storm over the separate services: events through a real NATS while random services are killed and cut off, and
//! everything comes again; judged by what the senders were answered, and by what arrived outside.

mod again;
mod rage;
mod scene;
mod sums;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tiphys_tests::until;

use self::again::COPIES;
use self::scene::{LANES, Scene};
use crate::judge::compare;
use crate::outside::{Outside, Stored};

/// Events of one run, and how many are sent in a second; `TIPHYS_STORM` asks for another number of events.
const EVENTS: usize = 30_000;
const RATE: u32 = 500;
/// One of so many events starts a workflow; each is told to a sink.
const WORKFLOW_EVERY: usize = 100;
const SENDERS: usize = 16;
/// So long may last what is under way after the last fault.
const DRAIN: Duration = Duration::from_secs(180);
/// Nothing is waited for after this time, so that a run that has failed ends.
const LONGEST: Duration = Duration::from_secs(500);

/// What a run is about, and how far it came.
struct Run {
    events: usize,
    /// These come again and again.
    stretch: Range<usize>,
    began: Instant,
    next: AtomicUsize,
    done: AtomicUsize,
    over: AtomicBool,
}

impl Run {
    fn new(events: usize) -> Self {
        Self {
            events,
            stretch: events / 3..events / 3 + events / 60,
            began: Instant::now(),
            next: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        }
    }

    fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until so many events are sent.
    fn wait_for(&self, events: usize) {
        while self.done() < events {
            let goes_on = self.began.elapsed() < LONGEST && !self.over.load(Ordering::SeqCst);
            assert!(goes_on, "{} events were sent", self.done());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Ends a run, also one that fails: nobody waits for what will not come.
struct Ends<'a>(&'a Run);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::SeqCst);
    }
}

fn starts_workflow(n: usize) -> bool {
    n.is_multiple_of(WORKFLOW_EVERY)
}

/// The number of a sender's own id.
fn number(native: &str) -> usize {
    native.trim_start_matches("native-").parse().unwrap_or(usize::MAX)
}

/// Sends one event until it is answered 200, always under the same id. Gives the event's id.
fn send(scene: &Scene, n: usize) -> String {
    let body = json!({"n": n, "skip": !starts_workflow(n)}).to_string();
    until("a 200", || {
        let file = std::fs::read(scene.data().join("run/eventsource.json")).ok()?;
        let said: Value = serde_json::from_slice(&file).ok()?;
        let authority = said["address"].as_str()?.trim_start_matches("http://").to_owned();
        let request = format!(
            "POST /events/default/in/e{} HTTP/1.1\r\nHost: {authority}\r\nX-Id: native-{n}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            n % LANES,
            body.len()
        );
        let answer = tiphys_tests::server::exchange(&authority, request.as_bytes()).ok()?;
        (answer.status == 200).then(|| answer.header("x-event-id").unwrap_or_default().to_owned())
    })
}

/// A sender among others. Those of the stretch do not believe their answer, and send again.
fn sender(scene: &Scene, run: &Run) {
    loop {
        let n = run.next.fetch_add(1, Ordering::SeqCst);
        if n >= run.events {
            return;
        }
        let due = Duration::from_secs(1) * u32::try_from(n).unwrap() / RATE;
        std::thread::sleep(due.saturating_sub(run.began.elapsed()));
        let id = send(scene, n);
        if run.stretch.contains(&n) {
            for _ in 1..COPIES {
                assert_eq!(send(scene, n), id, "a sender that tries again is told of the same event");
            }
        }
        run.done.fetch_add(1, Ordering::SeqCst);
    }
}

fn senders<'scope>(scope: &'scope Scope<'scope, '_>, scene: &'scope Scene, run: &'scope Run) {
    let all: Vec<_> = (0..SENDERS).map(|_| scope.spawn(move || sender(scene, run))).collect();
    for sender in all {
        sender.join().unwrap();
    }
}

/// Looks until there is something, for as long as anything may be under way.
fn patiently<T>(mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DRAIN;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < deadline, "{why}"),
        }
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// Waits until the bus has everything that senders were told is safe: the spool may have it first.
fn arrived(outside: &Outside, run: &Run) -> Vec<Stored> {
    patiently(|| {
        let stored = outside.events();
        let numbers: BTreeSet<usize> = stored.iter().map(|event| number(&event.native)).collect();
        let why = format!("{} of {} events are on the bus", numbers.len(), run.events);
        if numbers.len() >= run.events { Ok(stored) } else { Err(why) }
    })
}

/// Waits until everything is judged and acted on.
fn drained(scene: &Scene, run: &Run, copies: usize) {
    patiently(|| {
        let rows = sums::rows(scene).unwrap_or_default();
        let sum = |trigger: &str, bucket: &str| {
            let of_trigger = rows.iter().filter(|row| row["trigger"] == trigger);
            of_trigger.map(|row| usize::try_from(row[bucket].as_u64().unwrap()).unwrap()).sum::<usize>()
        };
        let all_of =
            |trigger| sum(trigger, "accepted") == run.events + copies && sum(trigger, "inFlight") == 0;
        if all_of("tell") && all_of("run") { Ok(()) } else { Err(format!("{copies} copies, {rows:#?}")) }
    });
}

/// Each event is stored once, but for those of the stretch: of these the copies are stored, too, as the same event.
fn judge_events(run: &Run, stored: &[Stored]) -> usize {
    let identity = |event: &Stored| match run.stretch.contains(&number(&event.native)) {
        true => (event.id.clone(), 0),
        false => (event.id.clone(), event.sequence),
    };
    let verdict = compare(
        &(0..run.events).collect(),
        stored.iter().map(|event| (number(&event.native), identity(event))),
    );
    assert!(verdict.is_clean(), "events: {verdict:?}");
    stored.len() - run.events
}

/// What came of it outside: each event was told once, and those that are to started one workflow that ran once.
fn judge_effects(scene: &Scene, run: &Run) {
    let promised: BTreeSet<usize> = (0..run.events).collect();
    let verdict = compare(&promised, scene.sink.found());
    assert!(verdict.is_clean(), "told: {verdict:?}");
    let wanted: BTreeSet<usize> = promised.into_iter().filter(|n| starts_workflow(*n)).collect();
    let workflows = scene.ended(wanted.len());
    assert_eq!(workflows.len(), wanted.len(), "one workflow for each event that passed the filter");
    for workflow in &workflows {
        assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    }
    let runs = std::fs::read_to_string(scene.ledger()).unwrap();
    // Each line is a run of its own: two for one number are two identities.
    let runs = runs.lines().enumerate().map(|(line, number)| (number.parse().unwrap(), line));
    let verdict = compare(&wanted, runs);
    assert!(verdict.is_clean(), "steps: {verdict:?}");
}

#[test]
fn a_storm_over_separate_services_loses_nothing_and_doubles_nothing() {
    let events = std::env::var("TIPHYS_STORM").ok().and_then(|n| n.parse().ok()).unwrap_or(EVENTS);
    let Some(scene) = Scene::set() else { return };
    let outside = Outside::of(&scene);
    let run = Run::new(events);
    let (looks, copies) = std::thread::scope(|scope| {
        let ends = Ends(&run);
        let watching = scope.spawn(|| sums::watch(&scene, &run));
        let raging = scope.spawn(|| rage::rage(&scene, &run));
        let again = scope.spawn(|| again::storm(&outside, &run));
        senders(scope, &scene, &run);
        again.join().unwrap();
        raging.join().unwrap();
        scene.up();
        eprintln!("storm: {events} events sent and the last fault over after {:?}", run.began.elapsed());
        let copies = judge_events(&run, &arrived(&outside, &run));
        assert!(copies >= run.stretch.len() * COPIES, "{copies} copies");
        drained(&scene, &run, copies);
        drop(ends);
        (watching.join().unwrap(), copies)
    });
    assert_eq!(judge_events(&run, &outside.events()), copies, "nothing came later");
    judge_effects(&scene, &run);
    eprintln!(
        "storm: {events} events, {copies} copies in {:?}; the sum rule looked at {looks} times",
        run.began.elapsed()
    );
    assert!(looks > 0);
}
