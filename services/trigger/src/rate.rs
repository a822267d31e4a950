//! `rateLimit`: so many firings of one trigger per second, minute or hour, evenly spaced.

use std::time::Duration;

use serde_json::Value as Json;
use tokio::time::Instant;

/// Spaces firings of one trigger.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: Option<Instant>,
}

impl Pace {
    /// How long to wait before the next firing may go, given the trigger's `rateLimit`; counts it as gone.
    pub(crate) fn take(&mut self, trigger: &Json, now: Instant) -> Duration {
        let Some(gap) = gap(trigger) else { return Duration::ZERO };
        let at = self.next.map_or(now, |next| next.max(now));
        self.next = Some(at + gap);
        at.saturating_duration_since(now)
    }
}

fn gap(trigger: &Json) -> Option<Duration> {
    let limit = trigger.get("rateLimit")?;
    let count = limit.get("requestsPerUnit").and_then(Json::as_u64).filter(|count| *count > 0)?;
    let unit = match limit.get("unit").and_then(Json::as_str).unwrap_or("Second") {
        "Minute" => 60.0,
        "Hour" => 3600.0,
        _ => 1.0,
    };
    Some(Duration::from_secs_f64(unit / count as f64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn firings_are_spaced_evenly() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let trigger = json!({"rateLimit": {"unit": "Minute", "requestsPerUnit": 60}});
        assert_eq!(pace.take(&trigger, now), Duration::ZERO);
        assert_eq!(pace.take(&trigger, now), Duration::from_secs(1));
        assert_eq!(pace.take(&trigger, now), Duration::from_secs(2));
        assert_eq!(pace.take(&trigger, now + Duration::from_secs(60)), Duration::ZERO);
        assert_eq!(Pace::default().take(&json!({}), now), Duration::ZERO);
    }
}
