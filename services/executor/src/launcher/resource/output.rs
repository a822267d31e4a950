//! Output parameters of resource templates.

use std::collections::BTreeMap;

use serde_json::Value;
use tiphys_lang::{jq, json_path};

use super::{Reading, ResourceOutput};

/// Reads all from an object; without one their defaults are what they are.
///
/// # Errors
/// Names the parameter that cannot be read.
pub(super) fn read(
    outputs: &[ResourceOutput],
    object: Option<&Value>,
) -> Result<BTreeMap<String, String>, String> {
    let Some(object) = object else {
        let without =
            |output: &ResourceOutput| (output.name.clone(), output.default.clone().unwrap_or_default());
        return Ok(outputs.iter().map(without).collect());
    };
    let text =
        outputs.iter().any(|output| matches!(output.from, Reading::JqFilter(_))).then(|| object.to_string());
    let mut values = BTreeMap::new();
    for output in outputs {
        let value = match &output.from {
            Reading::JsonPath(template) => json_path::render(template, object),
            Reading::JqFilter(filter) => jq::run(filter, text.as_deref().unwrap_or_default()),
        };
        let value = value.map_err(|error| format!("output parameter '{}': {error}", output.name))?;
        values.insert(output.name.clone(), value);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_and_defaults() {
        let output =
            |name: &str, from| ResourceOutput { name: name.into(), from, default: Some("none".into()) };
        let outputs = [
            output("path", Reading::JsonPath("{.metadata.name}".into())),
            output("jq", Reading::JqFilter(".metadata".into())),
        ];
        let object = json!({"metadata": {"name": "web"}});
        let values = read(&outputs, Some(&object)).unwrap();
        assert_eq!((values["path"].as_str(), values["jq"].as_str()), ("web", r#"{"name":"web"}"#));
        let values = read(&outputs, None).unwrap();
        assert_eq!((values["path"].as_str(), values["jq"].as_str()), ("none", "none"));
        let wrong = [output("x", Reading::JqFilter(".a |".into()))];
        assert!(read(&wrong, Some(&object)).unwrap_err().contains("'x'"));
    }
}
