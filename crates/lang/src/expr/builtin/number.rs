//! Functions on numbers.

use super::{Outcome, unfit};
use crate::LangError;
use crate::sprig::run::Run;
use crate::value::Value;
use crate::value::number::truncate;

pub(super) fn int(run: &mut Run, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Int(int) | Value::Duration(int)] => Ok(Value::Int(*int)),
        [Value::Float(float)] => Ok(Value::Int(truncate(*float))),
        [Value::Text(text)] => match text.parse() {
            Ok(int) => Ok(Value::Int(int)),
            Err(_) => Err(run.fail(format!("invalid operation: int({text:?}) is no integer"))),
        },
        [Value::Bool(bool)] => Err(unfit(run, "int", &Value::Bool(*bool))),
        _ => Err(unfit(run, "int", arguments.first().unwrap_or(&Value::Nil))),
    }
}

pub(super) fn float(run: &mut Run, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Text(text)] => match text.parse() {
            Ok(float) => Ok(Value::Float(float)),
            Err(_) => Err(run.fail(format!("invalid operation: float({text:?}) is no number"))),
        },
        [value] => match value.as_float() {
            Some(float) => Ok(Value::Float(float)),
            None => Err(unfit(run, "float", value)),
        },
        _ => Err(unfit(run, "float", &Value::Nil)),
    }
}

fn argument(run: &Run, name: &str, arguments: &[Value]) -> Result<f64, LangError> {
    let value = arguments.first().unwrap_or(&Value::Nil);
    value.as_float().ok_or_else(|| unfit(run, name, value))
}

pub(super) fn abs(run: &mut Run, arguments: &[Value]) -> Outcome {
    match arguments {
        [Value::Int(int)] => Ok(Value::Int(int.wrapping_abs())),
        _ => argument(run, "abs", arguments).map(|float| Value::Float(float.abs())),
    }
}

pub(super) fn ceil(run: &mut Run, arguments: &[Value]) -> Outcome {
    argument(run, "ceil", arguments).map(|float| Value::Float(float.ceil()))
}

pub(super) fn floor(run: &mut Run, arguments: &[Value]) -> Outcome {
    argument(run, "floor", arguments).map(|float| Value::Float(float.floor()))
}

pub(super) fn round(run: &mut Run, arguments: &[Value]) -> Outcome {
    argument(run, "round", arguments).map(|float| Value::Float(float.round()))
}

/// The numbers among the arguments, and in the lists among them.
fn numbers(run: &mut Run, name: &str, arguments: &[Value]) -> Result<Vec<Value>, LangError> {
    let mut numbers = Vec::new();
    for argument in arguments {
        run.spend(1)?;
        match argument {
            Value::Int(_) | Value::Float(_) => numbers.push(argument.clone()),
            // A value's depth is bounded, hence this recursion too.
            Value::List(list) => numbers.extend(self::numbers(run, name, &list.items)?),
            other => return Err(unfit(run, name, other)),
        }
    }
    Ok(numbers)
}

fn extreme(run: &mut Run, name: &str, arguments: &[Value], greatest: bool) -> Outcome {
    let mut found: Option<Value> = None;
    for number in numbers(run, name, arguments)? {
        let better = found.as_ref().is_none_or(|found| {
            number.order(found).is_some_and(|order| if greatest { order.is_gt() } else { order.is_lt() })
        });
        if better {
            found = Some(number);
        }
    }
    found.ok_or_else(|| run.fail(format!("not enough arguments to call {name}")))
}

pub(super) fn max(run: &mut Run, arguments: &[Value]) -> Outcome {
    extreme(run, "max", arguments, true)
}

pub(super) fn min(run: &mut Run, arguments: &[Value]) -> Outcome {
    extreme(run, "min", arguments, false)
}

fn floats(run: &mut Run, name: &str, arguments: &[Value]) -> Result<Vec<f64>, LangError> {
    let numbers = numbers(run, name, arguments)?;
    Ok(numbers.iter().filter_map(Value::as_float).collect())
}

#[expect(clippy::cast_precision_loss, reason = "a count fits")]
pub(super) fn mean(run: &mut Run, arguments: &[Value]) -> Outcome {
    let floats = floats(run, "mean", arguments)?;
    if floats.is_empty() {
        return Ok(Value::Float(0.0));
    }
    Ok(Value::Float(floats.iter().sum::<f64>() / floats.len() as f64))
}

pub(super) fn median(run: &mut Run, arguments: &[Value]) -> Outcome {
    let mut floats = floats(run, "median", arguments)?;
    floats.sort_by(f64::total_cmp);
    let middle = floats.len() / 2;
    let upper = floats.get(middle).copied().unwrap_or(0.0);
    let lower = match floats.len() % 2 {
        0 => floats.get(middle.wrapping_sub(1)).copied().unwrap_or(0.0),
        _ => upper,
    };
    Ok(Value::Float(f64::midpoint(lower, upper)))
}

fn integers(run: &Run, name: &str, arguments: &[Value]) -> Result<(i64, i64), LangError> {
    let integer = |value: Option<&Value>| match value {
        Some(Value::Int(int)) => Ok(*int),
        Some(Value::Float(float)) if float.fract() == 0.0 => Ok(truncate(*float)),
        other => Err(unfit(run, name, other.unwrap_or(&Value::Nil))),
    };
    Ok((integer(arguments.first())?, integer(arguments.get(1))?))
}

pub(super) fn bitand(run: &mut Run, arguments: &[Value]) -> Outcome {
    integers(run, "bitand", arguments).map(|(a, b)| Value::Int(a & b))
}

pub(super) fn bitor(run: &mut Run, arguments: &[Value]) -> Outcome {
    integers(run, "bitor", arguments).map(|(a, b)| Value::Int(a | b))
}

pub(super) fn bitxor(run: &mut Run, arguments: &[Value]) -> Outcome {
    integers(run, "bitxor", arguments).map(|(a, b)| Value::Int(a ^ b))
}

pub(super) fn bitnand(run: &mut Run, arguments: &[Value]) -> Outcome {
    integers(run, "bitnand", arguments).map(|(a, b)| Value::Int(a & !b))
}

pub(super) fn bitnot(run: &mut Run, arguments: &[Value]) -> Outcome {
    match int(run, arguments)? {
        Value::Int(int) => Ok(Value::Int(!int)),
        other => Err(unfit(run, "bitnot", &other)),
    }
}

fn shift(run: &Run, name: &str, arguments: &[Value]) -> Result<(i64, u32), LangError> {
    let (value, by) = integers(run, name, arguments)?;
    match u32::try_from(by) {
        Ok(by) => Ok((value, by)),
        Err(_) => Err(run.fail(format!("{name}: cannot shift by {by}"))),
    }
}

pub(super) fn bitshl(run: &mut Run, arguments: &[Value]) -> Outcome {
    let (value, by) = shift(run, "bitshl", arguments)?;
    Ok(Value::Int(value.checked_shl(by).unwrap_or(0)))
}

pub(super) fn bitshr(run: &mut Run, arguments: &[Value]) -> Outcome {
    let (value, by) = shift(run, "bitshr", arguments)?;
    Ok(Value::Int(value >> by.min(63)))
}

pub(super) fn bitushr(run: &mut Run, arguments: &[Value]) -> Outcome {
    let (value, by) = shift(run, "bitushr", arguments)?;
    let shifted = value.cast_unsigned().checked_shr(by).unwrap_or(0);
    Ok(Value::Int(shifted.cast_signed()))
}
