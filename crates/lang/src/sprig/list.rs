//! Functions on lists.

use gotmpl::Value;

use super::Outcome;
use super::arguments::{Arguments, list as of, text};
use super::run::Run;
use crate::LangError;

/// The most numbers that `until` and `seq` count.
const MAX_COUNT: u64 = 100_000;

pub(super) fn list(run: &mut Run, a: Arguments<'_>) -> Outcome {
    for value in a.values {
        run.admit(value)?;
    }
    Ok(of(a.values.to_vec()))
}

pub(super) fn first(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(a.list(run, 0)?.first().cloned().unwrap_or(Value::Nil))
}

pub(super) fn last(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(a.list(run, 0)?.last().cloned().unwrap_or(Value::Nil))
}

pub(super) fn rest(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(of(a.list(run, 0)?.iter().skip(1).cloned().collect()))
}

pub(super) fn initial(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let items = a.list(run, 0)?;
    Ok(of(items.split_last().map(|(_, rest)| rest.to_vec()).unwrap_or_default()))
}

pub(super) fn append(run: &mut Run, a: Arguments<'_>) -> Outcome {
    run.admit(a.any(1))?;
    let mut items = a.list(run, 0)?.to_vec();
    items.push(a.any(1).clone());
    Ok(of(items))
}

pub(super) fn prepend(run: &mut Run, a: Arguments<'_>) -> Outcome {
    run.admit(a.any(1))?;
    let mut items = vec![a.any(1).clone()];
    items.extend(a.list(run, 0)?.iter().cloned());
    Ok(of(items))
}

pub(super) fn concat(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut items = Vec::new();
    for at in 0..a.len() {
        items.extend(a.list(run, at)?.iter().cloned());
    }
    run.spend(items.len() as u64)?;
    Ok(of(items))
}

/// Equality, all that is looked at counted.
pub(super) fn equal(run: &mut Run, left: &Value, right: &Value) -> Result<bool, LangError> {
    if matches!(left, Value::List(_) | Value::Map(_)) {
        run.admit(left)?;
        run.admit(right)?;
    } else {
        run.spend(1)?;
    }
    Ok(left == right)
}

fn holds(run: &mut Run, items: &[Value], wanted: &Value) -> Result<bool, LangError> {
    for item in items {
        if equal(run, item, wanted)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn has(run: &mut Run, a: Arguments<'_>) -> Outcome {
    match a.any(1) {
        Value::Nil => Ok(Value::Bool(false)),
        _ => {
            let items = a.list(run, 1)?;
            Ok(Value::Bool(holds(run, items, a.any(0))?))
        }
    }
}

pub(super) fn uniq(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut kept: Vec<Value> = Vec::new();
    for item in a.list(run, 0)? {
        if !holds(run, &kept, item)? {
            kept.push(item.clone());
        }
    }
    Ok(of(kept))
}

pub(super) fn without(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let unwanted = a.values.get(1..).unwrap_or_default();
    let mut kept = Vec::new();
    for item in a.list(run, 0)? {
        if !holds(run, unwanted, item)? {
            kept.push(item.clone());
        }
    }
    Ok(of(kept))
}

pub(super) fn reverse(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(of(a.list(run, 0)?.iter().rev().cloned().collect()))
}

pub(super) fn compact(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let items = a.list(run, 0)?.iter();
    Ok(of(items.filter(|item| item.is_truthy()).cloned().collect()))
}

/// Unlike the builtin of that name it takes lists only.
pub(super) fn slice(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let Value::List(_) = a.any(0) else {
        let found = super::convert::type_name(a.any(0));
        let message = format!("slice: list should be type of slice or array but {found}");
        return Err(run.fail(message));
    };
    let items = a.list(run, 0)?;
    let end = |run: &Run, at: usize, default: usize| {
        if a.len() <= at {
            return Ok(default);
        }
        usize::try_from(a.int(run, at)?).map_err(|_| run.fail("slice: an end is negative"))
    };
    let (from, to) = (end(run, 1, 0)?, end(run, 2, items.len())?);
    match items.get(from..to) {
        Some(items) => Ok(of(items.to_vec())),
        None => Err(run.fail(format!("slice: [{from}:{to}] is out of range"))),
    }
}

pub(super) fn chunk(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let size = usize::try_from(a.int(run, 0)?).unwrap_or(0).max(1);
    run.admit(a.any(1))?;
    let chunks = a.list(run, 1)?.chunks(size);
    Ok(of(chunks.map(|chunk| of(chunk.to_vec())).collect()))
}

pub(super) fn sort_alpha(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut texts = texts(run, a.any(0))?;
    let count = texts.len() as u64;
    run.spend(count * u64::from(count.max(2).ilog2()))?;
    texts.sort();
    Ok(of(texts.into_iter().map(text).collect()))
}

/// A list's elements as text, nil left out; anything else is a list of one.
pub(super) fn texts(run: &mut Run, value: &Value) -> Result<Vec<String>, LangError> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(items) => {
            items.iter().filter(|item| !matches!(item, Value::Nil)).map(|item| run.shown(item)).collect()
        }
        other => Ok(vec![run.shown(other)?]),
    }
}

pub(super) fn to_strings(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(of(texts(run, a.any(0))?.into_iter().map(text).collect()))
}

pub(super) fn join(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let separator = a.text(run, 0)?;
    let texts = texts(run, a.any(1))?;
    let length: usize = texts.iter().map(|text| text.len() + separator.len()).sum();
    run.allow(length)?;
    Ok(text(texts.join(separator)))
}

fn count(run: &mut Run, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, LangError> {
    let distance = i128::from(stop) - i128::from(start);
    if step == 0 || distance == 0 || (distance > 0) != (step > 0) {
        return Ok(Vec::new());
    }
    let steps = distance.unsigned_abs().div_ceil(u128::from(step.unsigned_abs()));
    let steps = u64::try_from(steps).unwrap_or(u64::MAX);
    if steps > MAX_COUNT {
        return Err(run.limit("steps"));
    }
    run.spend(steps)?;
    let numbers = (0..).map(|index| start.saturating_add(step.saturating_mul(index)));
    Ok(numbers.take(usize::try_from(steps).unwrap_or(0)).collect())
}

pub(super) fn until(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let stop = a.int(run, 0)?;
    let step = if stop < 0 { -1 } else { 1 };
    Ok(of(count(run, 0, stop, step)?.into_iter().map(Value::Int).collect()))
}

pub(super) fn until_step(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let (start, stop, step) = (a.int(run, 0)?, a.int(run, 1)?, a.int(run, 2)?);
    Ok(of(count(run, start, stop, step)?.into_iter().map(Value::Int).collect()))
}

/// Numbers in one text, as the shell's `seq` counts.
pub(super) fn seq(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let first = if a.len() > 1 { a.int(run, 0)? } else { 1 };
    let last = match a.len() {
        0 => return Ok(text("")),
        3 => a.int(run, 2)?,
        count => a.int(run, count - 1)?,
    };
    let step = match a.len() {
        3 => a.int(run, 1)?,
        _ if last < first => -1,
        _ => 1,
    };
    let numbers = count(run, first, last.saturating_add(step.signum()), step)?;
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    Ok(text(numbers.join(" ")))
}
