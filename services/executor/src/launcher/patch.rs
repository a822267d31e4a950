//! `podSpecPatch`: a strategic merge as Kubernetes does it. Tables are merged; a list is replaced, unless its entries have a
//! member by which they are known.

use serde_json::{Map, Value};

/// Lists whose entries are known by a member.
const KEYS: [(&str, &str); 11] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("ephemeralContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("resourceClaims", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("hostAliases", "ip"),
];
/// Says what to do with the table that it stands in.
const DIRECTIVE: &str = "$patch";

/// Merges a patch into a table.
pub(super) fn merge(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    if patch.get(DIRECTIVE).and_then(Value::as_str) == Some("replace") {
        target.clear();
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        match (value, target.get_mut(name)) {
            (Value::Null, _) => {
                target.remove(name);
            }
            (Value::Object(patch), Some(Value::Object(target))) => {
                if is_deleting(value) {
                    target.clear();
                } else {
                    merge(target, patch);
                }
            }
            (Value::Array(patch), Some(Value::Array(target))) => list(name, target, patch),
            (Value::Array(patch), _) => {
                let mut entries = Vec::new();
                list(name, &mut entries, patch);
                target.insert(name.clone(), Value::Array(entries));
            }
            _ => {
                target.insert(name.clone(), value.clone());
            }
        }
    }
}

fn is_deleting(patch: &Value) -> bool {
    patch.get(DIRECTIVE).and_then(Value::as_str) == Some("delete")
}

fn list(name: &str, target: &mut Vec<Value>, patch: &[Value]) {
    let known = KEYS.iter().find(|(list, _)| *list == name);
    let replaces = |entry: &Value| entry.get(DIRECTIVE).and_then(Value::as_str) == Some("replace");
    let whole = patch.iter().any(replaces);
    let Some((_, key)) = known.filter(|_| !whole) else {
        *target = patch.iter().filter(|entry| !replaces(entry)).cloned().collect();
        return;
    };
    for entry in patch {
        let same = |other: &Value| entry.get(key).is_some() && other.get(key) == entry.get(key);
        if is_deleting(entry) {
            target.retain(|other| !same(other));
            continue;
        }
        match (target.iter_mut().find(|other| same(other)), entry) {
            (Some(Value::Object(target)), Value::Object(patch)) => merge(target, patch),
            _ => target.push(entry.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_are_merged_by_what_their_entries_are_known_by() {
        let rows = [
            (
                "a table",
                json!({"a": {"b": 1, "c": 2}}),
                json!({"a": {"c": 3}}),
                json!({"a": {"b": 1, "c": 3}}),
            ),
            ("null", json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
            (
                "containers by name",
                json!({"containers": [{"name": "main", "image": "a"}, {"name": "side", "image": "b"}]}),
                json!({"containers": [{"name": "main", "resources": {"limits": {"cpu": "1"}}}, {"name": "new"}]}),
                json!({"containers": [
                    {"name": "main", "image": "a", "resources": {"limits": {"cpu": "1"}}},
                    {"name": "side", "image": "b"},
                    {"name": "new"}
                ]}),
            ),
            (
                "environment within",
                json!({"containers": [{"name": "main", "env": [{"name": "A", "value": "1"}]}]}),
                json!({"containers": [{"name": "main", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]}]}),
                json!({"containers": [{"name": "main", "env": [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]}]}),
            ),
            (
                "mounts by path, ports by number",
                json!({"volumeMounts": [{"mountPath": "/a", "name": "x"}], "ports": [{"containerPort": 1, "name": "x"}]}),
                json!({"volumeMounts": [{"mountPath": "/a", "name": "y"}], "ports": [{"containerPort": 2}]}),
                json!({"volumeMounts": [{"mountPath": "/a", "name": "y"}],
                       "ports": [{"containerPort": 1, "name": "x"}, {"containerPort": 2}]}),
            ),
            (
                "tolerations are replaced",
                json!({"tolerations": [{"key": "a"}]}),
                json!({"tolerations": [{"key": "b"}]}),
                json!({"tolerations": [{"key": "b"}]}),
            ),
            (
                "an entry is taken away",
                json!({"volumes": [{"name": "a"}, {"name": "b"}]}),
                json!({"volumes": [{"name": "a", "$patch": "delete"}]}),
                json!({"volumes": [{"name": "b"}]}),
            ),
            (
                "a list is replaced",
                json!({"containers": [{"name": "a"}]}),
                json!({"containers": [{"$patch": "replace"}, {"name": "b"}]}),
                json!({"containers": [{"name": "b"}]}),
            ),
            (
                "a table is replaced",
                json!({"securityContext": {"runAsUser": 1}}),
                json!({"securityContext": {"$patch": "replace", "fsGroup": 2}}),
                json!({"securityContext": {"fsGroup": 2}}),
            ),
            (
                "what was not there",
                json!({}),
                json!({"volumes": [{"name": "a"}]}),
                json!({"volumes": [{"name": "a"}]}),
            ),
        ];
        for (what, target, patch, expected) in rows {
            let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else { panic!("{what}") };
            merge(&mut target, &patch);
            assert_eq!(Value::Object(target), expected, "{what}");
        }
    }
}
