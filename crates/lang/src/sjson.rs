//! sjson paths: writes into a JSON value.

use serde_json::Value;

use crate::LangError;

/// Sets `path` to `value`; missing parents are made, `-1` appends, a `:` before a number forces a key.
///
/// # Errors
/// Fails on an empty path, or one with a query or wildcard.
pub fn set(document: &mut Value, path: &str, value: Value) -> Result<(), LangError> {
    let _ = (document, path, value);
    Err(LangError::Eval {
        language: "sjson",
        message: "not ready".into(),
    })
}
