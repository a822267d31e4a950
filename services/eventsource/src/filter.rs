//! `filter.expression`: which payloads become events.

use bytes::Bytes;
use serde_json::Value;
use tiphys_lang::expr::Program;
use tiphys_lang::template::Context;
use tiphys_manifest::event_source::Filter as Spec;

use crate::error::Error;

/// A compiled filter.
#[derive(Debug, Clone)]
pub(crate) struct Filter(Program);

impl Filter {
    /// Compiles the filter of an event, if it has one.
    pub(crate) fn compile(spec: Option<&Spec>) -> Result<Option<Self>, Error> {
        let Some(spec) = spec.filter(|spec| !spec.expression.trim().is_empty()) else {
            return Ok(None);
        };
        let program = Program::compile(&spec.expression).map_err(|wrong| {
            Error::config(
                format!("the filter does not compile: {wrong}"),
                "correct `filter.expression`; until then no event is taken, so that none is lost",
            )
        })?;
        Ok(Some(Self(program)))
    }

    /// Whether the expression holds for the payload. The members of the payload are its variables.
    ///
    /// # Errors
    /// In words, where it gives no truth value: the event is then not stored, as in Argo.
    pub(crate) fn holds(&self, payload: &Bytes, context: Context<'_>) -> Result<bool, String> {
        let payload: Value = serde_json::from_slice(payload).map_err(|wrong| wrong.to_string())?;
        match self.0.eval(&payload, context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(format!("it gave `{other}`, which is neither true nor false")),
            Err(wrong) => Err(wrong.to_string()),
        }
    }
}
