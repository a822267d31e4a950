//! The arguments of a call, read as the types that a function wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use gotmpl::Value;

use super::convert;
use super::run::{MAX_DEPTH, Run};
use crate::LangError;
use crate::value::number::truncate;

pub(super) type Entries = BTreeMap<Arc<str>, Value>;

/// The arguments of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arguments<'a> {
    pub(super) name: &'static str,
    pub(super) values: &'a [Value],
}

impl<'a> Arguments<'a> {
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// The argument, nil where there is none.
    pub(super) fn any(&self, at: usize) -> &'a Value {
        self.values.get(at).unwrap_or(&Value::Nil)
    }

    pub(super) fn last(&self) -> &'a Value {
        self.values.last().unwrap_or(&Value::Nil)
    }

    pub(super) fn wrong(&self, run: &Run, at: usize, wanted: &str) -> LangError {
        let found = convert::type_name(self.any(at));
        let (name, place) = (self.name, at + 1);
        run.fail(format!("{name}: wrong type for argument {place}; expected {wanted}; got {found}"))
    }

    pub(super) fn text(&self, run: &Run, at: usize) -> Result<&'a str, LangError> {
        match self.any(at) {
            Value::String(text) => Ok(text),
            _ => Err(self.wrong(run, at, "string")),
        }
    }

    /// A whole number; here a float that is whole passes too.
    pub(super) fn int(&self, run: &Run, at: usize) -> Result<i64, LangError> {
        match self.any(at) {
            Value::Int(int) => Ok(*int),
            Value::Uint(int) => Ok(i64::try_from(*int).unwrap_or(i64::MAX)),
            Value::Float(float) if float.fract() == 0.0 => Ok(truncate(*float)),
            _ => Err(self.wrong(run, at, "int")),
        }
    }

    pub(super) fn boolean(&self, run: &Run, at: usize) -> Result<bool, LangError> {
        match self.any(at) {
            Value::Bool(bool) => Ok(*bool),
            _ => Err(self.wrong(run, at, "bool")),
        }
    }

    pub(super) fn list(&self, run: &mut Run, at: usize) -> Result<&'a [Value], LangError> {
        match self.any(at) {
            Value::List(items) => {
                run.spend(items.len() as u64)?;
                Ok(items)
            }
            _ => Err(self.wrong(run, at, "list")),
        }
    }

    pub(super) fn map(&self, run: &mut Run, at: usize) -> Result<&'a Entries, LangError> {
        match self.any(at) {
            Value::Map(entries) => {
                run.spend(entries.len() as u64)?;
                Ok(entries)
            }
            _ => Err(self.wrong(run, at, "map")),
        }
    }

    /// Any value as sprig turns it into text.
    pub(super) fn shown(&self, run: &mut Run, at: usize) -> Result<String, LangError> {
        run.shown(self.any(at))
    }
}

impl Run {
    /// Allows for a value, all it holds counted; refuses one that nests too deep.
    pub(crate) fn admit(&mut self, value: &Value) -> Result<(), LangError> {
        self.measure(value, 1)
    }

    fn measure(&mut self, value: &Value, depth: usize) -> Result<(), LangError> {
        if depth > MAX_DEPTH {
            return Err(self.limit("depth"));
        }
        self.spend(1)?;
        match value {
            Value::String(text) => self.spend(text.len() as u64 / 32)?,
            Value::List(items) => {
                for item in items.iter() {
                    self.measure(item, depth + 1)?;
                }
            }
            Value::Map(entries) => {
                for (key, item) in entries.iter() {
                    self.spend(key.len() as u64 / 32)?;
                    self.measure(item, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A value's text, bounded.
    pub(crate) fn shown(&mut self, value: &Value) -> Result<String, LangError> {
        if let Value::String(text) = value {
            self.allow(text.len())?;
            return Ok(text.to_string());
        }
        self.admit(value)?;
        let text = convert::from_template(value).go_text();
        self.allow(text.len())?;
        Ok(text)
    }
}

pub(super) fn text(text: impl Into<Arc<str>>) -> Value {
    Value::String(text.into())
}

pub(super) fn list(items: Vec<Value>) -> Value {
    Value::List(items.into())
}
