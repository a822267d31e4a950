//! Where each option of a manifest is found in its pod. The tests of the planner and those of a real cluster share it.

use serde_json::Value;

/// A workflow that names all options that workflows have.
pub const WHOLE: &str = include_str!("whole.yaml");
/// A workflow whose template names all options that templates have.
pub const TEMPLATE: &str = include_str!("template.yaml");

/// Options, and the place of each in the pod. What is written there is what is found there.
pub const PLACES: &[(&str, &str)] = &[
    ("serviceAccountName", "/spec/serviceAccountName"),
    ("automountServiceAccountToken", "/spec/automountServiceAccountToken"),
    ("nodeSelector", "/spec/nodeSelector"),
    ("affinity", "/spec/affinity"),
    ("tolerations", "/spec/tolerations"),
    ("schedulerName", "/spec/schedulerName"),
    ("securityContext", "/spec/securityContext"),
    ("imagePullSecrets", "/spec/imagePullSecrets"),
    ("hostNetwork", "/spec/hostNetwork"),
    ("dnsPolicy", "/spec/dnsPolicy"),
    ("dnsConfig", "/spec/dnsConfig"),
    ("hostAliases", "/spec/hostAliases"),
    ("podPriorityClassName", "/spec/priorityClassName"),
    ("priorityClassName", "/spec/priorityClassName"),
    ("podPriority", "/spec/priority"),
    ("priority", "/spec/priority"),
    ("podResources", "/spec/resources"),
    ("resourceClaims", "/spec/resourceClaims"),
    ("podMetadata", "/metadata"),
    ("metadata", "/metadata"),
    ("volumes", "/spec/volumes"),
    ("initContainers", "/spec/initContainers"),
    ("sidecars", "/spec/containers"),
];

/// Members of a container, each of which is found in the pod's main one.
pub const CONTAINER: &[&str] = &[
    "imagePullPolicy",
    "workingDir",
    "env",
    "envFrom",
    "ports",
    "resources",
    "volumeMounts",
    "volumeDevices",
    "lifecycle",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
    "terminationMessagePath",
    "terminationMessagePolicy",
];

/// Whether all that was wanted was found: a server adds to lists and tables what nobody named.
pub fn includes(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| found.get(name).is_some_and(|found| includes(found, value)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            wanted.iter().all(|value| found.iter().any(|found| includes(found, value)))
        }
        _ => found == wanted,
    }
}

/// What a pod lacks of what `holder`, a workflow's spec or a template, says.
pub fn lacking(pod: &Value, holder: &Value) -> Vec<String> {
    let places = PLACES.iter().filter_map(|(name, place)| Some((*name, *place, holder.get(*name)?)));
    let lacking =
        places.filter(|(_, place, wanted)| !pod.pointer(place).is_some_and(|found| includes(found, wanted)));
    lacking.map(|(name, place, wanted)| format!("{name}: {wanted}, found {:?}", pod.pointer(place))).collect()
}
