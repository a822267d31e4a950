//! Writes computed values into a trigger's template. Argo's rules: sjson destinations; append and prepend are
//! textual and give a text; on a missing target they are a plain set.

use serde_json::Value as Json;
use tiphys_core::{Operation, Value};
use tiphys_lang::LangError;
use tiphys_lang::sjson::{self, Side};

/// Writes one value.
///
/// # Errors
/// Fails when the destination cannot be written.
pub(crate) fn apply(document: &mut Json, value: &Value) -> Result<(), LangError> {
    let parsed = serde_json::from_str(&value.value).unwrap_or(Json::Null);
    match value.operation {
        Operation::Overwrite => sjson::set(document, &value.dest, parsed),
        Operation::Append => sjson::join(document, &value.dest, parsed, Side::After),
        Operation::Prepend => sjson::join(document, &value.dest, parsed, Side::Before),
    }
}
