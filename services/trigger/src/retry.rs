//! When a failed firing is tried again: the trigger's `retryStrategy`, Argo's backoff object, or our default.

use std::time::Duration;

use serde_json::Value as Json;

/// A schedule of attempts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Schedule {
    /// Attempts in all, at least one.
    pub(crate) attempts: u32,
    first: Duration,
    factor: f64,
}

/// No wait is longer than this, whatever the factor.
const CAP: Duration = Duration::from_secs(3600);

impl Schedule {
    /// Reads `retryStrategy`; absent or empty means five attempts, one second apart and doubling.
    #[must_use]
    pub(crate) fn of(trigger: &Json) -> Self {
        let Some(strategy) = trigger.get("retryStrategy").filter(|s| s.is_object()) else {
            return Self { attempts: 5, first: Duration::from_secs(1), factor: 2.0 };
        };
        Self {
            attempts: number(strategy.get("steps")).map_or(5, |steps| steps.clamp(1.0, 100.0) as u32),
            first: duration(strategy.get("duration")).unwrap_or(Duration::from_secs(1)),
            factor: number(strategy.get("factor")).filter(|f| *f >= 1.0).unwrap_or(1.0),
        }
    }

    /// The wait after attempt `attempt` (from 1) failed; `None` when it was the last.
    #[must_use]
    pub(crate) fn wait_after(&self, attempt: u32) -> Option<Duration> {
        if attempt >= self.attempts {
            return None;
        }
        let exponent = i32::try_from(attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = self.first.as_secs_f64() * self.factor.powi(exponent);
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(CAP).min(CAP))
    }
}

/// Argo takes numbers and numbers in quotes.
fn number(value: Option<&Json>) -> Option<f64> {
    match value? {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// A Go duration such as `1m30s`, or an integer of nanoseconds.
fn duration(value: Option<&Json>) -> Option<Duration> {
    match value? {
        Json::Number(number) => number.as_u64().map(Duration::from_nanos),
        Json::String(text) => {
            text.parse().map(Duration::from_nanos).ok().or_else(|| tiphys_lang::duration::parse(text.trim()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn argos_backoff_objects() {
        let schedule =
            Schedule::of(&json!({"retryStrategy": {"steps": 3, "duration": "1m30s", "factor": "2.0"}}));
        assert_eq!(schedule.wait_after(1), Some(Duration::from_secs(90)));
        assert_eq!(schedule.wait_after(2), Some(Duration::from_secs(180)));
        assert_eq!(schedule.wait_after(3), None);
        let nanoseconds = Schedule::of(&json!({"retryStrategy": {"steps": "2", "duration": 500_000_000}}));
        assert_eq!(nanoseconds.wait_after(1), Some(Duration::from_millis(500)));
        assert_eq!(Schedule::of(&json!({})).attempts, 5);
        let huge = Schedule::of(&json!({"retryStrategy": {"steps": 100, "duration": "1h", "factor": 1e300}}));
        assert_eq!(huge.wait_after(99), Some(CAP));
    }
}
