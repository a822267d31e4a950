//! Functions on text, and those that turn values into text and back.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::path;
use super::{Outcome, unfit};
use crate::LangError;
use crate::sprig::run::Run;
use crate::value::Value;

fn text<'a>(run: &Run, name: &str, arguments: &'a [Value], at: usize) -> Result<&'a str, LangError> {
    match arguments.get(at) {
        Some(Value::Text(text)) => Ok(text),
        other => Err(unfit(run, name, other.unwrap_or(&Value::Nil))),
    }
}

/// A text argument that may be left out.
fn text_or<'a>(
    run: &Run,
    name: &str,
    arguments: &'a [Value],
    at: usize,
    default: &'a str,
) -> Result<&'a str, LangError> {
    if arguments.len() <= at {
        return Ok(default);
    }
    text(run, name, arguments, at)
}

fn count(run: &Run, name: &str, arguments: &[Value], at: usize) -> Result<Option<usize>, LangError> {
    match arguments.get(at) {
        None => Ok(None),
        // Negative counts mean all.
        Some(Value::Int(int)) => Ok(usize::try_from(*int).ok()),
        Some(other) => Err(unfit(run, name, other)),
    }
}

pub(super) fn string(run: &mut Run, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Text(text)] => Ok(Value::Text(text.clone())),
        _ => {
            let value = arguments.first().unwrap_or(&Value::Nil);
            weigh(run, value)?;
            Ok(Value::text(value.go_text()))
        }
    }
}

/// Allows for the text form of a value.
fn weigh(run: &mut Run, value: &Value) -> Result<(), LangError> {
    let weight = value.weight(4 * crate::sprig::run::MAX_TEXT as u64);
    run.allow(usize::try_from(weight / 2).unwrap_or(usize::MAX))
}

pub(super) fn type_name(_: &mut Run, arguments: &[Value]) -> Outcome {
    Ok(Value::text(match arguments.first().unwrap_or(&Value::Nil) {
        Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Text(_) => "string",
        Value::List(_) => "array",
        Value::Map(_) => "map",
        Value::Time(_) => "time.Time",
        Value::Duration(_) => "time.Duration",
    }))
}

pub(super) fn to_json(run: &mut Run, arguments: &[Value]) -> Outcome {
    json(run, arguments, "")
}

pub(super) fn to_json_indented(run: &mut Run, arguments: &[Value]) -> Outcome {
    json(run, arguments, "  ")
}

fn json(run: &mut Run, arguments: &[Value], indent: &str) -> Outcome {
    let value = arguments.first().unwrap_or(&Value::Nil);
    weigh(run, value)?;
    Ok(Value::text(value.json_text(indent)))
}

pub(super) fn from_json(run: &mut Run, arguments: &[Value]) -> Outcome {
    let text = text(run, "fromJSON", arguments, 0)?;
    run.allow(text.len())?;
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(json) => Ok(Value::from(&json)),
        Err(error) => Err(run.fail(format!("fromJSON: {error}"))),
    }
}

pub(super) fn jsonpath(run: &mut Run, arguments: &[Value]) -> Outcome {
    let path = text(run, "jsonpath", arguments, 1)?;
    path::read(run, arguments.first().unwrap_or(&Value::Nil), path)
}

pub(super) fn to_base64(run: &mut Run, arguments: &[Value]) -> Outcome {
    let text = text(run, "toBase64", arguments, 0)?;
    run.allow(text.len() / 3 * 4 + 4)?;
    Ok(Value::text(STANDARD.encode(text)))
}

pub(super) fn from_base64(run: &mut Run, arguments: &[Value]) -> Outcome {
    let text = text(run, "fromBase64", arguments, 0)?;
    run.allow(text.len())?;
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(Value::text(String::from_utf8_lossy(&bytes))),
        Err(error) => Err(run.fail(format!("fromBase64: {error}"))),
    }
}

pub(super) fn upper(run: &mut Run, arguments: &[Value]) -> Outcome {
    let text = text(run, "upper", arguments, 0)?;
    run.allow(text.len())?;
    Ok(Value::text(text.to_uppercase()))
}

pub(super) fn lower(run: &mut Run, arguments: &[Value]) -> Outcome {
    let text = text(run, "lower", arguments, 0)?;
    run.allow(text.len())?;
    Ok(Value::text(text.to_lowercase()))
}

pub(super) fn trim(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "trim", arguments, 0)?;
    run.allow(subject.len())?;
    if arguments.len() == 1 {
        return Ok(Value::text(subject.trim()));
    }
    let set = text(run, "trim", arguments, 1)?;
    Ok(Value::text(subject.trim_matches(|c| set.contains(c))))
}

pub(super) fn trim_prefix(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "trimPrefix", arguments, 0)?;
    let prefix = text_or(run, "trimPrefix", arguments, 1, " ")?;
    run.allow(subject.len())?;
    Ok(Value::text(subject.strip_prefix(prefix).unwrap_or(subject)))
}

pub(super) fn trim_suffix(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "trimSuffix", arguments, 0)?;
    let suffix = text_or(run, "trimSuffix", arguments, 1, " ")?;
    run.allow(subject.len())?;
    Ok(Value::text(subject.strip_suffix(suffix).unwrap_or(subject)))
}

pub(super) fn has_prefix(run: &mut Run, arguments: &[Value]) -> Outcome {
    let prefix = text(run, "hasPrefix", arguments, 1)?;
    Ok(Value::Bool(text(run, "hasPrefix", arguments, 0)?.starts_with(prefix)))
}

pub(super) fn has_suffix(run: &mut Run, arguments: &[Value]) -> Outcome {
    let suffix = text(run, "hasSuffix", arguments, 1)?;
    Ok(Value::Bool(text(run, "hasSuffix", arguments, 0)?.ends_with(suffix)))
}

/// Where a text stands, in bytes as Go counts.
fn place(index: Option<usize>) -> Value {
    Value::Int(index.and_then(|index| i64::try_from(index).ok()).unwrap_or(-1))
}

pub(super) fn index_of(run: &mut Run, arguments: &[Value]) -> Outcome {
    let (subject, part) = (text(run, "indexOf", arguments, 0)?, text(run, "indexOf", arguments, 1)?);
    run.spend(subject.len() as u64 / 8)?;
    Ok(place(subject.find(part)))
}

pub(super) fn last_index_of(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "lastIndexOf", arguments, 0)?;
    let part = text(run, "lastIndexOf", arguments, 1)?;
    run.spend(subject.len() as u64 / 8)?;
    Ok(place(subject.rfind(part)))
}

fn pieces<'a>(parts: impl Iterator<Item = &'a str>) -> Value {
    Value::list(parts.map(Value::text).collect())
}

pub(super) fn split(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "split", arguments, 0)?;
    let separator = text(run, "split", arguments, 1)?;
    run.spend(subject.len() as u64 * 2)?;
    let most = count(run, "split", arguments, 2)?;
    if separator.is_empty() {
        let characters =
            subject.char_indices().map(|(at, c)| subject.get(at..at + c.len_utf8()).unwrap_or_default());
        return Ok(pieces(characters.take(most.unwrap_or(usize::MAX))));
    }
    Ok(match most {
        None => pieces(subject.split(separator)),
        Some(most) => pieces(subject.splitn(most, separator)),
    })
}

pub(super) fn split_after(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "splitAfter", arguments, 0)?;
    let separator = text(run, "splitAfter", arguments, 1)?;
    run.spend(subject.len() as u64 * 2)?;
    let most = count(run, "splitAfter", arguments, 2)?.unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut rest = subject;
    while parts.len() + 1 < most
        && let Some(at) = rest.find(separator).filter(|_| !separator.is_empty())
    {
        let (part, tail) = rest.split_at(at + separator.len());
        parts.push(Value::text(part));
        rest = tail;
    }
    parts.push(Value::text(rest));
    Ok(Value::list(parts))
}

pub(super) fn replace(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "replace", arguments, 0)?;
    let old = text(run, "replace", arguments, 1)?;
    let new = text(run, "replace", arguments, 2)?;
    let most = count(run, "replace", arguments, 3)?.unwrap_or(usize::MAX);
    run.allow(subject.len())?;
    let matches = subject.matches(old).count().min(most);
    run.allow(subject.len() + matches.saturating_mul(new.len()))?;
    Ok(Value::text(subject.replacen(old, new, most)))
}

pub(super) fn repeat(run: &mut Run, arguments: &[Value]) -> Outcome {
    let subject = text(run, "repeat", arguments, 0)?;
    match arguments.get(1) {
        Some(Value::Int(times)) if *times >= 0 => {
            let times = usize::try_from(*times).unwrap_or(usize::MAX);
            run.allow(subject.len().saturating_mul(times))?;
            Ok(Value::text(subject.repeat(times)))
        }
        other => Err(unfit(run, "repeat", other.unwrap_or(&Value::Nil))),
    }
}

pub(super) fn join(run: &mut Run, arguments: &[Value]) -> Outcome {
    let separator = text_or(run, "join", arguments, 1, "")?;
    let Some(Value::List(list)) = arguments.first() else {
        return Err(unfit(run, "join", arguments.first().unwrap_or(&Value::Nil)));
    };
    let mut parts = Vec::with_capacity(list.items.len());
    let mut length = 0;
    for item in &list.items {
        let Value::Text(item) = item else {
            return Err(unfit(run, "join", item));
        };
        length += item.len() + separator.len();
        parts.push(item.as_ref());
    }
    run.allow(length)?;
    Ok(Value::text(parts.join(separator)))
}
