//! The sum rule, each time somebody looks: in `/metrics`, and in the status that the API gives.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value};

use super::scene::Scene;
use super::{LONGEST, Run};
use crate::judge;

/// Looks until it is over. Gives how many rows were seen.
pub(super) fn watch(scene: &Scene, run: &Run) -> usize {
    let mut seen = 0;
    while !run.over.load(Ordering::SeqCst) && run.began.elapsed() < LONGEST {
        // While the API is down nobody can look.
        let all = [scrape(scene), rows(scene)];
        for row in all.into_iter().flatten().flatten() {
            assert!(judge::sums_up(&row), "{row}");
            seen += 1;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    seen
}

/// The rows of the status.
pub(super) fn rows(scene: &Scene) -> Option<Vec<Value>> {
    let bearer = format!("Bearer {}", scene.token());
    let answer = scene.send("GET", "/api/tiphys/v1/status", &[("Authorization", &bearer)], b"").ok()?;
    let status: Value = serde_json::from_str(&answer.body).ok()?;
    status["triggers"].as_array().cloned()
}

/// The rows of one scrape.
fn scrape(scene: &Scene) -> Option<Vec<Value>> {
    let answer = scene.send("GET", "/metrics", &[], b"").ok().filter(|answer| answer.status == 200)?;
    Some(of_metrics(&answer.body))
}

/// Rows by their labels, as the status has them.
fn of_metrics(text: &str) -> Vec<Value> {
    let mut rows: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("tiphys_trigger_events{") else { continue };
        let (labels, value) = rest.split_once("} ").unwrap();
        let (row, bucket) = labels.split_once(",bucket=").unwrap();
        let count: u64 = value.parse().unwrap();
        rows.entry(row).or_default().insert(bucket.trim_matches('"').to_owned(), count.into());
    }
    rows.into_values().map(Value::Object).collect()
}

#[test]
fn a_scrape_gives_the_rows_of_the_status() {
    let line = |trigger: &str, bucket: &str, count: u64| {
        format!("tiphys_trigger_events{{sensor=\"s\",trigger=\"{trigger}\",bucket=\"{bucket}\"}} {count}\n")
    };
    let buckets = ["fired", "filtered", "superseded", "reset", "suppressed", "deadLettered", "inFlight"];
    let empty: String = buckets.iter().skip(1).map(|bucket| line("a", bucket, 0)).collect();
    let text = |fired| format!("# HELP x\n{}{}{empty}", line("a", "accepted", 3), line("a", "fired", fired));
    let verdicts =
        [3, 2].map(|fired| of_metrics(&text(fired)).iter().map(judge::sums_up).collect::<Vec<_>>());
    assert_eq!(verdicts, [vec![true], vec![false]]);
}
