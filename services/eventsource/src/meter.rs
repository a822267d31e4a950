//! The counters of one event, under Argo's names where Argo has one.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tiphys_core::Origin;

/// Handles that are looked up once.
#[derive(Clone)]
pub(crate) struct Meter {
    pub(crate) sent: Counter,
    pub(crate) failed: Counter,
    pub(crate) filtered: Counter,
    pub(crate) duplicate: Counter,
    pub(crate) conflict: Counter,
    /// A summary, in milliseconds, from receipt to the answer of the bus.
    pub(crate) duration: Histogram,
}

impl Meter {
    pub(crate) fn of(origin: &Origin) -> Self {
        let labels = [
            ("namespace", origin.namespace.clone()),
            ("eventsource_name", origin.source.clone()),
            ("event_name", origin.event.clone()),
        ];
        Self {
            sent: counter!("argo_events_events_sent_total", &labels),
            failed: counter!("argo_events_events_sent_failed_total", &labels),
            filtered: counter!("tiphys_events_filtered_total", &labels),
            duplicate: counter!("tiphys_events_duplicate_total", &labels),
            conflict: counter!("tiphys_event_id_conflicts_total", &labels),
            duration: histogram!("argo_events_event_processing_duration_milliseconds", &labels),
        }
    }
}

/// How many events of an event source are served.
pub(crate) fn running(namespace: &str, source: &str) -> Gauge {
    gauge!("argo_events_event_service_running_total",
        "namespace" => namespace.to_owned(), "eventsource_name" => source.to_owned())
}

/// Counts a request that did not become an event.
pub(crate) fn rejected(reason: &'static str) {
    counter!("tiphys_webhook_rejected_total", "reason" => reason).increment(1);
}
