//! Members of maps, elements and slices of lists and texts.

use crate::LangError;
use crate::sprig::run::Run;
use crate::value::Value;
use crate::value::number::truncate;

fn index(key: &Value) -> Option<i64> {
    match key {
        Value::Int(int) => Some(*int),
        Value::Float(float) => Some(truncate(*float)),
        _ => None,
    }
}

/// Counts from the end where negative.
fn place(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add_unsigned(length as u64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < length)
}

/// The member or element; a missing member is nil.
pub(super) fn fetch(run: &mut Run, object: &Value, key: &Value) -> Result<Value, LangError> {
    match get(run, object, key)? {
        Some(value) => Ok(value),
        None => {
            let key = match key {
                Value::Text(text) => text.to_string(),
                Value::Int(_) | Value::Float(_) => key.go_text(),
                other => other.go_type().to_owned(),
            };
            let message = match object {
                Value::List(list) => {
                    let length = list.items.len();
                    format!("index out of range: {key} (array length is {length})")
                }
                other => format!("cannot fetch {key} from {}", other.go_type()),
            };
            Err(run.fail(message))
        }
    }
}

/// The member or element; `None` where the object has no such thing at all.
pub(super) fn get(run: &mut Run, object: &Value, key: &Value) -> Result<Option<Value>, LangError> {
    Ok(match (object, key) {
        (Value::Map(map), Value::Text(key)) => Some(map.entries.get(key).cloned().unwrap_or(Value::Nil)),
        (Value::List(list), _) => index(key)
            .and_then(|index| place(index, list.items.len()))
            .and_then(|place| list.items.get(place).cloned()),
        (Value::Text(text), _) => {
            run.spend(text.len() as u64 / 8)?;
            let length = text.chars().count();
            index(key)
                .and_then(|index| place(index, length))
                .and_then(|place| text.chars().nth(place))
                .map(|character| Value::text(character.to_string()))
        }
        _ => None,
    })
}

/// `object[from:to]`, cut to what there is.
pub(super) fn slice(
    run: &mut Run,
    object: &Value,
    from: Option<Value>,
    to: Option<Value>,
) -> Result<Value, LangError> {
    let length = match object {
        Value::List(list) => list.items.len(),
        Value::Text(text) => text.chars().count(),
        other => return Err(run.fail(format!("cannot slice {}", other.go_type()))),
    };
    run.spend(length as u64)?;
    let end = |value: Option<Value>, default: usize| match value.as_ref().map(index) {
        None => Ok(default),
        Some(Some(index)) if index < 0 => {
            Ok(usize::try_from(index.saturating_add_unsigned(length as u64).max(0)).unwrap_or(0))
        }
        Some(Some(index)) => Ok(usize::try_from(index).unwrap_or(length).min(length)),
        Some(None) => Err(run.fail("the ends of a slice must be numbers")),
    };
    let from = end(from, 0)?;
    let count = end(to, length)?.saturating_sub(from);
    Ok(match object {
        Value::List(list) => Value::list(list.items.iter().skip(from).take(count).cloned().collect()),
        Value::Text(text) => Value::text(text.chars().skip(from).take(count).collect::<String>()),
        _ => Value::Nil,
    })
}
