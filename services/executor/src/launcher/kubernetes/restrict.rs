//! The profile that one setting turns on for all pods: what a step that needs nothing special can do without. Pure.

use serde_json::{Map, Value, json};

use super::pod::add;
use crate::launcher::{LaunchError, PodSpec};

/// Volume for `/tmp`, as the root of the container cannot be written to.
const TMP: &str = "tiphys-tmp";

/// Restricts every container of a pod. What cannot be had then is refused by name.
pub(super) fn restrict(spec: &PodSpec, pod: &mut Map<String, Value>) -> Result<(), LaunchError> {
    let refused = |what: &str| {
        LaunchError::NotAllowed(format!(
            "template {} wants {what}, which the profile `restricted` does not allow; run Tiphys without `--restricted`, or \
             the step without it",
            spec.template
        ))
    };
    for what in ["hostNetwork", "hostPID", "hostIPC"] {
        if pod.get(what) == Some(&json!(true)) {
            return Err(refused(what));
        }
    }
    let volumes = pod.get("volumes").and_then(Value::as_array);
    if volumes.into_iter().flatten().any(|volume| volume.get("hostPath").is_some()) {
        return Err(refused("a volume hostPath"));
    }
    for list in ["initContainers", "containers"] {
        let containers = pod.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten();
        for container in containers.filter_map(Value::as_object_mut) {
            one(container).map_err(refused)?;
        }
    }
    add(pod, "volumes", json!({"name": TMP, "emptyDir": {}}));
    Ok(())
}

/// Restricts a container. The error is what it wants and cannot have.
fn one(container: &mut Map<String, Value>) -> Result<(), &'static str> {
    let security = container.entry("securityContext").or_insert_with(|| json!({}));
    if !security.is_object() {
        *security = json!({});
    }
    if let Value::Object(security) = security {
        if security.get("privileged") == Some(&json!(true)) {
            return Err("a privileged container");
        }
        security.insert("allowPrivilegeEscalation".into(), json!(false));
        security.insert("readOnlyRootFilesystem".into(), json!(true));
        security.insert("capabilities".into(), json!({"drop": ["ALL"]}));
        security.entry("seccompProfile").or_insert_with(|| json!({"type": "RuntimeDefault"}));
    }
    let mounts = container.get("volumeMounts").and_then(Value::as_array);
    if !mounts.into_iter().flatten().any(|mount| mount["mountPath"] == "/tmp") {
        add(container, "volumeMounts", json!({"name": TMP, "mountPath": "/tmp"}));
    }
    Ok(())
}
