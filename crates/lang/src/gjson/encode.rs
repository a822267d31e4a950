//! JSON string literals, read and written as gjson does.

use std::borrow::Cow;

use super::scan::slice;

/// The text of a string literal.
pub(super) fn unquote(raw: &str) -> Cow<'_, str> {
    let inner = raw.strip_prefix('"').unwrap_or(raw);
    unescape(inner.strip_suffix('"').unwrap_or(inner))
}

/// Resolves escapes; the text ends at the first that is none.
pub(super) fn unescape(inner: &str) -> Cow<'_, str> {
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some((before, escape)) = rest.split_once('\\') {
        out.push_str(before);
        let mut characters = escape.chars();
        let plain = match characters.next() {
            Some(same @ ('"' | '\\' | '/')) => same,
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => {
                let Some((character, length)) = unicode(escape) else {
                    return Cow::Owned(out);
                };
                out.push(character);
                rest = slice(escape, length, escape.len());
                continue;
            }
            _ => return Cow::Owned(out),
        };
        out.push(plain);
        rest = characters.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The character of `uXXXX`, or of a pair of them, and how many bytes it took.
fn unicode(escape: &str) -> Option<(char, usize)> {
    let unit = |at: usize| {
        let digits = escape.get(at..at + 4)?;
        digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let first = unit(1)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 5));
    }
    let second = (escape.get(5..7) == Some("\\u")).then(|| unit(7)).flatten();
    Some(match second {
        Some(second @ 0xDC00..=0xDFFF) if first < 0xDC00 => {
            let code = 0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00);
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 11)
        }
        Some(_) => (char::REPLACEMENT_CHARACTER, 11),
        None => (char::REPLACEMENT_CHARACTER, 5),
    })
}

/// Writes a string literal. Go escapes what could hurt in HTML, and so do we: users see this text.
pub(super) fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}

/// Go's words for true and false, in any case.
pub(super) fn parse_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}
