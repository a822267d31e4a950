//! The whole pod: main container, sidecars and options put together, with `podSpecPatch` applied to it as Kubernetes
//! does (a strategic merge).

use k8s_openapi::api::core::v1::{Container, PodSpec as Kubernetes};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{LaunchError, PodSpec};
use crate::launcher::patch;

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
pub(super) fn of(pod: &PodSpec) -> Result<Whole, LaunchError> {
    let mut main = pod.container.clone();
    main["name"] = json!("main");
    let mut spec = pod.pod.spec.clone();
    let containers: Vec<Value> = [main].into_iter().chain(pod.pod.sidecars.iter().cloned()).collect();
    spec.insert("containers".into(), Value::Array(containers));
    for patch in pod.pod.patches.iter().filter_map(Value::as_object) {
        patch::merge(&mut spec, patch);
    }
    let mut spec = Value::Object(spec);
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
    fn amounts_become_texts_and_nothing_else_does() {
        let mut spec = json!({"containers": [{"resources": {"limits": {"cpu": 2, "memory": "1Mi"}}, "ports": [{"containerPort": 1}]}]});
        quantities(&mut spec);
        let expected = json!({"containers": [{"resources": {"limits": {"cpu": "2", "memory": "1Mi"}}, "ports": [{"containerPort": 1}]}]});
        assert_eq!(spec, expected);
    }
}
