//! Writes computed values into a trigger's template. Argo's rules: sjson destinations; append and prepend are
//! textual and give a text; on a missing target they are a plain set.

use serde_json::Value as Json;
use tiphys_core::{Operation, Value};
use tiphys_lang::{LangError, gjson, sjson};

/// Writes one value.
///
/// # Errors
/// Fails when the destination cannot be written.
pub(crate) fn apply(document: &mut Json, value: &Value) -> Result<(), LangError> {
    let parsed = serde_json::from_str(&value.value).unwrap_or(Json::Null);
    let next = match value.operation {
        Operation::Overwrite => parsed,
        Operation::Append | Operation::Prepend => joined(document, value, parsed),
    };
    sjson::set(document, &value.dest, next)
}

fn joined(document: &Json, value: &Value, parsed: Json) -> Json {
    let text = document.to_string();
    let Some(there) = gjson::get(&text, &value.dest) else {
        return parsed;
    };
    let (there, added) = (
        there.text(),
        match parsed {
            Json::String(text) => text,
            other => other.to_string(),
        },
    );
    Json::String(if value.operation == Operation::Prepend { added + &there } else { there + &added })
}
