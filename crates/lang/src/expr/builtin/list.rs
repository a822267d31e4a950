//! Functions on lists and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::{arithmetic, member};
use super::{Outcome, descending, sort_by_keys, unfit};
use crate::LangError;
use crate::sprig::run::Run;
use crate::value::{List, Map, Value};

fn list<'a>(run: &mut Run, name: &str, arguments: &'a [Value]) -> Result<&'a List, LangError> {
    match arguments.first() {
        Some(Value::List(list)) => {
            run.spend(list.items.len() as u64)?;
            Ok(list)
        }
        other => Err(unfit(run, name, other.unwrap_or(&Value::Nil))),
    }
}

fn map<'a>(run: &mut Run, name: &str, arguments: &'a [Value]) -> Result<&'a Map, LangError> {
    match arguments.first() {
        Some(Value::Map(map)) => {
            run.spend(map.entries.len() as u64)?;
            Ok(map)
        }
        other => Err(unfit(run, name, other.unwrap_or(&Value::Nil))),
    }
}

pub(super) fn len(run: &mut Run, arguments: &[Value]) -> Outcome {
    let length = match arguments.first() {
        Some(Value::Text(text)) => {
            run.spend(text.len() as u64 / 8)?;
            text.chars().count()
        }
        Some(Value::List(list)) => list.items.len(),
        Some(Value::Map(map)) => map.entries.len(),
        other => return Err(unfit(run, "len", other.unwrap_or(&Value::Nil))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

pub(super) fn first(run: &mut Run, arguments: &[Value]) -> Outcome {
    end(run, "first", arguments, 0)
}

pub(super) fn last(run: &mut Run, arguments: &[Value]) -> Outcome {
    end(run, "last", arguments, -1)
}

fn end(run: &mut Run, name: &str, arguments: &[Value], index: i64) -> Outcome {
    match arguments {
        [object @ (Value::List(_) | Value::Text(_))] => {
            Ok(member::get(run, object, &Value::Int(index))?.unwrap_or(Value::Nil))
        }
        other => Err(unfit(run, name, other.first().unwrap_or(&Value::Nil))),
    }
}

pub(super) fn get(run: &mut Run, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Nil, _] => Ok(Value::Nil),
        [object, key] => Ok(member::get(run, object, key)?.unwrap_or(Value::Nil)),
        _ => Ok(Value::Nil),
    }
}

pub(super) fn take(run: &mut Run, arguments: &[Value]) -> Outcome {
    let items = &list(run, "take", arguments)?.items;
    match arguments.get(1) {
        Some(Value::Int(count)) if *count >= 0 => {
            let count = usize::try_from(*count).unwrap_or(usize::MAX);
            Ok(Value::list(items.iter().take(count).cloned().collect()))
        }
        other => Err(unfit(run, "take", other.unwrap_or(&Value::Nil))),
    }
}

pub(super) fn keys(run: &mut Run, arguments: &[Value]) -> Outcome {
    let map = map(run, "keys", arguments)?;
    Ok(Value::list(map.entries.keys().cloned().map(Value::Text).collect()))
}

pub(super) fn values(run: &mut Run, arguments: &[Value]) -> Outcome {
    let map = map(run, "values", arguments)?;
    Ok(Value::list(map.entries.values().cloned().collect()))
}

pub(super) fn to_pairs(run: &mut Run, arguments: &[Value]) -> Outcome {
    let map = map(run, "toPairs", arguments)?;
    let pairs = map.entries.iter();
    Ok(Value::list(
        pairs.map(|(key, value)| Value::list(vec![Value::Text(key.clone()), value.clone()])).collect(),
    ))
}

pub(super) fn from_pairs(run: &mut Run, arguments: &[Value]) -> Outcome {
    let mut entries: BTreeMap<Arc<str>, Value> = BTreeMap::new();
    for pair in &list(run, "fromPairs", arguments)?.items {
        let pair = match pair {
            Value::List(pair) => pair.items.as_slice(),
            other => return Err(unfit(run, "fromPairs", other)),
        };
        let [Value::Text(key), value] = pair else {
            return Err(run.fail("fromPairs takes pairs of a text and a value"));
        };
        entries.insert(key.clone(), value.clone());
    }
    Ok(Value::map(entries))
}

pub(super) fn reverse(run: &mut Run, arguments: &[Value]) -> Outcome {
    let items = &list(run, "reverse", arguments)?.items;
    Ok(Value::list(items.iter().rev().cloned().collect()))
}

pub(super) fn uniq(run: &mut Run, arguments: &[Value]) -> Outcome {
    let mut kept: Vec<Value> = Vec::new();
    'items: for item in &list(run, "uniq", arguments)?.items {
        for known in &kept {
            if arithmetic::equal(run, known, item)? {
                continue 'items;
            }
        }
        kept.push(item.clone());
    }
    Ok(Value::list(kept))
}

pub(super) fn concat(run: &mut Run, arguments: &[Value]) -> Outcome {
    let mut all = Vec::new();
    for argument in arguments {
        all.extend(list(run, "concat", std::slice::from_ref(argument))?.items.iter().cloned());
    }
    Ok(Value::list(all))
}

pub(super) fn flatten(run: &mut Run, arguments: &[Value]) -> Outcome {
    let mut flat = Vec::new();
    let list = list(run, "flatten", arguments)?;
    flatten_into(run, list, &mut flat)?;
    Ok(Value::list(flat))
}

/// A value's depth is bounded, hence this recursion too.
fn flatten_into(run: &mut Run, list: &List, flat: &mut Vec<Value>) -> Result<(), LangError> {
    for item in &list.items {
        run.spend(1)?;
        match item {
            Value::List(inner) => flatten_into(run, inner, flat)?,
            other => flat.push(other.clone()),
        }
    }
    Ok(())
}

pub(super) fn sort(run: &mut Run, arguments: &[Value]) -> Outcome {
    let items = &list(run, "sort", arguments)?.items;
    let descending = descending(run, arguments.get(1))?;
    let sorted = sort_by_keys(run, items.clone(), items.clone(), descending)?;
    Ok(Value::list(sorted))
}
