//! Evaluates the tree of an expression.

use std::collections::BTreeMap;

use regex::Regex;

use super::parser::{Binary, Node, Prefix};
use super::{LANGUAGE, Value};
use crate::LangError;
use crate::value::number::{float_text, truncate};

/// The longest text that `+` may build.
const MAX_TEXT: usize = 1 << 20;

type Variables = BTreeMap<String, Value>;

pub(super) fn failed(message: String) -> LangError {
    LangError::Eval { language: LANGUAGE, message }
}

/// A value as Go prints it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Number(number) | Value::Time(number) => float_text(*number),
        Value::Text(text) => text.clone(),
        Value::Bool(bool) => bool.to_string(),
        Value::Null => "<nil>".to_owned(),
        Value::List(items) => {
            let items: Vec<String> = items.iter().map(shown).collect();
            format!("[{}]", items.join(" "))
        }
    }
}

/// A value as an error shows it: not longer than a line.
fn brief(value: &Value) -> String {
    let text = shown(value);
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

pub(super) fn eval(node: &Node, variables: &Variables) -> Result<Value, LangError> {
    match node {
        Node::Literal(value) => Ok(value.clone()),
        Node::Variable(name) => match variables.get(name) {
            Some(Value::Time(seconds)) => Ok(Value::Number(*seconds)),
            Some(value) => Ok(value.clone()),
            None => Err(failed(format!("no parameter '{name}' found"))),
        },
        // A pattern stands only on the right of its operator.
        Node::Pattern(pattern) => Ok(Value::Text(pattern.as_str().to_owned())),
        Node::Prefix(prefix, operand) => apply_prefix(*prefix, eval(operand, variables)?),
        Node::Binary(operator, left, right) => eval_binary(*operator, left, right, variables),
    }
}

fn apply_prefix(prefix: Prefix, value: Value) -> Result<Value, LangError> {
    match (prefix, value) {
        (Prefix::Negate, Value::Number(number)) => Ok(Value::Number(-number)),
        (Prefix::Not, Value::Bool(bool)) => Ok(Value::Bool(!bool)),
        (Prefix::BitNot, Value::Number(number)) => Ok(Value::Number(whole(!truncate(number)))),
        (prefix, value) => {
            let (symbol, wanted) = match prefix {
                Prefix::Negate => ("-", "a number"),
                Prefix::Not => ("!", "a bool"),
                Prefix::BitNot => ("~", "a number"),
            };
            Err(failed(format!(
                "value '{}' cannot be used with the prefix '{symbol}', it is not {wanted}",
                brief(&value)
            )))
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "every number is a float here")]
fn whole(value: i64) -> f64 {
    value as f64
}

fn eval_binary(
    operator: Binary,
    left: &Node,
    right: &Node,
    variables: &Variables,
) -> Result<Value, LangError> {
    let left = eval(left, variables)?;
    match (operator, &left) {
        (Binary::And, Value::Bool(false)) | (Binary::Or, Value::Bool(true)) => return Ok(left),
        (Binary::Then, Value::Bool(false)) => return Ok(Value::Null),
        (Binary::Coalesce | Binary::Else, value) if *value != Value::Null => return Ok(left),
        _ => {}
    }
    if let (Binary::Matches | Binary::MatchesNot, Node::Pattern(pattern)) = (operator, right) {
        return matches(operator, &left, pattern);
    }
    apply(operator, left, eval(right, variables)?)
}

fn matches(operator: Binary, left: &Value, pattern: &Regex) -> Result<Value, LangError> {
    match left {
        Value::Text(text) => Ok(Value::Bool(pattern.is_match(text) == (operator == Binary::Matches))),
        other => Err(unfit(operator, other)),
    }
}

fn unfit(operator: Binary, value: &Value) -> LangError {
    let (kind, wanted) = match operator {
        Binary::And | Binary::Or => ("logical operator", "a bool"),
        Binary::Then | Binary::Else | Binary::Coalesce => ("ternary operator", "a bool"),
        Binary::Matches | Binary::MatchesNot => ("comparator", "a string"),
        Binary::In => ("comparator", "a list of two or more"),
        Binary::Greater | Binary::GreaterOrEqual | Binary::Less | Binary::LessOrEqual => {
            ("comparator", "a number")
        }
        _ => ("modifier", "a number"),
    };
    failed(format!(
        "value '{}' cannot be used with the {kind} '{}', it is not {wanted}",
        brief(value),
        operator.symbol()
    ))
}

fn apply(operator: Binary, left: Value, right: Value) -> Result<Value, LangError> {
    match operator {
        Binary::Comma => Ok(Value::List(match left {
            Value::List(mut items) => {
                items.push(right);
                items
            }
            first => vec![first, right],
        })),
        Binary::Then => match left {
            Value::Bool(_) => Ok(right),
            other => Err(unfit(operator, &other)),
        },
        Binary::Else | Binary::Coalesce => Ok(right),
        Binary::And | Binary::Or => match (left, right) {
            (Value::Bool(_), Value::Bool(right)) => Ok(Value::Bool(right)),
            (Value::Bool(_), other) | (other, _) => Err(unfit(operator, &other)),
        },
        Binary::Equal => Ok(Value::Bool(left == right)),
        Binary::NotEqual => Ok(Value::Bool(left != right)),
        Binary::In => match right {
            Value::List(items) => Ok(Value::Bool(items.contains(&left))),
            other => Err(unfit(operator, &other)),
        },
        Binary::Matches | Binary::MatchesNot => match &right {
            Value::Text(text) => {
                let pattern =
                    Regex::new(text).map_err(|error| failed(format!("'{text}' is no pattern: {error}")))?;
                matches(operator, &left, &pattern)
            }
            other => Err(unfit(operator, other)),
        },
        Binary::Greater | Binary::GreaterOrEqual | Binary::Less | Binary::LessOrEqual => {
            compare(operator, &left, &right)
        }
        Binary::Add => add(left, right),
        _ => match (&left, &right) {
            (Value::Number(left), Value::Number(right)) => {
                Ok(Value::Number(arithmetic(operator, *left, *right)))
            }
            (Value::Number(_), other) | (other, _) => Err(unfit(operator, other)),
        },
    }
}

fn compare(operator: Binary, left: &Value, right: &Value) -> Result<Value, LangError> {
    let order = match (left, right) {
        (Value::Number(left), Value::Number(right)) => left.partial_cmp(right),
        (Value::Text(left), Value::Text(right)) => Some(left.cmp(right)),
        (Value::Number(_), other) | (other, _) => return Err(unfit(operator, other)),
    };
    Ok(Value::Bool(order.is_some_and(|order| match operator {
        Binary::Greater => order.is_gt(),
        Binary::GreaterOrEqual => order.is_ge(),
        Binary::Less => order.is_lt(),
        _ => order.is_le(),
    })))
}

fn add(left: Value, right: Value) -> Result<Value, LangError> {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => Ok(Value::Number(left + right)),
        (left, right) if matches!(left, Value::Text(_)) || matches!(right, Value::Text(_)) => {
            let text = shown(&left) + &shown(&right);
            if text.len() > MAX_TEXT {
                return Err(LangError::Limit { language: LANGUAGE, limit: "output" });
            }
            Ok(Value::Text(text))
        }
        (Value::Number(_), other) | (other, _) => Err(unfit(Binary::Add, &other)),
    }
}

fn arithmetic(operator: Binary, left: f64, right: f64) -> f64 {
    let (l, r) = (truncate(left), truncate(right));
    match operator {
        Binary::Subtract => left - right,
        Binary::Multiply => left * right,
        Binary::Divide => left / right,
        Binary::Modulo => left % right,
        Binary::Power => left.powf(right),
        Binary::BitAnd => whole(l & r),
        Binary::BitOr => whole(l | r),
        Binary::BitXor => whole(l ^ r),
        Binary::ShiftLeft => shift(l, r, u64::checked_shl),
        _ => shift(l, r, u64::checked_shr),
    }
}

/// Shifts are on unsigned numbers, and shift everything out when they go too far.
#[expect(clippy::cast_precision_loss, reason = "every number is a float here")]
fn shift(value: i64, by: i64, shift: fn(u64, u32) -> Option<u64>) -> f64 {
    let shifted = u32::try_from(by).ok().and_then(|by| shift(value.cast_unsigned(), by));
    shifted.unwrap_or(0) as f64
}
