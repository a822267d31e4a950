//! Functions on text.

use gotmpl::Value;

use super::Outcome;
use super::arguments::{Arguments, Entries, list, text};
use super::run::Run;
use crate::LangError;

/// Bytes of a text; what is cut in the middle of a character becomes the replacement character.
fn bytes(subject: &str, from: usize, to: usize) -> Value {
    let bytes = subject.as_bytes().get(from..to.max(from)).unwrap_or_default();
    text(String::from_utf8_lossy(bytes))
}

/// A text argument whose copy is allowed for.
fn subject<'a>(run: &mut Run, a: &Arguments<'a>, at: usize) -> Result<&'a str, LangError> {
    let subject = a.text(run, at)?;
    run.allow(subject.len())?;
    Ok(subject)
}

pub(super) fn trim(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(subject(run, &a, 0)?.trim()))
}

pub(super) fn trim_all(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let set = a.text(run, 0)?;
    run.spend(set.len() as u64)?;
    Ok(text(subject(run, &a, 1)?.trim_matches(|c| set.contains(c))))
}

pub(super) fn trim_prefix(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (prefix, subject) = (a.text(run, 0)?, subject(run, &a, 1)?);
    Ok(text(subject.strip_prefix(prefix).unwrap_or(subject)))
}

pub(super) fn trim_suffix(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (suffix, subject) = (a.text(run, 0)?, subject(run, &a, 1)?);
    Ok(text(subject.strip_suffix(suffix).unwrap_or(subject)))
}

pub(super) fn upper(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(subject(run, &a, 0)?.to_uppercase()))
}

pub(super) fn lower(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(subject(run, &a, 0)?.to_lowercase()))
}

pub(super) fn repeat(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let times = usize::try_from(a.int(run, 0)?).unwrap_or(0);
    let subject = a.text(run, 1)?;
    run.allow(subject.len().saturating_mul(times))?;
    Ok(text(subject.repeat(times)))
}

pub(super) fn substr(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (start, end) = (a.int(run, 0)?, a.int(run, 1)?);
    let subject = subject(run, &a, 2)?;
    let end = usize::try_from(end).unwrap_or(subject.len()).min(subject.len());
    Ok(bytes(subject, usize::try_from(start).unwrap_or(0), end))
}

pub(super) fn trunc(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let length = a.int(run, 0)?;
    let subject = subject(run, &a, 1)?;
    let size = usize::try_from(length.unsigned_abs()).unwrap_or(usize::MAX);
    if size >= subject.len() {
        return Ok(text(subject));
    }
    Ok(if length < 0 { bytes(subject, subject.len() - size, subject.len()) } else { bytes(subject, 0, size) })
}

pub(super) fn abbrev(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let width = usize::try_from(a.int(run, 0)?).unwrap_or(0);
    let subject = subject(run, &a, 1)?;
    let characters = subject.chars().count();
    if width < 4 || characters <= width {
        return Ok(text(subject));
    }
    let kept: String = subject.chars().take(width - 3).collect();
    Ok(text(format!("{kept}...")))
}

pub(super) fn contains(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (part, subject) = (a.text(run, 0)?, subject(run, &a, 1)?);
    Ok(Value::Bool(subject.contains(part)))
}

pub(super) fn has_prefix(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Bool(a.text(run, 1)?.starts_with(a.text(run, 0)?)))
}

pub(super) fn has_suffix(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Bool(a.text(run, 1)?.ends_with(a.text(run, 0)?)))
}

pub(super) fn replace(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (old, new) = (a.text(run, 0)?, a.text(run, 1)?);
    let subject = subject(run, &a, 2)?;
    let found = subject.matches(old).count();
    run.allow(subject.len() + found.saturating_mul(new.len()))?;
    Ok(text(subject.replace(old, new)))
}

pub(super) fn to_string(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(a.shown(run, 0)?))
}

/// Go's `%q`.
fn quoted(subject: &str) -> String {
    let mut out = String::with_capacity(subject.len() + 2);
    out.push('"');
    for character in subject.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn wrapped(run: &mut Run, a: &Arguments<'_>, wrap: fn(&str) -> String) -> Outcome {
    let mut parts = Vec::new();
    let mut length = 0;
    for value in a.values.iter().filter(|value| !matches!(value, Value::Nil)) {
        let part = wrap(&run.shown(value)?);
        length += part.len() + 1;
        parts.push(part);
    }
    run.allow(length)?;
    Ok(text(parts.join(" ")))
}

pub(super) fn quote(run: &mut Run, a: Arguments<'_>) -> Outcome {
    wrapped(run, &a, quoted)
}

pub(super) fn squote(run: &mut Run, a: Arguments<'_>) -> Outcome {
    wrapped(run, &a, |text| format!("'{text}'"))
}

pub(super) fn cat(run: &mut Run, a: Arguments<'_>) -> Outcome {
    wrapped(run, &a, str::to_owned)
}

fn indented(run: &mut Run, a: &Arguments<'_>) -> Result<String, LangError> {
    let width = usize::try_from(a.int(run, 0)?).unwrap_or(0);
    let subject = a.text(run, 1)?;
    let lines = subject.matches('\n').count() + 1;
    run.allow(subject.len() + lines.saturating_mul(width))?;
    let padding = " ".repeat(width);
    Ok(format!("{padding}{}", subject.replace('\n', &format!("\n{padding}"))))
}

pub(super) fn indent(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(indented(run, &a)?))
}

pub(super) fn nindent(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(format!("\n{}", indented(run, &a)?)))
}

pub(super) fn plural(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let chosen = if a.int(run, 2)? == 1 { 0 } else { 1 };
    Ok(text(a.text(run, chosen)?))
}

fn pieces<'a>(run: &mut Run, a: &Arguments<'a>, most: usize) -> Result<Vec<&'a str>, LangError> {
    let separator = a.text(run, 0)?;
    let subject = a.text(run, a.len() - 1)?;
    run.spend(subject.len() as u64)?;
    if separator.is_empty() {
        // Go splits into characters, Rust has an empty piece at both ends.
        let ends = subject.char_indices().map(|(at, c)| (at, at + c.len_utf8()));
        return Ok(ends.filter_map(|(from, to)| subject.get(from..to)).collect());
    }
    Ok(subject.splitn(most, separator).collect())
}

pub(super) fn split_list(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let pieces = pieces(run, &a, usize::MAX)?;
    Ok(list(pieces.into_iter().map(text).collect()))
}

/// A map with the keys `_0`, `_1` and so on.
fn numbered(pieces: Vec<&str>) -> Value {
    let entries = pieces.into_iter().enumerate();
    let entries: Entries = entries.map(|(index, piece)| (format!("_{index}").into(), text(piece))).collect();
    Value::Map(entries.into())
}

pub(super) fn split(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(numbered(pieces(run, &a, usize::MAX)?))
}

pub(super) fn splitn(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let most = usize::try_from(a.int(run, 1)?).unwrap_or(usize::MAX);
    Ok(numbered(pieces(run, &a, most)?))
}
