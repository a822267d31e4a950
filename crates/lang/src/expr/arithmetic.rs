//! The operators with two operands.

use std::cmp::Ordering;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Zoned};
use regex::Regex;

use super::node::Binary;
use crate::LangError;
use crate::sprig::run::Run;
use crate::value::{Value, layout};

type Outcome = Result<Value, LangError>;

fn symbol(operator: Binary) -> &'static str {
    match operator {
        Binary::Or => "||",
        Binary::And => "&&",
        Binary::Coalesce => "??",
        Binary::Equal => "==",
        Binary::NotEqual => "!=",
        Binary::Less => "<",
        Binary::LessOrEqual => "<=",
        Binary::Greater => ">",
        Binary::GreaterOrEqual => ">=",
        Binary::In => "in",
        Binary::Matches => "matches",
        Binary::Contains => "contains",
        Binary::StartsWith => "startsWith",
        Binary::EndsWith => "endsWith",
        Binary::Range => "..",
        Binary::Add => "+",
        Binary::Subtract => "-",
        Binary::Multiply => "*",
        Binary::Divide => "/",
        Binary::Modulo => "%",
        Binary::Power => "**",
    }
}

pub(super) fn apply(run: &mut Run, operator: Binary, left: &Value, right: &Value) -> Outcome {
    let found = match operator {
        Binary::Equal => Some(Value::Bool(equal(run, left, right)?)),
        Binary::NotEqual => Some(Value::Bool(!equal(run, left, right)?)),
        Binary::Less => compare(left, right, Ordering::is_lt),
        Binary::LessOrEqual => compare(left, right, Ordering::is_le),
        Binary::Greater => compare(left, right, Ordering::is_gt),
        Binary::GreaterOrEqual => compare(left, right, Ordering::is_ge),
        Binary::In => contained(run, left, right)?,
        Binary::Matches => return match_text(run, left, right),
        Binary::Contains | Binary::StartsWith | Binary::EndsWith => texts(run, operator, left, right)?,
        Binary::Range => range(run, left, right)?,
        Binary::Add => add(run, left, right)?,
        _ => subtract(operator, left, right).or_else(|| numbers(operator, left, right)),
    };
    match (operator, right) {
        (Binary::Modulo, Value::Int(0)) if found.is_none() => {
            return Err(run.fail("integer divide by zero"));
        }
        _ => {}
    }
    found.ok_or_else(|| {
        run.fail(format!("invalid operation: {} {} {}", left.go_type(), symbol(operator), right.go_type()))
    })
}

pub(super) fn equal(run: &mut Run, left: &Value, right: &Value) -> Result<bool, LangError> {
    if let (Value::Text(left), Value::Text(right)) = (left, right) {
        run.spend(left.len().min(right.len()) as u64 / 64)?;
    }
    left.equal(right, &mut || run.spend(1))
}

/// A moment, also where it stands as RFC 3339 text beside one: the environment is JSON, which has none.
fn moment(value: &Value) -> Option<Zoned> {
    match value {
        Value::Time(time) => Some(time.as_ref().clone()),
        Value::Text(text) => layout::parse(layout::RFC3339, text, &TimeZone::UTC),
        _ => None,
    }
}

fn moments(left: &Value, right: &Value) -> Option<(Zoned, Zoned)> {
    match (left, right) {
        (Value::Time(_), _) | (_, Value::Time(_)) => Some((moment(left)?, moment(right)?)),
        _ => None,
    }
}

fn compare(left: &Value, right: &Value, holds: fn(Ordering) -> bool) -> Option<Value> {
    if let Some((left, right)) = moments(left, right) {
        return Some(Value::Bool(holds(left.cmp(&right))));
    }
    let comparable = matches!(
        (left, right),
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_))
            | (Value::Text(_), Value::Text(_))
            | (Value::Duration(_), Value::Duration(_))
    );
    // NaN is comparable, and in no order.
    comparable.then(|| Value::Bool(left.order(right).is_some_and(holds)))
}

fn contained(run: &mut Run, left: &Value, right: &Value) -> Result<Option<Value>, LangError> {
    let found = match right {
        Value::Nil => false,
        Value::List(list) => {
            let mut found = false;
            for item in &list.items {
                if equal(run, left, item)? {
                    found = true;
                    break;
                }
            }
            found
        }
        Value::Map(map) => match left {
            Value::Text(key) => map.entries.contains_key(key),
            Value::Nil => false,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Value::Bool(found)))
}

fn match_text(run: &mut Run, left: &Value, right: &Value) -> Outcome {
    match right {
        Value::Nil => Ok(Value::Bool(false)),
        Value::Text(text) => {
            run.spend(text.len() as u64 * 16 + 1000)?;
            let pattern =
                Regex::new(text).map_err(|error| run.fail(format!("'{text}' is no pattern: {error}")))?;
            matches(run, left, &pattern)
        }
        other => Err(run.fail(format!("a pattern must be text, not {}", other.go_type()))),
    }
}

pub(super) fn matches(run: &mut Run, left: &Value, pattern: &Regex) -> Outcome {
    match left {
        Value::Nil => Ok(Value::Bool(false)),
        Value::Text(text) => {
            run.spend(text.len() as u64)?;
            Ok(Value::Bool(pattern.is_match(text)))
        }
        other => Err(run.fail(format!("matches takes text, not {}", other.go_type()))),
    }
}

fn texts(run: &mut Run, operator: Binary, left: &Value, right: &Value) -> Result<Option<Value>, LangError> {
    Ok(match (left, right) {
        (Value::Nil, _) | (_, Value::Nil) => Some(Value::Bool(false)),
        (Value::Text(left), Value::Text(right)) => {
            run.spend(left.len() as u64 / 8)?;
            Some(Value::Bool(match operator {
                Binary::Contains => left.contains(right.as_ref()),
                Binary::StartsWith => left.starts_with(right.as_ref()),
                _ => left.ends_with(right.as_ref()),
            }))
        }
        _ => None,
    })
}

fn range(run: &mut Run, left: &Value, right: &Value) -> Result<Option<Value>, LangError> {
    let (Value::Int(from), Value::Int(to)) = (left, right) else {
        return Ok(None);
    };
    run.spend(u64::try_from(i128::from(*to) - i128::from(*from)).map_or(0, |size| size.saturating_mul(8)))?;
    Ok(Some(Value::list((*from..=*to).map(Value::Int).collect())))
}

fn add(run: &mut Run, left: &Value, right: &Value) -> Result<Option<Value>, LangError> {
    Ok(match (left, right) {
        (Value::Text(left), Value::Text(right)) => {
            run.allow(left.len() + right.len())?;
            Some(Value::text(format!("{left}{right}")))
        }
        (Value::Duration(left), Value::Duration(right)) => Some(Value::Duration(left.wrapping_add(*right))),
        (Value::Time(time), Value::Duration(nanos)) | (Value::Duration(nanos), Value::Time(time)) => {
            shift(time, *nanos)
        }
        _ => numbers(Binary::Add, left, right),
    })
}

pub(super) fn shift(time: &Zoned, nanos: i64) -> Option<Value> {
    let shifted = time.checked_add(SignedDuration::from_nanos(nanos)).ok()?;
    Some(Value::Time(shifted.into()))
}

pub(super) fn between(later: &Zoned, earlier: &Zoned) -> Value {
    let nanos = later.timestamp().as_nanosecond() - earlier.timestamp().as_nanosecond();
    let bound = if nanos < 0 { i64::MIN } else { i64::MAX };
    Value::Duration(i64::try_from(nanos).unwrap_or(bound))
}

/// What subtraction and scaling do with moments and durations.
fn subtract(operator: Binary, left: &Value, right: &Value) -> Option<Value> {
    match (operator, left, right) {
        (Binary::Subtract, Value::Time(time), Value::Duration(nanos)) => shift(time, nanos.checked_neg()?),
        (Binary::Subtract, Value::Duration(left), Value::Duration(right)) => {
            Some(Value::Duration(left.wrapping_sub(*right)))
        }
        (Binary::Subtract, ..) => moments(left, right).map(|(later, earlier)| between(&later, &earlier)),
        (Binary::Multiply, Value::Duration(nanos), Value::Int(by))
        | (Binary::Multiply, Value::Int(by), Value::Duration(nanos)) => {
            Some(Value::Duration(nanos.wrapping_mul(*by)))
        }
        _ => None,
    }
}

fn numbers(operator: Binary, left: &Value, right: &Value) -> Option<Value> {
    if let (Value::Int(left), Value::Int(right)) = (left, right) {
        let int = match operator {
            Binary::Add => Some(left.wrapping_add(*right)),
            Binary::Subtract => Some(left.wrapping_sub(*right)),
            Binary::Multiply => Some(left.wrapping_mul(*right)),
            Binary::Modulo => return left.checked_rem(*right).map(Value::Int),
            _ => None,
        };
        if let Some(int) = int {
            return Some(Value::Int(int));
        }
    }
    let (left, right) = (left.as_float()?, right.as_float()?);
    let float = match operator {
        Binary::Add => left + right,
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        Binary::Divide => left / right,
        Binary::Power => left.powf(right),
        _ => return None,
    };
    Some(Value::Float(float))
}
