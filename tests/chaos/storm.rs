//! A storm over the separate services: events through a real NATS while random services are killed, the bus is stopped
//! for seconds, and everything comes again; judged by what the senders were answered.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tiphys_tests::{Local, counting, until};

use crate::draw;
use crate::judge::{self, compare};

/// Events of one run; `TIPHYS_STORM` asks for more, such as 30000.
const EVENTS: usize = 3000;
/// Kills of random services, and stops of the bus.
const KILLS: usize = 10;
const STOPS: usize = 2;
/// One of so many events starts a workflow.
const WORKFLOW_EVERY: usize = 50;
const SENDERS: usize = 8;

const ROLES: [&str; 7] = ["bus", "server", "eventsource", "sensor", "trigger", "executor", "nats"];

fn starts_workflow(n: usize) -> bool {
    n.is_multiple_of(WORKFLOW_EVERY)
}

/// Sends one event until it is answered 200, always under the same id. Gives the event's id.
fn send(local: &Local, n: usize) -> String {
    let body = json!({"n": n, "skip": !starts_workflow(n)}).to_string();
    until("a 200", || {
        let file = std::fs::read(local.data().join("run/eventsource.json")).ok()?;
        let said: Value = serde_json::from_slice(&file).ok()?;
        let authority = said["address"].as_str()?.trim_start_matches("http://").to_owned();
        let request = format!(
            "POST /events/default/in/e HTTP/1.1\r\nHost: {authority}\r\nX-Id: native-{n}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = tiphys_tests::server::exchange(&authority, request.as_bytes()).ok()?;
        (answer.status == 200).then(|| answer.header("x-event-id").unwrap_or_default().to_owned())
    })
}

/// Kills and stops at random until told that enough was done.
fn rage(local: &Local, done: &AtomicUsize, events: usize) {
    let mut stops = 0;
    for kill in 0..KILLS {
        // Spread over the time of sending.
        let due = events * (kill + 1) / (KILLS + 1);
        until("its turn", || (done.load(Ordering::SeqCst) >= due).then_some(()));
        if stops < STOPS && draw(3) == 0 {
            stops += 1;
            eprintln!("storm: the bus is stopped for 3 s");
            local.signal("nats", Signal::STOP);
            std::thread::sleep(Duration::from_secs(3));
            local.signal("nats", Signal::CONT);
        }
        let role = ROLES[usize::try_from(draw(ROLES.len() as u64)).unwrap()];
        eprintln!("storm: kill -9 of {role} after {} events", done.load(Ordering::SeqCst));
        local.kill(role);
        std::thread::sleep(Duration::from_millis(draw(300)));
        local.up();
    }
}

/// The sum rule, each time somebody looks.
fn watch_sums(local: &Local, over: &AtomicBool) -> usize {
    let mut seen = 0;
    while !over.load(Ordering::SeqCst) {
        let output = local.cli(&["status", "-o", "json"]);
        // While the API is down nobody can look.
        if let Ok(status) = serde_json::from_slice::<Value>(&output.stdout) {
            for row in status["triggers"].as_array().into_iter().flatten() {
                assert!(judge::sums_up(row), "{row}");
                seen += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    seen
}

/// All events that the API lists, page by page.
fn listed(local: &Local) -> Vec<(usize, String)> {
    let (mut all, mut after) = (Vec::new(), 0);
    loop {
        let page = local.api(&format!("/api/tiphys/v1/events?limit=1000&after={after}"));
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let Some(last) = items.last() else { return all };
        after = last["sequence"].as_u64().unwrap();
        for item in &items {
            let native = item["attributes"]["nativeid"].as_str().unwrap();
            let number = native.trim_start_matches("native-").parse().unwrap();
            all.push((number, format!("{} at {}", item["id"], item["sequence"])));
        }
    }
}

#[test]
fn a_storm_over_separate_services_loses_nothing_and_doubles_nothing() {
    let events = std::env::var("TIPHYS_STORM").ok().and_then(|n| n.parse().ok()).unwrap_or(EVENTS);
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let Some(local) = Local::start(counting(&ledger, "true").path()) else { return };
    let (next, done, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let began = Instant::now();
    let looks = std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch_sums(&local, &over));
        let raging = scope.spawn(|| rage(&local, &done, events));
        let senders: Vec<_> = (0..SENDERS)
            .map(|_| {
                scope.spawn(|| {
                    loop {
                        let n = next.fetch_add(1, Ordering::SeqCst);
                        if n >= events {
                            return;
                        }
                        send(&local, n);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        raging.join().unwrap();
        local.up();
        until("all is counted", || {
            let row = local.api("/api/tiphys/v1/status")["triggers"][0].clone();
            (row["accepted"] == events && row["inFlight"] == 0).then_some(())
        });
        over.store(true, Ordering::SeqCst);
        watching.join().unwrap()
    });
    eprintln!("storm: {events} events in {:?}, the sum rule looked at {looks} times", began.elapsed());
    assert!(looks > 0);
    let promised: BTreeSet<usize> = (0..events).collect();
    let verdict = compare(&promised, listed(&local));
    assert!(verdict.is_clean(), "events: {verdict:?}\n{}", local.logs());
    let wanted: BTreeSet<usize> = promised.into_iter().filter(|n| starts_workflow(*n)).collect();
    let workflows = local.ended(wanted.len());
    assert_eq!(workflows.len(), wanted.len(), "one workflow for each event that passed the filter");
    let runs = std::fs::read_to_string(&ledger).unwrap();
    // Each line is a run of its own: two for one number are two identities.
    let runs = runs.lines().enumerate().map(|(line, number)| (number.parse().unwrap(), line));
    let verdict = compare(&wanted, runs);
    assert!(verdict.is_clean(), "steps: {verdict:?}");
    for workflow in &workflows {
        assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    }
}
