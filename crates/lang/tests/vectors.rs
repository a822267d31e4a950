//! Runs the golden vectors of `tests/vectors`, which come from the Go originals.

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

/// Runs each case; `exceptions` differ on purpose, each with the reason.
fn run(
    vectors: &str,
    exceptions: &[(&str, &str)],
    check: impl Fn(&str, &str) -> Result<(), String>,
) {
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for case in vectors["cases"].as_array().unwrap() {
        let (input, expected) = (
            case["input"].as_str().unwrap(),
            case["go"].as_str().unwrap(),
        );
        seen.insert(input);
        let excepted = exceptions.iter().any(|(name, _)| *name == input);
        match check(input, expected) {
            Err(message) if !excepted => wrong.push(format!("{input}: {message}")),
            Ok(()) if excepted => {
                wrong.push(format!("{input}: passes; take it off the exceptions"))
            }
            _ => {}
        }
    }
    for (name, _) in exceptions {
        assert!(seen.contains(name), "the exception {name} is no case");
    }
    assert!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        seen.len(),
        wrong.join("\n")
    );
}

fn compare(ours: &str, expected: &str) -> Result<(), String> {
    if ours == expected {
        return Ok(());
    }
    Err(format!("expected {expected}, got {ours}"))
}

#[test]
fn gjson_reads() {
    run(include_str!("vectors/gjson.json"), &[], |path, expected| {
        let found = gjson::get(DOCUMENT, path);
        let ours = found.map_or("NONE".to_owned(), |found| found.raw.replace('\n', "\\n"));
        compare(&ours, expected)
    });
}

#[test]
fn sjson_writes() {
    run(
        include_str!("vectors/sjson.json"),
        &[],
        |input, expected| {
            let (path, value) = input.split_once(" => ").unwrap();
            let mut document: Value = serde_json::from_str(DOCUMENT).unwrap();
            sjson::set(&mut document, path, serde_json::from_str(value).unwrap())
                .map_err(|error| error.to_string())?;
            let expected: Value = serde_json::from_str(expected.trim_end_matches("\\n")).unwrap();
            compare(&document.to_string(), &expected.to_string())
        },
    );
}

#[test]
fn cron_fires() {
    run(
        include_str!("vectors/cron.json"),
        &[],
        |schedule, expected| {
            let parsed = Schedule::parse(schedule, &TimeZone::UTC);
            if expected.starts_with("ERR") {
                return match parsed {
                    Err(_) => Ok(()),
                    Ok(_) => Err("should be refused".to_owned()),
                };
            }
            let schedule = parsed.map_err(|error| error.to_string())?;
            let mut time: Timestamp = "2026-03-07T12:34:56Z".parse().unwrap();
            let mut times = Vec::new();
            for _ in 0..4 {
                time = schedule.next_after(time).ok_or("no further time")?;
                times.push(time.to_string());
            }
            compare(&times.join(" "), expected)
        },
    );
}
