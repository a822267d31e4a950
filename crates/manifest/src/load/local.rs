//! ConfigMap and Secret. A Secret's values go from the text to `SecretString`, and into no message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde_json::Value;

use super::path::Path;
use super::places::Places;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::local::{ConfigMap, Secret};

/// Reads `data`; numbers and the like are refused, as Kubernetes does.
pub(super) fn config_map(
    document: &Value,
    places: &Places,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<ConfigMap> {
    let data = match document.get("data") {
        None | Some(Value::Null) => BTreeMap::new(),
        Some(data) => super::typed::read(data, &Path::root().key("data"), places, diagnostics)?,
    };
    Some(ConfigMap { data })
}

/// Reads `data` (base64) and `stringData` (which wins).
pub(super) fn secret(document: &Value, places: &Places, diagnostics: &mut Vec<Diagnostic>) -> Option<Secret> {
    let mut data = BTreeMap::new();
    let before = diagnostics.len();
    for (field, encoded) in [("data", true), ("stringData", false)] {
        let path = Path::root().key(field);
        let entries = match document.get(field) {
            None | Some(Value::Null) => continue,
            Some(Value::Object(entries)) => entries,
            Some(_) => {
                diagnostics.push(places.at_value(
                    codes::WRONG_TYPE,
                    &path,
                    format!("`{field}` takes a mapping"),
                    "write `key: value` lines below it, indented".into(),
                ));
                continue;
            }
        };
        for (name, value) in entries {
            match read(value, encoded) {
                Ok(value) => {
                    data.insert(name.clone(), value);
                }
                Err((message, help)) => diagnostics.push(places.at_value(
                    codes::SECRET_DATA,
                    &path.key(name.clone()),
                    format!("`{name}` {message}"),
                    help.into(),
                )),
            }
        }
    }
    (diagnostics.len() == before).then_some(Secret { data })
}

fn read(value: &Value, encoded: bool) -> Result<SecretString, (&'static str, &'static str)> {
    let text = match value {
        Value::Null => "",
        Value::String(text) => text.as_str(),
        _ => return Err(("is not text", "put the value in quotes")),
    };
    if !encoded {
        return Ok(text.into());
    }
    let compact: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes =
        STANDARD.decode(compact).map_err(|_| ("is not base64", "encode it, or move it to `stringData`"))?;
    let text = String::from_utf8(bytes).map_err(|_| {
        ("is base64 of bytes that are not UTF-8 text", "binary secrets are not supported; store a text form")
    })?;
    Ok(text.into())
}
