//! Merging of specs: a workflow over its template, a template over its defaults.

use serde_json::{Map, Value};

/// Lists whose elements are told apart by a member, and the member.
const KEYED: [(&str, &str); 9] = [
    ("templates", "name"),
    ("parameters", "name"),
    ("artifacts", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("hostAliases", "ip"),
    ("tolerations", "key"),
    ("volumeMounts", "mountPath"),
];

/// The members that make a template what it is; a default for another kind is no default.
const KINDS: [&str; 10] =
    ["container", "script", "steps", "dag", "suspend", "containerSet", "resource", "http", "plugin", "data"];

/// `over` laid on `base`: objects member by member, keyed lists element by element, all else replaced.
#[must_use]
pub fn merge(base: &Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            let mut merged = base.clone();
            for (key, value) in over {
                let next = match (merged.get(key), keyed(key)) {
                    (Some(Value::Array(old)), Some(by)) if value.is_array() => {
                        lists(old, value.as_array().map_or(&[][..], Vec::as_slice), by)
                    }
                    (Some(old), _) => merge(old, value),
                    (None, _) => value.clone(),
                };
                merged.insert(key.clone(), next);
            }
            Value::Object(merged)
        }
        (base, Value::Null) => base.clone(),
        (_, over) => over.clone(),
    }
}

fn keyed(key: &str) -> Option<&'static str> {
    KEYED.iter().find(|(list, _)| *list == key).map(|(_, by)| *by)
}

fn lists(base: &[Value], over: &[Value], by: &str) -> Value {
    let mut merged = base.to_vec();
    for element in over {
        let key = element.get(by).filter(|key| !key.is_null());
        let place = key.and_then(|key| merged.iter().position(|old| old.get(by) == Some(key)));
        match place.and_then(|at| merged.get_mut(at)) {
            Some(old) => *old = merge(old, element),
            None => merged.push(element.clone()),
        }
    }
    Value::Array(merged)
}

/// A template laid on `templateDefaults`. A default container says nothing about a template of another kind.
#[must_use]
pub fn over_defaults(defaults: &Value, template: &Value) -> Value {
    let Value::Object(defaults) = defaults else {
        return template.clone();
    };
    let kept: Map<String, Value> = defaults
        .iter()
        .filter(|(key, _)| !KINDS.contains(&key.as_str()) || template.get(key).is_some())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    merge(&Value::Object(kept), template)
}

/// A workflow's spec laid on the spec of the WorkflowTemplate that it refers to. A parameter that the workflow
/// gives replaces the template's wholly; `suspend` is the workflow's alone.
#[must_use]
pub fn over_template(template: &Value, workflow: &Value) -> Value {
    let mut base = template.clone();
    if let Some(base) = base.as_object_mut() {
        base.remove("suspend");
    }
    if let Some(given) = workflow.pointer("/arguments/parameters").and_then(Value::as_array) {
        let names: Vec<&Value> = given.iter().filter_map(|p| p.get("name")).collect();
        let old = base.pointer_mut("/arguments/parameters").and_then(Value::as_array_mut);
        for parameter in old.into_iter().flatten() {
            let named = parameter.get("name").is_some_and(|name| names.contains(&name));
            if let Some(parameter) = parameter.as_object_mut().filter(|_| named) {
                parameter.remove("value");
                parameter.remove("valueFrom");
            }
        }
    }
    merge(&base, workflow)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn arguments_merge_by_name() {
        let template = json!({"suspend": true, "arguments": {"parameters": [
            {"name": "a", "valueFrom": {"configMapKeyRef": {}}}, {"name": "b", "value": "2"}]}});
        let workflow = json!({"arguments": {"parameters": [{"name": "a", "value": "1"}]}});
        let merged = over_template(&template, &workflow);
        let expected = json!({"arguments": {"parameters": [
            {"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}});
        assert_eq!(merged, expected);
    }

    #[test]
    fn a_default_container_does_not_turn_steps_into_a_container() {
        let defaults = json!({"timeout": "30s", "container": {"image": "x"}});
        let steps = over_defaults(&defaults, &json!({"name": "s", "steps": []}));
        assert_eq!(steps, json!({"timeout": "30s", "name": "s", "steps": []}));
        let given = json!({"name": "c", "container": {"command": ["a"]}});
        let merged = over_defaults(&defaults, &given);
        assert_eq!(merged["container"], json!({"image": "x", "command": ["a"]}));
    }
}
