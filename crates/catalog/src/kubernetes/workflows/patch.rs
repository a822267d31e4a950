//! The merge patch (RFC 7386) that leads from one document to another: only what differs is sent.

use serde_json::{Map, Value};

/// What differs; `None` where nothing does.
pub(super) fn between(from: &Value, to: &Value) -> Option<Value> {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) => {
            let mut patch = Map::new();
            for name in from.keys().filter(|name| !to.contains_key(*name)) {
                patch.insert(name.clone(), Value::Null);
            }
            for (name, value) in to {
                // In a merge patch null means that nothing is there.
                let before = from.get(name).unwrap_or(&Value::Null);
                if let Some(value) = between(before, value) {
                    patch.insert(name.clone(), value);
                }
            }
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        (from, to) if from == to => None,
        (_, to) => Some(without_null(to)),
    }
}

/// A value as it is written where nothing was before.
pub(super) fn without_null(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(members.map(|(name, value)| (name.clone(), without_null(value))).collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs() {
        let before =
            json!({"phase": "Running", "nodes": {"a": {"phase": "Running", "x": 1}, "b": {"y": [1]}}});
        let after = json!({"phase": "Running", "message": null, "nodes": {"a": {"phase": "Succeeded", "x": 1}, "c": {"z": null}}});
        let patch = json!({"nodes": {"b": null, "a": {"phase": "Succeeded"}, "c": {}}});
        assert_eq!(between(&before, &after), Some(patch));
        assert_eq!(between(&before, &before), None);
        assert_eq!(between(&Value::Null, &json!({"a": null})), Some(json!({})));
        assert_eq!(between(&json!({"a": null}), &json!({})), Some(json!({"a": null})));
        assert_eq!(between(&json!([1]), &json!([1, 2])), Some(json!([1, 2])));
    }
}
