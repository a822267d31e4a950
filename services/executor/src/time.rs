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
    let whole = text.trim();
    let read = match whole.parse::<f64>() {
        Ok(seconds) => checked(seconds),
        Err(_) => tiphys_lang::duration::parse(whole).and_then(|read| checked(read.as_secs_f64())),
    };
    read.ok_or_else(|| format!("`{text}` is no duration such as 30s, 5m or 1h30m"))
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
        for text in ["", "x", "2d", "5y", "-1s", "1e300", "5 m", "nan"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
