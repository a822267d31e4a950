//! Arithmetic. Anything that looks like a number is one; anything else is 0.

use gotmpl::Value;

use super::Outcome;
use super::arguments::Arguments;
use super::run::Run;
use crate::value::number::truncate;

fn integer(value: &Value) -> i64 {
    match value {
        Value::Int(int) => *int,
        Value::Uint(int) => i64::try_from(*int).unwrap_or(i64::MAX),
        Value::Float(float) => truncate(*float),
        Value::Bool(bool) => i64::from(*bool),
        Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "as Go converts")]
fn float(value: &Value) -> f64 {
    match value {
        Value::Float(float) => *float,
        Value::String(text) => text.parse().unwrap_or(0.0),
        other => integer(other) as f64,
    }
}

fn integers(a: Arguments<'_>) -> impl Iterator<Item = i64> {
    a.values.iter().map(integer)
}

fn floats(a: Arguments<'_>) -> impl Iterator<Item = f64> {
    a.values.iter().map(float)
}

pub(super) fn int(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Int(integer(a.any(0))))
}

pub(super) fn float64(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Float(float(a.any(0))))
}

pub(super) fn to_decimal(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let text = a.shown(run, 0)?;
    Ok(Value::Int(i64::from_str_radix(&text, 8).unwrap_or(0)))
}

pub(super) fn add(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Int(integers(a).fold(0, i64::wrapping_add)))
}

pub(super) fn add1(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Int(integer(a.any(0)).wrapping_add(1)))
}

pub(super) fn sub(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Int(integer(a.any(0)).wrapping_sub(integer(a.any(1)))))
}

pub(super) fn mul(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Int(integers(a).fold(1, i64::wrapping_mul)))
}

pub(super) fn div(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let quotient = integer(a.any(0)).checked_div(integer(a.any(1)));
    quotient.map(Value::Int).ok_or_else(|| run.fail("div: integer divide by zero"))
}

pub(super) fn modulo(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let rest = integer(a.any(0)).checked_rem(integer(a.any(1)));
    rest.map(Value::Int).ok_or_else(|| run.fail("mod: integer divide by zero"))
}

pub(super) fn max(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Int(integers(a).max().unwrap_or(0)))
}

pub(super) fn min(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Int(integers(a).min().unwrap_or(0)))
}

pub(super) fn maxf(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Float(floats(a).fold(f64::NEG_INFINITY, f64::max)))
}

pub(super) fn minf(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Float(floats(a).fold(f64::INFINITY, f64::min)))
}

pub(super) fn addf(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Float(floats(a).sum()))
}

pub(super) fn add1f(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Float(float(a.any(0)) + 1.0))
}

fn folded(a: Arguments<'_>, operation: fn(f64, f64) -> f64) -> Outcome {
    Ok(Value::Float(floats(a).reduce(operation).unwrap_or(0.0)))
}

pub(super) fn subf(_: &mut Run, a: Arguments<'_>) -> Outcome {
    folded(a, |left, right| left - right)
}

pub(super) fn mulf(_: &mut Run, a: Arguments<'_>) -> Outcome {
    folded(a, |left, right| left * right)
}

pub(super) fn divf(_: &mut Run, a: Arguments<'_>) -> Outcome {
    folded(a, |left, right| left / right)
}

pub(super) fn ceil(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Float(float(a.any(0)).ceil()))
}

pub(super) fn floor(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Float(float(a.any(0)).floor()))
}

/// `round VALUE PLACES [HALF]`: what is at least HALF of a step goes up, and HALF is 0.5 if not said.
pub(super) fn round(_: &mut Run, a: Arguments<'_>) -> Outcome {
    let places = i32::try_from(integer(a.any(1))).unwrap_or(0);
    let half = if a.len() > 2 { float(a.any(2)) } else { 0.5 };
    let scale = 10_f64.powi(places);
    let scaled = float(a.any(0)) * scale;
    let rounded = if scaled.fract() >= half { scaled.ceil() } else { scaled.floor() };
    Ok(Value::Float(rounded / scale))
}
