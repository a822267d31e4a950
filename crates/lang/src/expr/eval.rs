//! Evaluates the tree of an expression.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::node::{Binary, Kind, Node, Pointer, Unary};
use super::{LANGUAGE, arithmetic, member, method};
use crate::LangError;
use crate::sprig;
use crate::sprig::run::{MAX_DEPTH, Run};
use crate::template::Context;
use crate::value::Value;

/// The largest result, counted as the bytes of its text and eight for each value.
const MAX_WEIGHT: u64 = 4 << 20;

/// Why an evaluation stops early.
pub(super) enum Stop {
    Error(LangError),
    /// A `?.` met nil.
    Chain,
}

impl From<LangError> for Stop {
    fn from(error: LangError) -> Self {
        Self::Error(error)
    }
}

pub(super) type Outcome = Result<Value, Stop>;

/// What `#` stands for in the closure that runs.
pub(super) struct Scope {
    pub(super) element: Value,
    pub(super) index: i64,
    pub(super) accumulator: Value,
}

pub(super) struct Machine<'a> {
    environment: &'a Json,
    pub(super) run: Run,
    locals: Vec<(&'a str, Value)>,
    pub(super) scopes: Vec<Scope>,
}

pub(super) fn eval(root: &Node, environment: &Json, context: Context<'_>) -> Result<Json, LangError> {
    let mut machine =
        Machine { environment, run: Run::new(LANGUAGE, context), locals: Vec::new(), scopes: Vec::new() };
    let value = match machine.eval(root) {
        Ok(value) => value,
        Err(Stop::Chain) => Value::Nil,
        Err(Stop::Error(error)) => return Err(error),
    };
    if value.weight(MAX_WEIGHT) >= MAX_WEIGHT {
        return Err(machine.run.limit("output"));
    }
    Ok(value.to_json())
}

/// What a path leads to in the environment.
enum Found<'a> {
    Value(&'a Json),
    /// The object is there, the member is not.
    Missing,
}

impl<'a> Machine<'a> {
    pub(super) fn eval(&mut self, node: &'a Node) -> Outcome {
        self.run.spend(4)?;
        let value = self.eval_kind(node)?;
        if value.depth() > MAX_DEPTH {
            return Err(self.run.limit("depth").into());
        }
        Ok(value)
    }

    fn eval_kind(&mut self, node: &'a Node) -> Outcome {
        match &node.kind {
            Kind::Literal(value) => Ok(value.clone()),
            Kind::Name(_) | Kind::Member { .. } => self.eval_path(node),
            Kind::Local(name) => Ok(self.local(name)),
            Kind::Pointer(pointer) => Ok(self.pointer(*pointer)),
            Kind::Slice { object, from, to } => {
                let object = self.eval(object)?;
                let from = self.eval_optional(from.as_deref())?;
                let to = self.eval_optional(to.as_deref())?;
                Ok(member::slice(&mut self.run, &object, from, to)?)
            }
            Kind::Chain(inner) => match self.eval(inner) {
                Err(Stop::Chain) => Ok(Value::Nil),
                other => other,
            },
            Kind::Unary(operator, operand) => {
                let operand = self.eval(operand)?;
                self.unary(*operator, &operand)
            }
            Kind::Binary(operator, left, right) => self.binary(*operator, left, right),
            Kind::Pattern(left, pattern) => {
                let left = self.eval(left)?;
                Ok(arithmetic::matches(&mut self.run, &left, pattern)?)
            }
            Kind::Conditional(condition, yes, no) => {
                let condition = self.eval(condition)?;
                let branch = if self.truth(&condition)? { yes } else { no };
                self.eval(branch)
            }
            Kind::Let(name, value, body) => {
                let value = self.eval(value)?;
                self.locals.push((name, value));
                let result = self.eval(body);
                self.locals.pop();
                result
            }
            Kind::Sequence(nodes) => Ok(self.eval_all(nodes)?.pop().unwrap_or(Value::Nil)),
            Kind::List(nodes) => Ok(Value::list(self.eval_all(nodes)?)),
            Kind::Map(pairs) => self.map(pairs),
            Kind::Builtin(function, nodes) => {
                let arguments = self.eval_all(nodes)?;
                Ok((function.call)(&mut self.run, &arguments)?)
            }
            Kind::Sprig(function, nodes) => {
                let arguments = self.eval_all(nodes)?;
                Ok(sprig::call_with_values(function, &mut self.run, &arguments)?)
            }
            Kind::Method { object, name, arguments, optional } => {
                self.method(object, name, arguments, *optional)
            }
            Kind::Loop { function, list, body, extra } => {
                self.eval_loop(*function, list, body.as_deref(), extra.as_deref())
            }
        }
    }

    fn method(&mut self, object: &'a Node, name: &str, arguments: &'a [Node], optional: bool) -> Outcome {
        let object = self.eval(object)?;
        if optional && matches!(object, Value::Nil) {
            return Err(Stop::Chain);
        }
        let arguments = self.eval_all(arguments)?;
        Ok(method::call(&mut self.run, &object, name, &arguments)?)
    }

    fn eval_all(&mut self, nodes: &'a [Node]) -> Result<Vec<Value>, Stop> {
        nodes.iter().map(|node| self.eval(node)).collect()
    }

    pub(super) fn eval_optional(&mut self, node: Option<&'a Node>) -> Result<Option<Value>, Stop> {
        node.map(|node| self.eval(node)).transpose()
    }

    fn local(&self, name: &str) -> Value {
        let found = self.locals.iter().rev().find(|(known, _)| *known == name);
        found.map_or(Value::Nil, |(_, value)| value.clone())
    }

    fn pointer(&self, pointer: Pointer) -> Value {
        match (self.scopes.last(), pointer) {
            (None, _) => Value::Nil,
            (Some(scope), Pointer::Element) => scope.element.clone(),
            (Some(scope), Pointer::Index) => Value::Int(scope.index),
            (Some(scope), Pointer::Accumulator) => scope.accumulator.clone(),
        }
    }

    /// Follows names and constant members in the environment, so that only what they lead to is converted.
    fn find(&self, node: &Node) -> Option<Found<'a>> {
        match &node.kind {
            Kind::Name(name) => Some(self.environment.get(name).map_or(Found::Missing, Found::Value)),
            Kind::Member { object, key, .. } => {
                let Kind::Literal(Value::Text(key)) = &key.kind else {
                    return None;
                };
                let Some(Found::Value(Json::Object(members))) = self.find(object) else {
                    return None;
                };
                Some(members.get(key.as_ref()).map_or(Found::Missing, Found::Value))
            }
            _ => None,
        }
    }

    fn eval_path(&mut self, node: &'a Node) -> Outcome {
        match self.find(node) {
            Some(Found::Missing) => return Ok(Value::Nil),
            Some(Found::Value(json)) => {
                let value = Value::from(json);
                self.run.pay_for(&value)?;
                return Ok(value);
            }
            None => {}
        }
        let Kind::Member { object, key, optional } = &node.kind else {
            return Ok(Value::Nil);
        };
        let object = self.eval(object)?;
        if *optional && matches!(object, Value::Nil) {
            return Err(Stop::Chain);
        }
        let key = self.eval(key)?;
        Ok(member::fetch(&mut self.run, &object, &key)?)
    }

    fn map(&mut self, pairs: &'a [(Node, Node)]) -> Outcome {
        let mut entries = BTreeMap::new();
        for (key, value) in pairs {
            let key = match self.eval(key)? {
                Value::Text(text) => text,
                other => {
                    let message = format!("the key of a map must be text, not {}", other.go_type());
                    return Err(self.run.fail(message).into());
                }
            };
            entries.insert(key, self.eval(value)?);
        }
        Ok(Value::map(entries))
    }

    pub(super) fn truth(&self, value: &Value) -> Result<bool, Stop> {
        match value {
            Value::Bool(bool) => Ok(*bool),
            other => {
                let message = format!("expected true or false, but found {}", other.go_type());
                Err(self.run.fail(message).into())
            }
        }
    }

    fn unary(&mut self, operator: Unary, operand: &Value) -> Outcome {
        Ok(match (operator, operand) {
            (Unary::Not, Value::Bool(bool)) => Value::Bool(!bool),
            (Unary::Negate, Value::Int(int)) => Value::Int(int.wrapping_neg()),
            (Unary::Negate, Value::Float(float)) => Value::Float(-float),
            (Unary::Negate, Value::Duration(nanos)) => Value::Duration(nanos.wrapping_neg()),
            (Unary::Plus, Value::Int(_) | Value::Float(_)) => operand.clone(),
            _ => {
                let symbol = match operator {
                    Unary::Not => "!",
                    Unary::Negate => "-",
                    Unary::Plus => "+",
                };
                let message = format!("invalid operation: {symbol} {}", operand.go_type());
                return Err(self.run.fail(message).into());
            }
        })
    }

    fn binary(&mut self, operator: Binary, left: &'a Arc<Node>, right: &'a Arc<Node>) -> Outcome {
        let left = self.eval(left)?;
        match operator {
            Binary::And | Binary::Or => {
                if self.truth(&left)? == (operator == Binary::Or) {
                    return Ok(left);
                }
                let right = self.eval(right)?;
                self.truth(&right)?;
                Ok(right)
            }
            Binary::Coalesce => match left {
                Value::Nil => self.eval(right),
                found => Ok(found),
            },
            _ => {
                let right = self.eval(right)?;
                Ok(arithmetic::apply(&mut self.run, operator, &left, &right)?)
            }
        }
    }
}
