//! Go templates with the sprig functions.

use serde_json::Value;
use tiphys_time::Timestamp;

use crate::LangError;

mod tiphys_time {
    pub(crate) use jiff::Timestamp;
}

/// What a program may know besides its input; makes `now` and random functions repeatable.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What `now` gives.
    pub now: Timestamp,
    /// Seed of the random functions (an event id).
    pub seed: &'a str,
}

/// A compiled template.
#[derive(Debug, Clone)]
pub struct Template {}

impl Template {
    /// Compiles a template text.
    ///
    /// # Errors
    /// Fails when the text is no template, or names an unknown function.
    pub fn compile(text: &str) -> Result<Self, LangError> {
        let _ = text;
        Err(LangError::Eval {
            language: "template",
            message: "not ready".into(),
        })
    }

    /// Renders with `data` as the dot. Argo's callers pass `{"Input": …}`.
    ///
    /// # Errors
    /// Fails when a function fails or a limit is reached.
    pub fn render(&self, data: &Value, context: Context<'_>) -> Result<String, LangError> {
        let _ = (data, context);
        Err(LangError::Eval {
            language: "template",
            message: "not ready".into(),
        })
    }
}
