//! Numbers as Go reads and prints them.

use std::borrow::Cow;

/// An integer keeps its digits, whatever their count; anything else is printed without an exponent.
pub(super) fn text(raw: &str) -> Cow<'_, str> {
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Cow::Borrowed(raw);
    }
    let number = parse(raw);
    if number.is_infinite() {
        return Cow::Borrowed(if number > 0.0 { "+Inf" } else { "-Inf" });
    }
    Cow::Owned(number.to_string())
}

/// Text that is no number is 0.
pub(super) fn parse(text: &str) -> f64 {
    text.parse().unwrap_or(0.0)
}
