//! Numbers as Go prints and reads them.

/// Go's `%v` of a float: the shortest digits, with an exponent from a million on.
pub(crate) fn float_text(value: f64) -> String {
    with_exponent(value, |exponent| !(-4..6).contains(&exponent), 2).replace("inf", "Inf")
}

/// Go's JSON form of a float: an exponent only where the digits would be very many.
pub(crate) fn float_json(value: f64) -> String {
    let size = value.abs();
    let long = size != 0.0 && !(1e-6..1e21).contains(&size);
    with_exponent(value, |_| long, 1)
}

fn with_exponent(value: f64, long: impl Fn(i32) -> bool, digits: usize) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "NaN".to_owned() } else { format!("{value:+}") };
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if !long(exponent) {
        return value.to_string();
    }
    // Go writes at least two digits of an exponent, and JSON drops the zero of a negative one only.
    let digits = if digits == 1 && exponent > 0 { 2 } else { digits };
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:0digits$}", exponent.unsigned_abs())
}

/// A float as JSON carries it: whole numbers without a fraction.
pub(crate) fn float_number(value: f64) -> Option<serde_json::Number> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
        return Some(serde_json::Number::from(value as i64));
    }
    serde_json::Number::from_f64(value)
}

/// Truncates a float to an integer, as Go's conversion does for what fits.
pub(crate) fn truncate(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "saturates, which is wanted")]
    {
        value as i64
    }
}

/// Go's `time.Duration` as text, such as `1h2m3.5s`.
pub(crate) fn duration_text(nanos: i64) -> String {
    let size = nanos.unsigned_abs();
    let sign = if nanos < 0 { "-" } else { "" };
    if size == 0 {
        return "0s".to_owned();
    }
    if size < 1_000_000_000 {
        let (unit, scale) = match size {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{sign}{}{unit}", decimal(size, scale));
    }
    let seconds = size / 1_000_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let rest = decimal(size % 60_000_000_000, 1_000_000_000);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{rest}s"),
        (0, _) => format!("{sign}{minutes}m{rest}s"),
        _ => format!("{sign}{hours}h{minutes}m{rest}s"),
    }
}

fn decimal(value: u64, scale: u64) -> String {
    let whole = value / scale;
    let width = scale.ilog10() as usize;
    let rest = format!("{:0width$}", value % scale);
    match rest.trim_end_matches('0') {
        "" => whole.to_string(),
        _ if width == 0 => whole.to_string(),
        rest => format!("{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_print_as_go_prints_them() {
        for (value, text, json) in [
            (5.0, "5", "5"),
            (2.5, "2.5", "2.5"),
            (123_456.0, "123456", "123456"),
            (1_234_567.0, "1.234567e+06", "1234567"),
            (12_345_678_901.0, "1.2345678901e+10", "12345678901"),
            (1e21, "1e+21", "1e+21"),
            (0.00001, "1e-05", "0.00001"),
            (1e-7, "1e-07", "1e-7"),
            (-0.5, "-0.5", "-0.5"),
        ] {
            assert_eq!(float_text(value), text);
            assert_eq!(float_json(value), json);
        }
        assert_eq!(float_text(f64::INFINITY), "+Inf");
        assert_eq!(float_text(f64::NAN), "NaN");
    }

    #[test]
    fn durations_go_both_ways() {
        for (nanos, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (2_000_000, "2ms"),
            (1_500_000_000, "1.5s"),
            (60_000_000_000, "1m0s"),
            (3_723_000_000_000, "1h2m3s"),
            (-90_000_000_000, "-1m30s"),
        ] {
            assert_eq!(duration_text(nanos), text);
            assert_eq!(crate::duration::nanoseconds(text), Some(nanos));
        }
    }
}
