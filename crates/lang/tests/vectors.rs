//! Runs the golden vectors of `tests/vectors`, which come from the Go originals.

#![expect(clippy::unwrap_used, reason = "a vector that cannot be read fails its test")]

use std::collections::BTreeSet;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::Value;
use tiphys_lang::cron::Schedule;
use tiphys_lang::{gjson, sjson};

/// The document the vectors were taken from, to the byte.
const DOCUMENT: &str = concat!(
    r#"{"body":{"items":[{"x":1,"y":"a","t":["p","q"]},{"x":2,"y":"b","t":["r"]},{"x":3,"y":"c","t":[]}],"#,
    r#""esc.key":"dotted","name":{"first":"Tom","last":"And"},"n":1.50,"s":"q\"uo\u00e9te","nul":null,"#,
    r#""arr":[3,1,2],"nest":{"a":{"b":{"c":[{"d":1}]}}},"js":"{\"k\":[1,2]}","fav.movie":"x","*":"star","#,
    r#""num":{"0":"zero"},"big":12345678901234567890,"t":true}}"#,
    "\n"
);

/// Cases that differ on purpose, each with the reason.
type Exceptions<'e> = &'e [(&'e str, &'e str)];

/// Runs each case; `check` tells what it is and what is wrong with it.
fn run(vectors: &str, exceptions: Exceptions<'_>, check: impl Fn(&Value) -> (String, Result<(), String>)) {
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for case in vectors["cases"].as_array().unwrap() {
        let (name, outcome) = check(case);
        let excepted = exceptions.iter().any(|(exception, _)| *exception == name);
        match outcome {
            Err(message) if !excepted => wrong.push(format!("{name}: {message}")),
            Ok(()) if excepted => wrong.push(format!("{name}: passes; take it off the exceptions")),
            _ => {}
        }
        seen.insert(name);
    }
    for (name, _) in exceptions {
        assert!(seen.contains(*name), "the exception {name} is no case");
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), seen.len(), wrong.join("\n"));
}

fn text<'v>(case: &'v Value, field: &str) -> &'v str {
    case[field].as_str().unwrap()
}

fn compare(ours: &str, expected: &str) -> Result<(), String> {
    if ours == expected {
        return Ok(());
    }
    Err(format!("expected {expected}, got {ours}"))
}

#[test]
fn gjson_reads() {
    run(include_str!("vectors/gjson.json"), &[], |case| {
        let path = text(case, "input");
        let found = gjson::get(DOCUMENT, path);
        let ours = found.map_or("NONE".to_owned(), |found| found.raw.replace('\n', "\\n"));
        (path.to_owned(), compare(&ours, text(case, "go")))
    });
}

#[test]
fn gjson_reads_further_documents() {
    let vectors = include_str!("vectors/gjson-more.json");
    let documents = serde_json::from_str::<Value>(vectors).unwrap()["documents"].take();
    run(vectors, &[], |case| {
        let number = case["document"].as_u64().unwrap() as usize;
        let document = documents[number].as_str().unwrap();
        let path = text(case, "path");
        let found = gjson::get(document, path);
        let ours = found.map(|found| (Some(found.text()), Some(found.raw.into_owned()))).unwrap_or_default();
        let owned = |field: &str| case[field].as_str().map(str::to_owned);
        let expected = (owned("text"), owned("raw"));
        (format!("{path} in document {number}"), compare(&format!("{ours:?}"), &format!("{expected:?}")))
    });
}

#[test]
fn sjson_writes() {
    run(include_str!("vectors/sjson.json"), &[], |case| {
        let (path, value) = text(case, "input").split_once(" => ").unwrap();
        let mut document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let outcome = sjson::set(&mut document, path, serde_json::from_str(value).unwrap());
        let expected: Value = serde_json::from_str(text(case, "go").trim_end_matches("\\n")).unwrap();
        let outcome = outcome
            .map_err(|error| error.to_string())
            .and_then(|()| compare(&document.to_string(), &expected.to_string()));
        (path.to_owned(), outcome)
    });
}

/// The next times from a moment on, or the refusal.
fn next_times(schedule: &str, zone: &TimeZone, after: &str, count: usize) -> Result<String, String> {
    let schedule = Schedule::parse(schedule, zone).map_err(|error| error.to_string())?;
    let mut time: Timestamp = after.parse().unwrap();
    let mut times = Vec::new();
    for _ in 0..count {
        time = schedule.next_after(time).ok_or("no further time")?;
        times.push(time.to_string());
    }
    Ok(times.join(" "))
}

#[test]
fn cron_fires() {
    run(include_str!("vectors/cron.json"), &[], |case| {
        let (schedule, expected) = (text(case, "input"), text(case, "go"));
        let times = next_times(schedule, &TimeZone::UTC, "2026-03-07T12:34:56Z", 4);
        // Errors are worded for people, so only that there is one counts.
        let outcome = match (times, expected.starts_with("ERR")) {
            (Err(_), true) => Ok(()),
            (Ok(_), true) => Err("should be refused".to_owned()),
            (times, false) => times.and_then(|times| compare(&times, expected)),
        };
        (schedule.to_owned(), outcome)
    });
}

#[test]
fn cron_fires_around_shifts_of_the_clock() {
    run(include_str!("vectors/cron-zones.json"), &[], |case| {
        let [schedule, zone, after] = ["schedule", "zone", "after"].map(|field| text(case, field));
        let expected: Vec<_> =
            case["go"].as_array().unwrap().iter().map(|time| time.as_str().unwrap()).collect();
        let times = next_times(schedule, &TimeZone::get(zone).unwrap(), after, expected.len());
        let outcome = times.and_then(|times| compare(&times, &expected.join(" ")));
        (format!("{schedule} in {zone} after {after}"), outcome)
    });
}
