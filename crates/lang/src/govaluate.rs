//! The govaluate dialect: sensor `exprs` and workflow `when`.

use std::collections::BTreeMap;

use crate::LangError;

/// A value of the dialect.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Every number is a float.
    Number(f64),
    /// Text.
    Text(String),
    /// Truth.
    Bool(bool),
    /// A moment, in seconds since 1970: string literals that look like dates.
    Time(f64),
    /// A list, from `(1, 2)` or from a JSON array.
    List(Vec<Value>),
    /// Null, or a JSON object, which no operator takes.
    Null,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {}

impl Program {
    /// Compiles.
    ///
    /// # Errors
    /// Fails when the text is not of the dialect.
    pub fn compile(text: &str) -> Result<Self, LangError> {
        let _ = text;
        Err(LangError::Eval {
            language: "govaluate",
            message: "not ready".into(),
        })
    }

    /// The variables that it names.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        Vec::new()
    }

    /// Evaluates.
    ///
    /// # Errors
    /// Fails on unknown variables and on operands that do not fit.
    pub fn eval(&self, variables: &BTreeMap<String, Value>) -> Result<Value, LangError> {
        let _ = variables;
        Err(LangError::Eval {
            language: "govaluate",
            message: "not ready".into(),
        })
    }
}
