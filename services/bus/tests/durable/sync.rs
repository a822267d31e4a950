//! Killing a process does not show a missing sync, since the kernel keeps what was written. This test
//! watches the system calls instead: before each answer, what was asked was written *and synced*.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use crate::child::{self, Role};

/// A system call, with the lines of the trace on which it began and returned.
#[derive(Debug)]
struct Call {
    text: String,
    began: usize,
    returned: usize,
    succeeded: bool,
}

#[test]
fn answers_come_after_the_sync() {
    let strace = Command::new("strace").arg("-V").output();
    if strace.is_err() {
        return tiphys_servers::missing("strace, for the proof of the sync,");
    }
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let launcher = [
        "strace",
        "-f",
        "-y",
        "-s",
        "64",
        "-e",
        "trace=write,fdatasync,fsync",
        "-o",
        trace.to_str().unwrap(),
    ];
    let status = child::start(Role::Noted, folder.path(), &launcher).wait().unwrap();
    assert!(status.success(), "{status}");
    let calls = parse(&fs::read_to_string(&trace).unwrap());
    let notes: Vec<&Call> = calls.iter().filter(|c| c.text.contains("/notes>")).collect();
    let journal = |c: &&Call| c.text.contains(".jnl>") && c.succeeded;
    let writes: Vec<&Call> = calls.iter().filter(journal).filter(|c| c.text.starts_with("write")).collect();
    let syncs: Vec<&Call> = calls.iter().filter(journal).filter(|c| !c.text.starts_with("write")).collect();
    let mut answers = 0;
    for got in notes.iter().filter(|c| c.text.contains("\"got ")) {
        let name = got.text.split("\"got ").nth(1).unwrap();
        // With the escaped end of its line, so that no name is the beginning of another.
        let (name, _) = name.split_once('"').unwrap();
        let ask = format!("\"ask {name}\"");
        let ask = notes.iter().find(|c| c.text.contains(&ask)).unwrap();
        let within: Vec<_> =
            writes.iter().filter(|w| w.began > ask.returned && w.returned < got.began).collect();
        let alone = name.starts_with("alone");
        // Of one alone all writes are its own; together, one of them is.
        let written = if alone { within.last() } else { within.first() };
        let written = written.unwrap_or_else(|| panic!("{name} was answered and not written"));
        let synced = syncs.iter().any(|s| s.began > written.returned && s.returned < got.began);
        assert!(synced, "{name} was answered before it was synced");
        answers += 1;
    }
    assert_eq!(answers, 20 + 6 * 20);
    assert!(syncs.len() < answers, "several share one sync: {} of {answers}", syncs.len());
}

/// The calls of a trace; one that another thread interrupted stands on two lines.
fn parse(trace: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut open: HashMap<&str, (usize, &str)> = HashMap::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(' ') else {
            continue;
        };
        let text = text.trim_start();
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            open.insert(thread, (line, begun));
            continue;
        }
        let (began, call) = match text.starts_with("<... ") {
            true => open.remove(thread).unwrap(),
            false => (line, text),
        };
        let result = text.rsplit_once(" = ").map(|(_, result)| result);
        let number = result.and_then(|r| r.split(' ').next()?.parse::<i64>().ok());
        calls.push(Call {
            text: call.to_owned(),
            began,
            returned: line,
            succeeded: number.is_some_and(|n| n >= 0),
        });
    }
    calls
}
