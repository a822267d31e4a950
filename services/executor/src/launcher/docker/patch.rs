//! The whole pod: main container, sidecars and options put together, with `podSpecPatch` applied to it as Kubernetes
//! does (a strategic merge).

use k8s_openapi::api::core::v1::{Container, PodSpec as Kubernetes};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{LaunchError, PodSpec};

/// By what the entries of a list are known; lists that are not named here are replaced whole.
const KEYS: [(&str, &str); 10] = [
    ("containers", "name"),
    ("initContainers", "name"),
    ("volumes", "name"),
    ("env", "name"),
    ("imagePullSecrets", "name"),
    ("resourceClaims", "name"),
    ("volumeMounts", "mountPath"),
    ("volumeDevices", "devicePath"),
    ("ports", "containerPort"),
    ("hostAliases", "ip"),
];

/// A pod as Kubernetes would be given it.
pub(super) struct Whole {
    pub(super) main: Container,
    pub(super) init: Vec<Container>,
    pub(super) sidecars: Vec<Container>,
    pub(super) spec: Kubernetes,
    /// The volumes as they are written: their kind is told by a member's name.
    pub(super) volumes: Vec<Value>,
}

/// Puts a pod together.
pub(super) fn whole(pod: &PodSpec) -> Result<Whole, LaunchError> {
    let mut main = pod.container.clone();
    main["name"] = json!("main");
    let mut spec = Value::Object(pod.pod.spec.clone());
    let containers: Vec<Value> = [main].into_iter().chain(pod.pod.sidecars.iter().cloned()).collect();
    spec["containers"] = Value::Array(containers);
    for patch in &pod.pod.patches {
        merge(&mut spec, patch);
    }
    quantities(&mut spec);
    let volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
    let wrong = |why: String| LaunchError::Missing(format!("the pod of template {}: {why}", pod.template));
    let mut typed = Kubernetes::deserialize(&spec).map_err(|error| wrong(error.to_string()))?;
    let (main, sidecars): (Vec<_>, Vec<_>) =
        std::mem::take(&mut typed.containers).into_iter().partition(|container| container.name == "main");
    let main =
        main.into_iter().next().ok_or_else(|| wrong("podSpecPatch removes its main container".into()))?;
    let init = typed.init_containers.take().unwrap_or_default();
    Ok(Whole { main, init, sidecars, spec: typed, volumes })
}

/// Puts `patch` into `value`: tables member by member, `null` removes, lists by the key of their entries.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *value = patch.clone();
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    let Some(members) = value.as_object_mut() else { return };
    if patch.get("$patch").and_then(Value::as_str) == Some("replace") {
        members.clear();
    }
    for (name, new) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        let key = KEYS.iter().find(|(list, _)| list == name).map(|(_, key)| *key);
        match (key, new) {
            (_, Value::Null) => {
                members.remove(name);
            }
            (Some(key), Value::Array(new)) => {
                let old = members.entry(name.clone()).or_insert_with(|| json!([]));
                merge_lists(old, new, key);
            }
            _ => merge(members.entry(name.clone()).or_insert(Value::Null), new),
        }
    }
}

fn merge_lists(old: &mut Value, new: &[Value], key: &str) {
    if !old.is_array() {
        *old = json!([]);
    }
    let Some(old) = old.as_array_mut() else { return };
    for entry in new {
        let place = old.iter().position(|known| known.get(key).is_some() && known.get(key) == entry.get(key));
        match (place, entry.get("$patch").and_then(Value::as_str)) {
            (Some(place), Some("delete")) => {
                old.remove(place);
            }
            (None, Some("delete")) => {}
            (Some(place), _) => {
                if let Some(known) = old.get_mut(place) {
                    merge(known, entry);
                }
            }
            (None, _) => {
                let mut added = Value::Null;
                merge(&mut added, entry);
                old.push(added);
            }
        }
    }
}

/// Writes amounts as text, which the types want and manifests need not.
fn quantities(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(quantities),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match (name.as_str(), member) {
                    ("limits" | "requests", Value::Object(amounts)) => amounts.values_mut().for_each(as_text),
                    ("sizeLimit" | "divisor", amount) => as_text(amount),
                    (_, member) => quantities(member),
                }
            }
        }
        _ => {}
    }
}

fn as_text(amount: &mut Value) {
    if amount.is_number() {
        *amount = Value::String(amount.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_is_merged_as_kubernetes_merges_it() {
        let mut spec = json!({
            "containers": [{"name": "main", "image": "a", "env": [{"name": "X", "value": "1"}], "args": ["1", "2"]},
                           {"name": "side", "image": "s"}],
            "nodeSelector": {"disk": "ssd", "zone": "a"},
            "priority": 3,
        });
        let patch = json!({
            "containers": [
                {"name": "main", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "9"}], "args": ["3"],
                 "resources": {"limits": {"cpu": 2}}},
                {"name": "side", "$patch": "delete"},
                {"name": "new", "image": "n"},
            ],
            "nodeSelector": {"zone": null},
            "priority": null,
        });
        merge(&mut spec, &patch);
        quantities(&mut spec);
        let expected = json!({
            "containers": [
                {"name": "main", "image": "a", "env": [{"name": "X", "value": "9"}, {"name": "Y", "value": "2"}],
                 "args": ["3"], "resources": {"limits": {"cpu": "2"}}},
                {"name": "new", "image": "n"},
            ],
            "nodeSelector": {"disk": "ssd"},
        });
        assert_eq!(spec, expected);
    }
}
