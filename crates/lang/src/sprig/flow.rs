//! Defaults, choices, and questions about values.

use gotmpl::Value;

use super::arguments::{Arguments, text};
use super::run::Run;
use super::{Outcome, convert, list};

pub(super) fn default(_: &mut Run, a: Arguments<'_>) -> Outcome {
    let given = if a.len() > 1 { a.any(1) } else { &Value::Nil };
    Ok(if given.is_truthy() { given } else { a.any(0) }.clone())
}

pub(super) fn coalesce(_: &mut Run, a: Arguments<'_>) -> Outcome {
    let found = a.values.iter().find(|value| value.is_truthy());
    Ok(found.cloned().unwrap_or(Value::Nil))
}

pub(super) fn empty(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Bool(!a.any(0).is_truthy()))
}

pub(super) fn all(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Bool(a.values.iter().all(Value::is_truthy)))
}

pub(super) fn any(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Bool(a.values.iter().any(Value::is_truthy)))
}

pub(super) fn ternary(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let chosen = if a.boolean(run, 2)? { 0 } else { 1 };
    Ok(a.any(chosen).clone())
}

pub(super) fn fail(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Err(run.fail(a.text(run, 0)?))
}

pub(super) fn type_of(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(convert::type_name(a.any(0))))
}

pub(super) fn kind_of(_: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(text(convert::kind_name(a.any(0))))
}

pub(super) fn type_is(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let wanted = a.text(run, 0)?;
    Ok(Value::Bool(wanted == convert::type_name(a.any(1))))
}

pub(super) fn kind_is(run: &mut Run, a: Arguments<'_>) -> Outcome {
    let wanted = a.text(run, 0)?;
    Ok(Value::Bool(wanted == convert::kind_name(a.any(1))))
}

pub(super) fn deep_equal(run: &mut Run, a: Arguments<'_>) -> Outcome {
    Ok(Value::Bool(list::equal(run, a.any(0), a.any(1))?))
}
