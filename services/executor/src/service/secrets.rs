//! The values behind `secretKeyRef`, `configMapKeyRef`, `envFrom`, the volumes that hold Secrets and ConfigMaps, and
//! `imagePullSecrets`, looked up just before a pod starts and written down nowhere.

use secrecy::SecretString;
use serde_json::Value;
use tiphys_catalog::Snapshot;
use tiphys_manifest::{Kind, Spec};

use crate::launcher::{PodSpec, SecretEnvironment, SecretFile, Secrets};

/// What a pod needs and what stands elsewhere.
///
/// # Errors
/// Names what is missing, and what to do.
pub(super) fn of(pod: &PodSpec, catalog: &Snapshot) -> Result<Secrets, String> {
    let mut secrets = Secrets::default();
    let (init, sidecars) = (members(&pod.pod.spec, "initContainers"), pod.pod.sidecars.iter());
    for container in [&pod.container].into_iter().chain(init).chain(sidecars) {
        let name = container["name"].as_str().unwrap_or("main").to_owned();
        secrets.environment.insert(name, environment(pod, container, catalog)?);
    }
    for volume in members(&pod.pod.spec, "volumes") {
        if let Some(files) = files(pod, volume, catalog)? {
            secrets.files.insert(volume["name"].as_str().unwrap_or_default().to_owned(), files);
        }
    }
    for reference in members(&pod.pod.spec, "imagePullSecrets") {
        // As a kubelet does: without it the image may be had as well.
        if let Ok(Some(values)) = object(pod, catalog, Kind::Secret, reference) {
            let found = values.into_iter().find(|(key, _)| key == ".dockerconfigjson");
            secrets.registries.extend(found.map(|(_, value)| value));
        }
    }
    Ok(secrets)
}

fn members<'v>(
    table: &'v serde_json::Map<String, Value>,
    name: &str,
) -> impl Iterator<Item = &'v Value> + use<'v> {
    table.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The variables of a container whose values stand elsewhere.
fn environment(pod: &PodSpec, container: &Value, catalog: &Snapshot) -> Result<SecretEnvironment, String> {
    let mut environment = SecretEnvironment::new();
    for source in list(container, "envFrom") {
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
    for variable in list(container, "env") {
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

/// The files of a volume. `None`: it holds no Secret and no ConfigMap.
fn files(pod: &PodSpec, volume: &Value, catalog: &Snapshot) -> Result<Option<Vec<SecretFile>>, String> {
    let mut all = Vec::new();
    let projected = &volume["projected"];
    let own = [("secret", &volume["secret"]), ("configMap", &volume["configMap"])];
    let of_parts = list(projected, "sources")
        .flat_map(|source| ["secret", "configMap"].into_iter().map(|member| (member, &source[member])));
    let mut any = projected.is_object();
    for (member, source) in own.into_iter().chain(of_parts).filter(|(_, source)| source.is_object()) {
        any = true;
        let (kind, named) =
            if member == "secret" { (Kind::Secret, "secretName") } else { (Kind::ConfigMap, "name") };
        let mut reference = source.clone();
        if let Some(name) = source.get(named) {
            reference["name"] = name.clone();
        }
        let modes = [&source["defaultMode"], &projected["defaultMode"]];
        let usual = modes.into_iter().find_map(Value::as_u64).unwrap_or(0o644);
        if let Some(values) = object(pod, catalog, kind, &reference)? {
            all.extend(chosen(pod, kind, &reference, values, usual)?);
        }
    }
    Ok(any.then_some(all))
}

/// The values that `items` names, all where there are none.
fn chosen(
    pod: &PodSpec,
    kind: Kind,
    reference: &Value,
    values: Values,
    usual: u64,
) -> Result<Vec<SecretFile>, String> {
    let file = |path: &str, mode: u64, content: SecretString| SecretFile {
        path: path.to_owned(),
        mode: u32::try_from(mode & 0o777).unwrap_or(0o644),
        content,
    };
    if list(reference, "items").next().is_none() {
        return Ok(values.into_iter().map(|(key, value)| file(&key, usual, value)).collect());
    }
    let mut all = Vec::new();
    for item in list(reference, "items") {
        let wanted = item["key"].as_str().unwrap_or_default();
        match values.iter().find(|(key, _)| key == wanted) {
            Some((_, value)) => {
                let path = item["path"].as_str().unwrap_or(wanted);
                all.push(file(path, item["mode"].as_u64().unwrap_or(usual), value.clone()));
            }
            None if reference["optional"].as_bool() == Some(true) => {}
            None => return Err(no_key(pod, kind, reference, wanted)),
        }
    }
    Ok(all)
}

fn no_key(pod: &PodSpec, kind: Kind, reference: &Value, key: &str) -> String {
    let name = reference["name"].as_str().unwrap_or_default();
    format!("{kind} {}/{name} has no key '{key}': add it, then retry the workflow", pod.namespace)
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
        None => Err(no_key(pod, kind, reference, wanted)),
    }
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}
