//! Functions that run a closure for each element of a list.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::arithmetic;
use super::eval::{Machine, Outcome, Scope, Stop};
use super::node::{Binary, Loop, Node};
use crate::value::Value;

impl<'a> Machine<'a> {
    pub(super) fn eval_loop(
        &mut self,
        function: Loop,
        list: &'a Node,
        body: Option<&'a Node>,
        extra: Option<&'a Node>,
    ) -> Outcome {
        let items = match self.eval(list)? {
            Value::List(list) => list,
            other => {
                let message = format!("cannot run over {}", other.go_type());
                return Err(self.run.fail(message).into());
            }
        };
        let items = items.items.as_slice();
        match function {
            Loop::All => self.holds_for(items, body, false).map(|found| Value::Bool(found.is_none())),
            Loop::Any => self.holds_for(items, body, true).map(|found| Value::Bool(found.is_some())),
            Loop::None => self.holds_for(items, body, true).map(|found| Value::Bool(found.is_none())),
            Loop::One => Ok(Value::Bool(self.kept(items, body)?.len() == 1)),
            Loop::Filter => Ok(Value::list(self.kept(items, body)?)),
            Loop::Count => {
                let count = self.kept(items, body)?.len();
                Ok(Value::Int(i64::try_from(count).unwrap_or(i64::MAX)))
            }
            Loop::Map => Ok(Value::list(self.mapped(items, body)?)),
            Loop::Sum => {
                let mut sum = Value::Int(0);
                for value in self.mapped(items, body)? {
                    sum = arithmetic::apply(&mut self.run, Binary::Add, &sum, &value)?;
                }
                Ok(sum)
            }
            Loop::Find | Loop::FindIndex => {
                let found = self.holds_for(items, body, true)?;
                Ok(found_value(items, found, function == Loop::FindIndex))
            }
            Loop::FindLast | Loop::FindLastIndex => {
                let found = self.last_for(items, body)?;
                Ok(found_value(items, found, function == Loop::FindLastIndex))
            }
            Loop::GroupBy => self.grouped(items, body),
            Loop::SortBy => self.sorted(items, body, extra),
            Loop::Reduce => self.reduced(items, body, extra),
        }
    }

    /// Runs the closure; without one the element itself counts.
    fn run_closure(&mut self, body: Option<&'a Node>, scope: Scope) -> Outcome {
        let Some(body) = body else {
            return Ok(scope.element);
        };
        self.scopes.push(scope);
        let result = self.eval(body);
        self.scopes.pop();
        result
    }

    fn each(&mut self, body: Option<&'a Node>, item: &Value, index: usize) -> Outcome {
        let scope = Scope {
            element: item.clone(),
            index: i64::try_from(index).unwrap_or(i64::MAX),
            accumulator: Value::Nil,
        };
        self.run.spend(4)?;
        self.run_closure(body, scope)
    }

    /// Where the closure first gives what is wanted.
    fn holds_for(
        &mut self,
        items: &[Value],
        body: Option<&'a Node>,
        wanted: bool,
    ) -> Result<Option<usize>, Stop> {
        for (index, item) in items.iter().enumerate() {
            let value = self.each(body, item, index)?;
            if self.truth(&value)? == wanted {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn last_for(&mut self, items: &[Value], body: Option<&'a Node>) -> Result<Option<usize>, Stop> {
        for (index, item) in items.iter().enumerate().rev() {
            let value = self.each(body, item, index)?;
            if self.truth(&value)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    fn kept(&mut self, items: &[Value], body: Option<&'a Node>) -> Result<Vec<Value>, Stop> {
        let mut kept = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let value = self.each(body, item, index)?;
            if self.truth(&value)? {
                kept.push(item.clone());
            }
        }
        Ok(kept)
    }

    fn mapped(&mut self, items: &[Value], body: Option<&'a Node>) -> Result<Vec<Value>, Stop> {
        let mut mapped = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            mapped.push(self.each(body, item, index)?);
        }
        Ok(mapped)
    }

    fn grouped(&mut self, items: &[Value], body: Option<&'a Node>) -> Outcome {
        let mut groups: BTreeMap<Arc<str>, Vec<Value>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            let key = match self.each(body, item, index)? {
                Value::Text(text) => text,
                Value::List(_) | Value::Map(_) => {
                    return Err(self.run.fail("groupBy takes simple values as keys").into());
                }
                other => other.go_text().into(),
            };
            groups.entry(key).or_default().push(item.clone());
        }
        let groups = groups.into_iter().map(|(key, items)| (key, Value::list(items)));
        Ok(Value::map(groups.collect()))
    }

    fn sorted(&mut self, items: &[Value], body: Option<&'a Node>, order: Option<&'a Node>) -> Outcome {
        let keys = self.mapped(items, body)?;
        let order = self.eval_optional(order)?;
        let descending = super::builtin::descending(&mut self.run, order.as_ref())?;
        let sorted = super::builtin::sort_by_keys(&mut self.run, keys, items.to_vec(), descending)?;
        Ok(Value::list(sorted))
    }

    fn reduced(&mut self, items: &[Value], body: Option<&'a Node>, initial: Option<&'a Node>) -> Outcome {
        let mut rest = items.iter().enumerate();
        let mut accumulator = match self.eval_optional(initial)? {
            Some(value) => value,
            None => match rest.next() {
                Some((_, first)) => first.clone(),
                None => {
                    let message = "reduce of an empty list needs an initial value";
                    return Err(self.run.fail(message).into());
                }
            },
        };
        for (index, item) in rest {
            let scope =
                Scope { element: item.clone(), index: i64::try_from(index).unwrap_or(i64::MAX), accumulator };
            accumulator = self.run_closure(body, scope)?;
        }
        Ok(accumulator)
    }
}

fn found_value(items: &[Value], found: Option<usize>, index: bool) -> Value {
    match (found, index) {
        (Some(found), true) => i64::try_from(found).map_or(Value::Nil, Value::Int),
        (Some(found), false) => items.get(found).cloned().unwrap_or(Value::Nil),
        (None, true) => Value::Int(-1),
        (None, false) => Value::Nil,
    }
}
