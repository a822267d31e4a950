//! Metrics with Argo's names and labels.

use std::time::Duration;

use metrics::{counter, histogram};
use tiphys_core::Firing;

fn labels(firing: &Firing) -> [(&'static str, String); 3] {
    [
        ("namespace", firing.namespace.clone()),
        ("sensor_name", firing.sensor.clone()),
        ("trigger_name", firing.trigger.clone()),
    ]
}

pub(crate) fn triggered(firing: &Firing, took: Duration) {
    counter!("argo_events_action_triggered_total", &labels(firing)).increment(1);
    histogram!("argo_events_action_duration_milliseconds", &labels(firing))
        .record(took.as_secs_f64() * 1000.0);
}

pub(crate) fn failed(firing: &Firing) {
    counter!("argo_events_action_failed_total", &labels(firing)).increment(1);
}

pub(crate) fn retries_failed(firing: &Firing) {
    counter!("argo_events_action_retries_failed_total", &labels(firing)).increment(1);
}
