//! Takes a path apart, one segment at a time.

use std::borrow::Cow;

use super::modifiers;
use super::scan::{slice, string_end};

/// What follows a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next<'p> {
    End,
    /// After a dot.
    Path(&'p str),
    /// After a `|`, or a dot before a modifier or multipath.
    Pipe(&'p str),
}

/// A segment that is applied to an object.
pub(super) struct Key<'p> {
    pub(super) name: Cow<'p, str>,
    pub(super) wild: bool,
    pub(super) next: Next<'p>,
}

impl<'p> Key<'p> {
    pub(super) fn parse(path: &'p str) -> Self {
        let bytes = path.as_bytes();
        let mut wild = false;
        let mut escaped = false;
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match byte {
                b'.' | b'|' => break,
                b'*' | b'?' => wild = true,
                b'\\' => {
                    escaped = true;
                    at += 1;
                }
                _ => {}
            }
            at += 1;
        }
        let at = at.min(bytes.len());
        let raw = slice(path, 0, at);
        Self {
            name: if escaped { Cow::Owned(without_escapes(raw)) } else { Cow::Borrowed(raw) },
            wild,
            next: next_at(path, at),
        }
    }
}

fn without_escapes(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => out.extend(characters.next()),
            other => out.push(other),
        }
    }
    out
}

/// What follows the segment that ends at `at`, of an object or by an index of an array.
pub(super) fn next_at(path: &str, at: usize) -> Next<'_> {
    let rest = slice(path, at + 1, path.len());
    match path.as_bytes().get(at) {
        None => Next::End,
        Some(b'.') if !starts_pipe(rest) => Next::Path(rest),
        Some(_) => Next::Pipe(rest),
    }
}

/// Whether a dot before `rest` works as a pipe.
fn starts_pipe(rest: &str) -> bool {
    match rest.as_bytes().first() {
        Some(b'[' | b'{') => true,
        Some(b'@') => {
            let name = slice(rest, 1, rest.len());
            let end = name.find(['.', '|', ':']).unwrap_or(name.len());
            modifiers::exists(slice(name, 0, end))
        }
        _ => false,
    }
}

/// The index after the bracket or quote that opens at `start`, if it closes.
pub(super) fn balanced_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => {
                at = string_end(bytes, at);
                if depth == 0 {
                    return Some(at);
                }
                continue;
            }
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Splits at the first pipe that does not stand in a query or a multipath.
pub(super) fn split_pipe(path: &str) -> (&str, Option<&str>) {
    let bytes = path.as_bytes();
    let mut at = 0;
    let mut fresh = true;
    while let Some(byte) = bytes.get(at) {
        let opens = fresh
            && match byte {
                b'{' | b'[' => true,
                b'#' => matches!(bytes.get(at + 1), Some(b'(' | b'[')),
                _ => false,
            };
        fresh = false;
        match byte {
            _ if opens => {
                let bracket = if *byte == b'#' { at + 1 } else { at };
                let Some(end) = balanced_end(path, bracket) else {
                    return (path, None);
                };
                at = end;
                continue;
            }
            b'\\' => at += 1,
            // gjson overlooks a pipe right behind `.#`, and paths are written to what it does.
            b'.' if bytes.get(at + 1) == Some(&b'#') && !matches!(bytes.get(at + 2), Some(b'(' | b'[')) => {
                at += 2;
            }
            b'.' => fresh = true,
            b'|' => return (slice(path, 0, at), Some(slice(path, at + 1, path.len()))),
            _ => {}
        }
        at += 1;
    }
    (path, None)
}
