//! Finds where JSON values begin and end, without checking what lies between.

use std::borrow::Cow;

use super::{Found, Type};

/// A part of a text; nothing where the borders do not fit, which only malformed text can bring about.
pub(super) fn slice(text: &str, start: usize, end: usize) -> &str {
    text.get(start..end).unwrap_or_default()
}

/// Most strings end sooner; a wide search pays off only behind that.
const SHORT: usize = 32;

/// The index after the string that opens at `start`.
pub(super) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
        if at > start + SHORT {
            let rest = bytes.get(at..).unwrap_or_default();
            at += memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len());
        }
    }
    bytes.len()
}

/// The index after the object or array that opens at `start`.
fn container_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = string_end(bytes, at - 1),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

fn scalar_end(bytes: &[u8], start: usize) -> usize {
    let length = bytes
        .get(start + 1..)
        .and_then(|rest| rest.iter().position(|byte| *byte <= b' ' || matches!(byte, b',' | b']' | b'}')));
    length.map_or(bytes.len(), |length| start + 1 + length)
}

/// What kind of value the byte at `at` opens, if any.
pub(super) fn kind_at(bytes: &[u8], at: usize) -> Option<Type> {
    Some(match bytes.get(at)? {
        b'"' => Type::String,
        b'{' | b'[' => Type::Json,
        b't' => Type::True,
        b'f' => Type::False,
        b'n' if bytes.get(at + 1).is_none_or(|next| *next == b'u') => Type::Null,
        b'n' | b'N' | b'i' | b'I' | b'+' | b'-' | b'0'..=b'9' => Type::Number,
        _ => return None,
    })
}

/// The index after the value of this kind at `at`.
pub(super) fn value_end(bytes: &[u8], at: usize, kind: Type) -> usize {
    match kind {
        Type::String => string_end(bytes, at),
        Type::Json => container_end(bytes, at),
        _ => scalar_end(bytes, at),
    }
}

/// The next value from `at` on, skipping what separates values; `Err` is the index after the bracket that
/// closes, or the end of the text.
pub(super) fn next_value(bytes: &[u8], mut at: usize) -> Result<(usize, Type), usize> {
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b']' | b'}') {
            return Err(at + 1);
        }
        if let Some(kind) = kind_at(bytes, at) {
            return Ok((at, kind));
        }
        at += 1;
    }
    Err(bytes.len())
}

/// The next key of an object from `at` on, as the borders of its quoted text.
pub(super) fn next_key(bytes: &[u8], mut at: usize) -> Result<(usize, usize), usize> {
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return Ok((at, string_end(bytes, at))),
            b'}' => return Err(at + 1),
            _ => at += 1,
        }
    }
    Err(bytes.len())
}

/// The value between these borders.
pub(super) fn found(json: &str, start: usize, end: usize, kind: Type) -> Found<'_> {
    Found { kind, raw: Cow::Borrowed(slice(json, start, end)) }
}

/// The value that a text holds. What follows an object or array stays with it, as gjson has it.
pub(super) fn root(json: &str) -> Option<Found<'_>> {
    let bytes = json.as_bytes();
    let start = bytes.iter().position(|byte| *byte > b' ')?;
    let kind = kind_at(bytes, start)?;
    let end = match kind {
        Type::Json => json.len(),
        other => value_end(bytes, start, other),
    };
    Some(found(json, start, end, kind))
}

/// The members of an object (with the quoted text of their keys) or of an array; another value is its own
/// only member.
pub(super) struct Members<'a> {
    json: &'a str,
    at: usize,
    shape: Shape,
}

enum Shape {
    Object,
    Array,
    Scalar(Type),
    Done,
}

impl<'a> Members<'a> {
    pub(super) fn of(value: &'a Found<'_>) -> Self {
        let shape = match (value.kind, value.raw.as_bytes().first()) {
            (Type::Json, Some(b'{')) => Shape::Object,
            (Type::Json, _) => Shape::Array,
            (kind, _) => Shape::Scalar(kind),
        };
        Self { json: &value.raw, at: 1, shape }
    }

    fn member(&mut self) -> Option<(Option<&'a str>, Found<'a>)> {
        let bytes = self.json.as_bytes();
        let key = match self.shape {
            Shape::Object => {
                let (start, end) = next_key(bytes, self.at).ok()?;
                self.at = end;
                Some(slice(self.json, start, end))
            }
            Shape::Array => None,
            Shape::Done => return None,
            Shape::Scalar(kind) => {
                self.shape = Shape::Done;
                return Some((None, found(self.json, 0, self.json.len(), kind)));
            }
        };
        let (start, kind) = next_value(bytes, self.at).ok()?;
        self.at = value_end(bytes, start, kind);
        Some((key, found(self.json, start, self.at, kind)))
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Option<&'a str>, Found<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let member = self.member();
        if member.is_none() {
            self.shape = Shape::Done;
        }
        member
    }
}
