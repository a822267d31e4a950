//! Kills at any moment, judged by an outside ledger: the sender's list of what was answered 200, and a file that
//! the steps themselves write.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod judge;
mod outside;
mod points;
mod sink;
mod storm;
mod tap;
mod wire;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_tests::{Server, counting, until};

/// Events per run.
const EVENTS: usize = 150;
/// Kills while they are sent and worked off.
const KILLS: usize = 10;

/// Random milliseconds below `most`, from the system; the test prints what it drew.
fn draw(most: u64) -> u64 {
    let mut bytes = [0u8; 8];
    getrandom::fill(&mut bytes).unwrap();
    u64::from_le_bytes(bytes) % most
}

#[test]
fn nothing_is_lost_and_nothing_is_done_twice() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let server = Arc::new(Mutex::new(Server::start(counting(&ledger, "true").path())));
    let done = Arc::new(AtomicBool::new(false));
    let sender = {
        let (server, done) = (server.clone(), done.clone());
        std::thread::spawn(move || {
            let accepted: Vec<(usize, String)> = (0..EVENTS).map(|n| (n, send(&server, n))).collect();
            done.store(true, Ordering::SeqCst);
            accepted
        })
    };
    for kill in 0..KILLS {
        let wait = 50 + draw(700);
        std::thread::sleep(Duration::from_millis(wait));
        let mut server = server.lock().unwrap();
        eprintln!("kill {kill} after {wait} ms, sender done: {}", done.load(Ordering::SeqCst));
        server.kill();
        server.run();
    }
    let accepted = sender.join().unwrap();
    let server = server.lock().unwrap();
    let wanted = accepted.iter().filter(|(n, _)| !skipped(*n)).count();
    let workflows = server.ended(wanted);
    judge(&server, &accepted, &workflows, &ledger);
}

fn skipped(n: usize) -> bool {
    n.is_multiple_of(5)
}

/// Sends one event until it is answered 200, always under the same id; gives the event's id.
fn send(server: &Mutex<Server>, n: usize) -> String {
    let body = json!({"n": n, "skip": skipped(n)}).to_string();
    until("a 200", || {
        let authority =
            server.lock().ok().filter(|s| s.data().join("server.json").exists()).map(|s| s.authority())?;
        let id = format!("native-{n}");
        let request = format!(
            "POST /events/default/in/e HTTP/1.1\r\nHost: {authority}\r\nX-Id: {id}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = tiphys_tests::server::exchange(&authority, request.as_bytes()).ok()?;
        (answer.status == 200).then(|| answer.header("x-event-id").unwrap().to_owned())
    })
}

fn judge(server: &Server, accepted: &[(usize, String)], workflows: &[Value], ledger: &std::path::Path) {
    let wanted: Vec<usize> = accepted.iter().map(|(n, _)| *n).filter(|n| !skipped(*n)).collect();
    assert_eq!(workflows.len(), wanted.len(), "one workflow for each event that passed the filter");
    for workflow in workflows {
        assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    }
    let mut runs: BTreeMap<usize, usize> = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap().lines() {
        *runs.entry(line.parse().unwrap()).or_default() += 1;
    }
    let once: BTreeMap<usize, usize> = wanted.iter().map(|n| (*n, 1)).collect();
    assert_eq!(runs, once, "each step ran once");
    // Every answer 200 stands for an event that is there, once.
    let events = server.api("/api/tiphys/v1/events?limit=1000");
    let mut stored: Vec<&str> =
        events["items"].as_array().unwrap().iter().map(|e| e["id"].as_str().unwrap()).collect();
    let mut ids: Vec<&str> = accepted.iter().map(|(_, id)| id.as_str()).collect();
    stored.sort_unstable();
    ids.sort_unstable();
    assert_eq!(stored, ids);
    // The sum rule, against the outside ledger.
    let status = server.json(&["status"]);
    let row = &status["triggers"][0];
    assert_eq!(row["accepted"], accepted.len(), "{row}");
    assert_eq!(row["fired"], wanted.len(), "{row}");
    assert_eq!(row["filtered"], accepted.len() - wanted.len(), "{row}");
    for empty in ["superseded", "reset", "suppressed", "deadLettered", "inFlight"] {
        assert_eq!(row[empty], 0, "{empty}: {row}");
    }
}
