//! Durations as manifests write them.

use std::time::Duration;

use tiphys_core::Timestamp;

/// Longer than any workflow lives.
const LONGEST: f64 = 100.0 * 365.0 * 86_400.0;

/// Go's form (`1h30m`, `1.5s`, `300ms`), or a bare number of seconds.
///
/// # Errors
/// Says what is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is no duration such as 30s, 5m or 1h30m");
    let whole = text.trim();
    if let Ok(seconds) = whole.parse::<f64>() {
        return checked(seconds).ok_or_else(wrong);
    }
    let mut rest = whole;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let (number, unit) = rest.split_at(digits);
        let end = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, left) = unit.split_at(end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * scale;
        rest = left;
    }
    if whole.is_empty() {
        return Err(wrong());
    }
    checked(total).ok_or_else(wrong)
}

fn checked(seconds: f64) -> Option<Duration> {
    (0.0..=LONGEST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// `time` + `duration`, or the end of time.
#[must_use]
pub fn after(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("2d"), Ok(Duration::from_secs(172_800)));
        for text in ["", "x", "5y", "-1s", "1e300", "5 m", "nan"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
