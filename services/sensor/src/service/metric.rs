//! What the sensor counts of itself. The buckets of events are counted by `accounting`, from the records.

use std::collections::BTreeSet;

use metrics::{counter, histogram};
use tiphys_core::{Outcome, Timestamp, Verdict};

/// Counts a verdict.
pub(super) fn verdict(verdict: &Verdict) {
    let labels = [("namespace", verdict.namespace.clone()), ("sensor", verdict.sensor.clone())];
    counter!("tiphys_sensor_verdicts_total", &labels).increment(1);
    let mut told = BTreeSet::new();
    for row in &verdict.triggers {
        // Filters belong to a dependency, not to each of the triggers that share it.
        if row.outcome != Outcome::Filtered || !told.insert(row.dependency.as_str()) {
            continue;
        }
        let refused = row.clauses.iter().rfind(|clause| !clause.passed);
        let filter = refused.map_or("filters", |clause| clause.filter.as_str());
        counter!(
            "tiphys_events_filtered_total",
            "namespace" => verdict.namespace.clone(),
            "sensor" => verdict.sensor.clone(),
            "dependency" => row.dependency.clone(),
            "filter" => filter.to_owned(),
        )
        .increment(1);
    }
}

/// Measures how long an event took from its receipt to a durable decision.
pub(super) fn decided(namespace: &str, sensor: &str, received: Timestamp, now: Timestamp) {
    let seconds = now.duration_since(received).as_secs_f64().max(0.0);
    histogram!(
        "tiphys_sensor_decision_seconds",
        "namespace" => namespace.to_owned(),
        "sensor" => sensor.to_owned(),
    )
    .record(seconds);
}
