//! The time filter: a daily window in a time zone. The start belongs to it, the stop does not.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use tiphys_core::{Clause, Event};
use tiphys_manifest::sensor::TimeFilter;

use crate::compile::Report;

/// A daily window; over midnight where it stops before it starts.
#[derive(Debug)]
pub(super) struct Window {
    start: Time,
    stop: Time,
    zone: TimeZone,
    words: String,
}

impl Window {
    pub(super) fn compile(filter: &TimeFilter, path: &str, report: &mut Report<'_>) -> Option<Self> {
        let zone_name = if filter.timezone.is_empty() { "UTC" } else { &filter.timezone };
        let start = clock_time(&filter.start, &format!("{path}.start"), report);
        let stop = clock_time(&filter.stop, &format!("{path}.stop"), report);
        let zone = report.zone(zone_name, &format!("{path}.timezone"));
        let (start, stop, zone) = (start?, stop?, zone?);
        if start == stop {
            report.error(
                path,
                "TIP-SEN-006",
                "the window starts and stops at the same time".into(),
                "leave the filter out to pass at all times",
            );
            return None;
        }
        let words = format!("{} to {} {zone_name}", filter.start, filter.stop);
        Some(Self { start, stop, zone, words })
    }

    pub(super) fn judge(&self, event: &Event, clauses: &mut Vec<Clause>) -> bool {
        let time = event.received.to_zoned(self.zone.clone()).time();
        let passed = if self.start < self.stop {
            self.start <= time && time < self.stop
        } else {
            time >= self.start || time < self.stop
        };
        let verb = if passed { "is within" } else { "is outside" };
        clauses.push(Clause {
            filter: "time".into(),
            passed,
            detail: format!("{} {verb} {}", time.strftime("%H:%M:%S"), self.words),
        });
        passed
    }
}

fn clock_time(text: &str, path: &str, report: &mut Report<'_>) -> Option<Time> {
    let parsed = Time::strptime("%H:%M:%S", text);
    parsed
        .map_err(|_| {
            report.error(
                path,
                "TIP-SEN-006",
                format!("`{text}` is no time of day"),
                "write HH:MM:SS, as in 09:30:00",
            );
        })
        .ok()
}
