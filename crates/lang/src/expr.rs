//! The expr-lang dialect: `{{=…}}` tags, event source filters, `depends`.

mod arithmetic;
mod builtin;
mod eval;
mod lexer;
mod loops;
mod member;
mod method;
mod node;
mod parser;
mod path;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use crate::LangError;
use crate::template::Context;

const LANGUAGE: &str = "expr";

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {
    root: Arc<node::Node>,
    variables: Vec<String>,
    /// The variables' first names, and where they stand.
    names: Vec<(String, usize)>,
}

fn syntax(message: impl Into<String>, offset: usize) -> LangError {
    LangError::Syntax { language: LANGUAGE, message: message.into(), offset }
}

impl Program {
    /// Compiles.
    ///
    /// # Errors
    /// Fails when the text is not of the language, or calls a function that there is not.
    pub fn compile(text: &str) -> Result<Self, LangError> {
        let root = parser::parse(lexer::tokens(text)?)?;
        let mut variables = Vec::new();
        let mut names = Vec::new();
        collect(&root, &mut variables, &mut names);
        Ok(Self { root: Arc::new(root), variables, names })
    }

    /// The variables that it names, as dotted paths as far as they are constant.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        self.variables.clone()
    }

    /// Evaluates with the members of `environment` (an object) as variables.
    ///
    /// Whole numbers come out without a fraction, moments as RFC 3339 text, durations in nanoseconds.
    ///
    /// # Errors
    /// Fails on unknown names, on operands that do not fit, and when a limit is reached.
    pub fn eval(&self, environment: &Value, context: Context<'_>) -> Result<Value, LangError> {
        for (name, offset) in &self.names {
            if environment.get(name).is_none() {
                return Err(LangError::Eval {
                    language: LANGUAGE,
                    message: format!("unknown name {name} (character {offset})"),
                });
            }
        }
        eval::eval(&self.root, environment, context)
    }

    /// Evaluates to truth or falsehood, as a filter or a `depends` wants it.
    ///
    /// # Errors
    /// Fails as [`Self::eval`], and when the result is something else.
    pub fn holds(&self, environment: &Value, context: Context<'_>) -> Result<bool, LangError> {
        match self.eval(environment, context)? {
            Value::Bool(bool) => Ok(bool),
            other => {
                let mut shown = other.to_string();
                if let Some((end, _)) = shown.char_indices().nth(80) {
                    shown.truncate(end);
                    shown.push('…');
                }
                Err(LangError::Eval {
                    language: LANGUAGE,
                    message: format!("the result must be true or false, but is {shown}"),
                })
            }
        }
    }
}

fn collect(node: &node::Node, variables: &mut Vec<String>, names: &mut Vec<(String, usize)>) {
    if let node::Kind::Name(name) = &node.kind
        && !names.iter().any(|(known, _)| known == name)
    {
        names.push((name.clone(), node.offset));
    }
    let path = node.path();
    if let Some(path) = &path
        && !variables.contains(path)
    {
        variables.push(path.clone());
    }
    for child in node.children() {
        // The beginning of a path is part of it.
        let part = path.is_some() && child.path().is_some();
        let mut unused = Vec::new();
        collect(child, if part { &mut unused } else { variables }, names);
    }
}
