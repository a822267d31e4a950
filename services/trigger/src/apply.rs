//! Applying computed values to a resource or a payload. Argo's rules: sjson destinations; append and prepend
//! are textual and give a string; on a missing target they are a plain set.

use serde_json::Value as Json;
use tiphys_core::{Operation, Value};
use tiphys_lang::sjson::{self, Side};

use crate::error::Error;

/// Applies the values in order.
///
/// # Errors
/// Names the destination that cannot be written.
pub(crate) fn apply(document: &mut Json, values: &[Value]) -> Result<(), Error> {
    for value in values {
        let parsed = parse(value)?;
        let written = match value.operation {
            Operation::Overwrite => sjson::set(document, &value.dest, parsed),
            Operation::Append => sjson::join(document, &value.dest, parsed, Side::After),
            Operation::Prepend => sjson::join(document, &value.dest, parsed, Side::Before),
        };
        written.map_err(|error| Error::Parameter { dest: value.dest.clone(), reason: error.to_string() })?;
    }
    Ok(())
}

/// The body that payload values make: built from nothing, or the raw value where a destination is empty.
///
/// # Errors
/// Names the destination that cannot be written.
pub(crate) fn payload(values: &[Value]) -> Result<Option<Vec<u8>>, Error> {
    if values.is_empty() {
        return Ok(None);
    }
    let mut document = Json::Null;
    for value in values {
        if value.dest.is_empty() {
            // The value is the whole body, and what follows is ignored, as in Argo.
            let body = match parse(value)? {
                Json::String(text) => text,
                other => other.to_string(),
            };
            return Ok(Some(body.into_bytes()));
        }
        apply(&mut document, std::slice::from_ref(value))?;
    }
    Ok(Some(document.to_string().into_bytes()))
}

fn parse(value: &Value) -> Result<Json, Error> {
    serde_json::from_str(&value.value).map_err(|error| Error::Parameter {
        dest: value.dest.clone(),
        reason: format!("the computed value is no JSON: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(dest: &str, operation: Operation, value: &str) -> Value {
        Value { dest: dest.into(), operation, value: value.into() }
    }

    #[test]
    fn rules_of_the_three_operations() {
        let mut document = json!({"metadata": {"name": "a-"}, "n": 5});
        let values = [
            value("metadata.name", Operation::Append, "\"b\""),
            value("metadata.name", Operation::Prepend, "\"x-\""),
            value("n", Operation::Append, "6"),
            value("new.0.deep", Operation::Append, "\"plain\""),
            value("id", Operation::Overwrite, "1795348800123456789"),
        ];
        apply(&mut document, &values).unwrap();
        assert_eq!(document["metadata"]["name"], "x-a-b");
        assert_eq!(document["n"], "56");
        assert_eq!(document["id"].to_string(), "1795348800123456789");
    }

    #[test]
    fn an_empty_destination_is_the_whole_body() {
        let values = [value("", Operation::Overwrite, "{\"a\":1}"), value("x", Operation::Overwrite, "2")];
        assert_eq!(payload(&values).unwrap().unwrap(), b"{\"a\":1}");
        let values = [value("a.b", Operation::Overwrite, "\"q\\\"\"")];
        assert_eq!(payload(&values).unwrap().unwrap(), br#"{"a":{"b":"q\""}}"#);
        assert_eq!(payload(&[]).unwrap(), None);
    }
}
