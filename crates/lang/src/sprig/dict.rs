//! Functions on maps. A map is never changed: `set` and its like give a new one. (In a template, `set` on a
//! variable gives the variable its new value; see the template's rewriting.)

use std::sync::Arc;

use gotmpl::Value;

use super::Outcome;
use super::arguments::{Arguments, Entries, list, text};
use super::run::Run;
use crate::LangError;

fn map(entries: Entries) -> Value {
    Value::Map(Arc::new(entries))
}

pub(super) fn dict(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut entries = Entries::new();
    for pair in a.values.chunks(2) {
        let key = run.shown(pair.first().unwrap_or(&Value::Nil))?;
        let value = pair.get(1).cloned().unwrap_or_else(|| text(""));
        run.admit(&value)?;
        entries.insert(key.into(), value);
    }
    Ok(map(entries))
}

pub(super) fn get(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let key = a.text(run, 1)?;
    let found = match a.any(0) {
        Value::Map(entries) => entries.get(key).cloned(),
        _ => return Err(a.wrong(run, 0, "map")),
    };
    Ok(found.unwrap_or_else(|| text("")))
}

pub(super) fn set(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut entries = a.map(run, 0)?.clone();
    let key = a.text(run, 1)?;
    run.admit(a.any(2))?;
    entries.insert(key.into(), a.any(2).clone());
    Ok(map(entries))
}

pub(super) fn unset(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut entries = a.map(run, 0)?.clone();
    entries.remove(a.text(run, 1)?);
    Ok(map(entries))
}

pub(super) fn has_key(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let key = a.text(run, 1)?;
    match a.any(0) {
        Value::Map(entries) => Ok(Value::Bool(entries.contains_key(key))),
        _ => Err(a.wrong(run, 0, "map")),
    }
}

pub(super) fn pluck(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let key = a.text(run, 0)?;
    let mut found = Vec::new();
    for at in 1..a.len() {
        found.extend(a.map(run, at)?.get(key).cloned());
    }
    Ok(list(found))
}

pub(super) fn keys(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let mut keys = Vec::new();
    for at in 0..a.len() {
        keys.extend(a.map(run, at)?.keys().cloned().map(Value::String));
    }
    Ok(list(keys))
}

pub(super) fn values(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(list(a.map(run, 0)?.values().cloned().collect()))
}

fn named(run: &Run, a: &Arguments<'_>) -> Result<Vec<String>, LangError> {
    (1..a.len()).map(|at| a.text(run, at).map(str::to_owned)).collect()
}

pub(super) fn pick(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let names = named(run, &a)?;
    let mut entries = a.map(run, 0)?.clone();
    entries.retain(|key, _| names.iter().any(|name| **name == **key));
    Ok(map(entries))
}

pub(super) fn omit(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let names = named(run, &a)?;
    let mut entries = a.map(run, 0)?.clone();
    entries.retain(|key, _| !names.iter().any(|name| **name == **key));
    Ok(map(entries))
}

/// What stands in an earlier map is kept, unless it is empty.
pub(super) fn merge(run: &mut Run, a: Arguments<'_>) -> Outcome {
    merged(run, a, false)
}

pub(super) fn merge_overwrite(run: &mut Run, a: Arguments<'_>) -> Outcome {
    merged(run, a, true)
}

fn merged(run: &mut Run, a: Arguments<'_>, overwrite: bool) -> Outcome {
    let mut result = a.map(run, 0)?.clone();
    for at in 1..a.len() {
        let from = a.map(run, at)?;
        merge_into(run, &mut result, from, overwrite)?;
    }
    Ok(map(result))
}

/// A value's depth is bounded, hence this recursion too.
fn merge_into(run: &mut Run, into: &mut Entries, from: &Entries, overwrite: bool) -> Result<(), LangError> {
    for (key, value) in from {
        run.spend(4)?;
        match (into.get_mut(key), value) {
            (Some(Value::Map(old)), Value::Map(new)) => {
                run.spend(old.len() as u64)?;
                let mut inner = old.as_ref().clone();
                merge_into(run, &mut inner, new, overwrite)?;
                *old = Arc::new(inner);
            }
            (Some(old), _) if old.is_truthy() && !(overwrite && value.is_truthy()) => {}
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}

/// `dig "a" "b" DEFAULT MAP`.
pub(super) fn dig(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let keys = a.len() - 2;
    let mut found = a.last();
    for at in 0..keys {
        let key = a.text(run, at)?;
        let Value::Map(entries) = found else {
            return Err(run.fail(format!("dig: what holds {key} is no map")));
        };
        match entries.get(key) {
            Some(value) => found = value,
            None => return Ok(a.any(keys).clone()),
        }
    }
    Ok(found.clone())
}

pub(super) fn same(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(a.any(0).clone())
}
