//! Trigger conditions: dependency names with `&&`, `||` and brackets.

use std::collections::BTreeSet;

use crate::LangError;

/// A compiled condition.
#[derive(Debug, Clone)]
pub struct Condition {}

impl Condition {
    /// Compiles against the Sensor's dependency names; an empty text means all of them.
    ///
    /// # Errors
    /// Fails when the text is no condition, or names an unknown dependency (the message names a near one).
    pub fn compile(text: &str, dependencies: &[&str]) -> Result<Self, LangError> {
        let _ = (text, dependencies);
        Err(LangError::Eval {
            language: "condition",
            message: "not ready".into(),
        })
    }

    /// The dependencies it names, by their names in the Sensor, in order of first mention.
    #[must_use]
    pub fn dependencies(&self) -> &[String] {
        &[]
    }

    /// Whether it needs more than one event at a time (an `&&` stands in it).
    #[must_use]
    pub fn needs_state(&self) -> bool {
        false
    }

    /// Whether it holds when these dependencies have an event.
    #[must_use]
    pub fn holds(&self, present: &BTreeSet<&str>) -> bool {
        let _ = present;
        false
    }
}
