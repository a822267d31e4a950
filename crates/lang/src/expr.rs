//! The expr-lang dialect: `{{=…}}` tags, event source filters, `depends`.

use serde_json::Value;

use crate::LangError;
use crate::template::Context;

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Program {}

impl Program {
    /// Compiles.
    ///
    /// # Errors
    /// Fails when the text is not of the language.
    pub fn compile(text: &str) -> Result<Self, LangError> {
        let _ = text;
        Err(LangError::Eval {
            language: "expr",
            message: "not ready".into(),
        })
    }

    /// The variables that it names, as dotted paths as far as they are constant.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        Vec::new()
    }

    /// Evaluates with the members of `environment` (an object) as variables.
    ///
    /// # Errors
    /// Fails on unknown names, on operands that do not fit, and when a limit is reached.
    pub fn eval(&self, environment: &Value, context: Context<'_>) -> Result<Value, LangError> {
        let _ = (environment, context);
        Err(LangError::Eval {
            language: "expr",
            message: "not ready".into(),
        })
    }
}
