//! The govaluate dialect: sensor `exprs` and workflow `when`.

mod eval;
mod lexer;
mod parser;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::LangError;

const LANGUAGE: &str = "govaluate";

/// A value of the dialect.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Every number is a float.
    Number(f64),
    /// Text.
    Text(String),
    /// Truth.
    Bool(bool),
    /// A moment, in seconds since 1970. Operators take it for a number; string literals that look like
    /// dates become such numbers when the text is compiled.
    Time(f64),
    /// A list, from `(1, 2)` or from a JSON array.
    List(Vec<Value>),
    /// Null, or a JSON object, which no operator takes.
    Null,
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null | Json::Object(_) => Self::Null,
            Json::Bool(bool) => Self::Bool(*bool),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::Text(text.clone()),
            Json::Array(items) => Self::List(items.iter().map(Self::from).collect()),
        }
    }
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {
    /// None for an empty text, which evaluates to null.
    root: Option<Arc<parser::Node>>,
    variables: Vec<String>,
}

impl Program {
    /// Compiles.
    ///
    /// # Errors
    /// Fails when the text is not of the dialect.
    pub fn compile(text: &str) -> Result<Self, LangError> {
        Self::build(text, parser::Words::Variables)
    }

    /// Compiles a workflow's `when`, in which bare words are strings: `heads == heads`.
    ///
    /// # Errors
    /// Fails when the text is not of the dialect; the message says that quotes may help.
    pub fn compile_when(text: &str) -> Result<Self, LangError> {
        Self::build(text, parser::Words::Strings).map_err(|error| match error {
            LangError::Syntax { language, message, offset } => LangError::Syntax {
                language,
                message: format!("{message} (hint: put text that is more than one word in quotes)"),
                offset,
            },
            other => other,
        })
    }

    fn build(text: &str, words: parser::Words) -> Result<Self, LangError> {
        let tokens = lexer::tokens(text)?;
        let parsed = parser::parse(tokens, text.chars().count(), words)?;
        Ok(Self { root: parsed.root.map(Arc::new), variables: parsed.variables })
    }

    /// The variables that it names, in order of first mention.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        self.variables.clone()
    }

    /// Evaluates.
    ///
    /// # Errors
    /// Fails on unknown variables and on operands that do not fit.
    pub fn eval(&self, variables: &BTreeMap<String, Value>) -> Result<Value, LangError> {
        match &self.root {
            Some(root) => eval::eval(root, variables),
            None => Ok(Value::Null),
        }
    }

    /// Evaluates to truth or falsehood, as a filter and a `when` want it.
    ///
    /// # Errors
    /// Fails as [`Self::eval`], and when the result is something else.
    pub fn holds(&self, variables: &BTreeMap<String, Value>) -> Result<bool, LangError> {
        match self.eval(variables)? {
            Value::Bool(bool) => Ok(bool),
            other => {
                Err(eval::failed(format!("the result must be true or false, but is {}", eval::shown(&other))))
            }
        }
    }
}
