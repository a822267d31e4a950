//! gjson paths: reads from JSON text, so that digits stay as they were written.
//!
//! The syntax and the text forms are those of tidwall/gjson, which Sensors are written for. A plain dotted
//! path is one forward scan that allocates nothing.

use std::borrow::Cow;
use std::cell::Cell;

mod encode;
mod modifiers;
mod multipath;
mod number;
mod paths;
mod pretty;
mod query;
mod scan;
mod walk;

#[cfg(test)]
mod tests;

/// What kind of JSON value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "JSON's words")]
pub enum Type {
    Null,
    False,
    True,
    Number,
    String,
    Json,
}

/// A value that a path found.
#[derive(Debug, Clone, PartialEq)]
pub struct Found<'a> {
    /// Its kind.
    pub kind: Type,
    /// Its JSON text.
    pub raw: Cow<'a, str>,
}

impl Found<'_> {
    /// gjson's `String()`: strings unescaped, numbers in Go's text form, objects and arrays raw, null empty.
    #[must_use]
    pub fn text(&self) -> String {
        self.as_text().into_owned()
    }

    /// The same as [`Found::text`], borrowed where nothing had to change.
    #[must_use]
    pub fn as_text(&self) -> Cow<'_, str> {
        match self.kind {
            Type::Null => Cow::Borrowed(""),
            Type::False => Cow::Borrowed("false"),
            Type::True => Cow::Borrowed("true"),
            Type::Number => number::text(&self.raw),
            Type::String => encode::unquote(&self.raw),
            Type::Json => Cow::Borrowed(&self.raw),
        }
    }

    /// gjson's `Float()`.
    #[must_use]
    pub fn number(&self) -> f64 {
        match self.kind {
            Type::True => 1.0,
            Type::Number => number::parse(&self.raw),
            Type::String => number::parse(&encode::unquote(&self.raw)),
            Type::Null | Type::False | Type::Json => 0.0,
        }
    }

    /// gjson's `Bool()`.
    #[must_use]
    pub fn boolean(&self) -> bool {
        match self.kind {
            Type::True => true,
            Type::Number => number::parse(&self.raw) != 0.0,
            Type::String => encode::parse_bool(&encode::unquote(&self.raw)) == Some(true),
            Type::Null | Type::False | Type::Json => false,
        }
    }

    /// Frees it from the text it was read from.
    #[must_use]
    pub fn into_owned(self) -> Found<'static> {
        Found { kind: self.kind, raw: Cow::Owned(self.raw.into_owned()) }
    }

    fn json(raw: String) -> Self {
        Self { kind: Type::Json, raw: Cow::Owned(raw) }
    }

    fn starts_with(&self, bracket: char) -> bool {
        self.kind == Type::Json && self.raw.starts_with(bracket)
    }
}

/// Reads `path` in `json`; `None` where nothing is there.
///
/// Text that is not JSON gives nothing or something that stands in it; it never panics. A path that would
/// nest too deep, or produce more text than a sensible one does, finds nothing.
#[must_use]
pub fn get<'a>(json: &'a str, path: &str) -> Option<Found<'a>> {
    let work = Cell::new(LEAST_WORK.max(json.len().saturating_mul(WORK_PER_BYTE)));
    evaluate(json, path, Scope { depth: 0, work: &work })
}

/// How deep paths, documents and modifiers may nest together.
const DEEPEST: u8 = 128;
/// Bytes read or written that any path may use.
const LEAST_WORK: usize = 64 << 20;
/// How often a path may read each byte of a large document.
const WORK_PER_BYTE: usize = 64;

/// What one call of [`get`] may still use.
#[derive(Clone, Copy)]
struct Scope<'w> {
    depth: u8,
    work: &'w Cell<usize>,
}

impl Scope<'_> {
    fn deeper(mut self) -> Option<Self> {
        self.depth += 1;
        (self.depth <= DEEPEST).then_some(self)
    }

    fn charge(self, bytes: usize) -> Option<()> {
        self.work.set(self.work.get().checked_sub(bytes)?);
        Some(())
    }
}

/// A value, and the path that goes on from it after a pipe.
struct Step<'a, 'p> {
    found: Option<Found<'a>>,
    rest: Option<&'p str>,
}

fn evaluate<'a>(json: &'a str, path: &str, scope: Scope<'_>) -> Option<Found<'a>> {
    let scope = scope.deeper()?;
    let mut step = first_step(json, path, scope)?;
    while let Some(rest) = step.rest {
        let raw = step.found.map_or(Cow::Borrowed(""), |found| found.raw);
        step = match raw {
            Cow::Borrowed(raw) => first_step(raw, rest, scope)?,
            Cow::Owned(raw) => {
                let step = first_step(&raw, rest, scope)?;
                Step { found: step.found.map(Found::into_owned), rest: step.rest }
            }
        };
    }
    step.found
}

fn first_step<'a, 'p>(json: &'a str, path: &'p str, scope: Scope<'_>) -> Option<Step<'a, 'p>> {
    scope.charge(json.len())?;
    let special = match path.as_bytes() {
        [b'@', _, ..] => modifiers::step(json, path, scope),
        [b'!', _, ..] => modifiers::literal(path),
        [b'[' | b'{', _, ..] => multipath::step(json, path, scope),
        _ => None,
    };
    match special {
        Some(step) => Some(step),
        None => Some(walk::step(json, path, scope)),
    }
}
