//! The values behind `secretKeyRef`, `configMapKeyRef` and `envFrom`, looked up just before a pod starts and
//! written down nowhere.

use secrecy::SecretString;
use serde_json::Value;
use tiphys_catalog::Snapshot;
use tiphys_manifest::{Kind, Spec};

use crate::launcher::{PodSpec, SecretEnvironment};

/// The variables of a pod whose values stand elsewhere.
///
/// # Errors
/// Names what is missing, and what to do.
pub(super) fn of(pod: &PodSpec, catalog: &Snapshot) -> Result<SecretEnvironment, String> {
    let mut environment = SecretEnvironment::new();
    for source in list(&pod.container, "envFrom") {
        let prefix = source["prefix"].as_str().unwrap_or_default();
        for (kind, member) in [(Kind::Secret, "secretRef"), (Kind::ConfigMap, "configMapRef")] {
            let reference = &source[member];
            if !reference.is_object() {
                continue;
            }
            if let Some(values) = object(pod, catalog, kind, reference)? {
                let named = values.into_iter().map(|(key, value)| (format!("{prefix}{key}"), value));
                environment.extend(named);
            }
        }
    }
    for variable in list(&pod.container, "env") {
        let name = variable["name"].as_str().unwrap_or_default();
        for (kind, member) in [(Kind::Secret, "secretKeyRef"), (Kind::ConfigMap, "configMapKeyRef")] {
            let reference = &variable["valueFrom"][member];
            if !reference.is_object() {
                continue;
            }
            if let Some(value) = key(pod, catalog, kind, reference)? {
                environment.insert(name.to_owned(), value);
            }
        }
    }
    Ok(environment)
}

type Values = Vec<(String, SecretString)>;

/// All values of an object. `None`: it is optional, and not there.
fn object(
    pod: &PodSpec,
    catalog: &Snapshot,
    kind: Kind,
    reference: &Value,
) -> Result<Option<Values>, String> {
    let name = reference["name"].as_str().unwrap_or_default();
    let found = catalog.get(kind, &pod.namespace, name);
    match found.map(|object| &object.spec) {
        Some(Spec::Secret(secret)) => {
            let values = secret.data.iter();
            Ok(Some(values.map(|(k, v)| (k.clone(), v.clone())).collect()))
        }
        Some(Spec::ConfigMap(map)) => {
            let values = map.data.iter();
            Ok(Some(values.map(|(k, v)| (k.clone(), SecretString::from(v.clone()))).collect()))
        }
        _ if reference["optional"].as_bool() == Some(true) => Ok(None),
        _ => {
            Err(format!("{kind} {}/{name} does not exist: apply it, then retry the workflow", pod.namespace))
        }
    }
}

/// One value of an object.
fn key(
    pod: &PodSpec,
    catalog: &Snapshot,
    kind: Kind,
    reference: &Value,
) -> Result<Option<SecretString>, String> {
    let Some(values) = object(pod, catalog, kind, reference)? else {
        return Ok(None);
    };
    let wanted = reference["key"].as_str().unwrap_or_default();
    let found = values.into_iter().find(|(key, _)| key == wanted);
    match found {
        Some((_, value)) => Ok(Some(value)),
        None if reference["optional"].as_bool() == Some(true) => Ok(None),
        None => Err(format!(
            "{kind} {}/{} has no key '{wanted}': add it, then retry the workflow",
            pod.namespace,
            reference["name"].as_str().unwrap_or_default()
        )),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}
