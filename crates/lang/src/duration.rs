//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

use std::time::Duration;

use crate::value::number::truncate;

/// Reads a duration; `None` where the text is none, or a negative one.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    nanoseconds(text).and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos)
}

/// Reads a duration of either sign, in nanoseconds.
pub(crate) fn nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(end);
        let amount: f64 = digits.parse().ok()?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        total += amount * scale;
        rest = tail;
    }
    (total < 9.2e18).then(|| truncate((total * sign).round()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, seconds) in
            [("10s", 10.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25), ("0", 0.0)]
        {
            assert_eq!(parse(text).map(|d| d.as_secs_f64()), Some(seconds), "{text}");
        }
        for bad in ["", "x", "5", "1x", "-5s", "5 m", "2d", "PT1H", "99999999999h"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
