//! The environment of a container: a few names of ours, then what the manifest names, with `$(VAR)` replaced.
//!
//! The names of ours are those that a process of the host gets too: `TIPHYS_POD_KEY`, `TIPHYS_NAMESPACE`,
//! `TIPHYS_WORKFLOW`, `TIPHYS_TEMPLATE`, `TIPHYS_NODE_ID`, and those of `Config::environment`.

use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ResourceFieldSelector};
use secrecy::ExposeSecret;
use tiphys_runner::expand::expand;

use super::part::Scene;
use super::{LaunchError, limits};

/// Names and values in order, each name once.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<(String, String)>);

impl Variables {
    fn set(&mut self, name: &str, value: String) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// `text` with the variables put in.
    pub(super) fn put_in(&self, text: &str) -> String {
        expand(text, |name| self.get(name))
    }

    /// As the engine wants them.
    pub(super) fn lines(&self) -> Vec<String> {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect()
    }
}

/// The variables of a container.
pub(super) fn of(scene: &Scene<'_>, container: &Container) -> Result<Variables, LaunchError> {
    let pod = scene.pod;
    let mut all = Variables::default();
    for (name, value) in [
        ("TIPHYS_POD_KEY", &pod.key.0),
        ("TIPHYS_NAMESPACE", &pod.namespace),
        ("TIPHYS_WORKFLOW", &pod.workflow),
        ("TIPHYS_TEMPLATE", &pod.template),
        ("TIPHYS_NODE_ID", &pod.node_id),
    ] {
        all.set(name, value.clone());
    }
    for (name, value) in &scene.config.environment {
        all.set(name, value.clone());
    }
    let entries = container.env.as_deref().unwrap_or_default();
    let secrets = scene.secrets.environment.get(&container.name);
    for (name, value) in secrets.into_iter().flatten() {
        // Those of `envFrom`: what `env` names comes in its place.
        if entries.iter().all(|entry| entry.name != *name) {
            all.set(name, value.expose_secret().to_owned());
        }
    }
    for entry in entries {
        let secret = secrets.and_then(|secrets| secrets.get(&entry.name));
        let value = match (&entry.value_from, secret) {
            (Some(_), Some(secret)) => Some(secret.expose_secret().to_owned()),
            (Some(from), None) => elsewhere(scene, container, entry, from)?,
            (None, _) => Some(all.put_in(entry.value.as_deref().unwrap_or_default())),
        };
        if let Some(value) = value {
            all.set(&entry.name, value);
        }
    }
    Ok(all)
}

/// The value of a reference. None: it is optional, and absent.
fn elsewhere(
    scene: &Scene<'_>,
    container: &Container,
    entry: &EnvVar,
    from: &EnvVarSource,
) -> Result<Option<String>, LaunchError> {
    let place = format!("variable {} of template {}", entry.name, scene.pod.template);
    let keys = [
        ("Secret", from.secret_key_ref.as_ref().map(|r| (&r.name, &r.key, r.optional))),
        ("ConfigMap", from.config_map_key_ref.as_ref().map(|r| (&r.name, &r.key, r.optional))),
    ];
    for (kind, reference) in keys {
        let Some((name, key, optional)) = reference else { continue };
        return if optional == Some(true) {
            Ok(None)
        } else {
            Err(LaunchError::Missing(format!("{place} needs key {key} of {kind} {name}, which is not there")))
        };
    }
    if let Some(reference) = &from.resource_field_ref {
        return resource(container, reference)
            .map(Some)
            .ok_or_else(|| LaunchError::Missing(format!("{place}: {} is not said", reference.resource)));
    }
    let field = from.field_ref.as_ref().map_or("", |field| field.field_path.as_str());
    self::field(scene, field).map(Some).ok_or_else(|| {
        LaunchError::Missing(format!(
            "{place} takes its value from {field:?}, which a container does not have; give it by value"
        ))
    })
}

/// A field of the pod, as far as it is known before the container is there.
pub(super) fn field(scene: &Scene<'_>, path: &str) -> Option<String> {
    let pod = scene.pod;
    let in_map = |prefix: &str, map: &std::collections::BTreeMap<String, String>| {
        let key = path.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    match path {
        "metadata.name" => Some(pod.name.clone()),
        "metadata.namespace" => Some(pod.namespace.clone()),
        "metadata.uid" => Some(pod.key.0.clone()),
        "spec.nodeName" => Some(scene.node.to_owned()),
        "spec.serviceAccountName" => {
            let account = pod.pod.spec.get("serviceAccountName").and_then(serde_json::Value::as_str);
            Some(account.unwrap_or("default").to_owned())
        }
        _ => in_map("metadata.labels", &pod.labels)
            .or_else(|| in_map("metadata.annotations", &pod.annotations)),
    }
}

/// A limit or request of the container, in units of the divisor.
fn resource(container: &Container, reference: &ResourceFieldSelector) -> Option<String> {
    let resources = container.resources.as_ref()?;
    let (table, name) = reference.resource.split_once('.')?;
    let amounts = if table == "limits" { &resources.limits } else { &resources.requests };
    let amount = limits::amount(&amounts.as_ref()?.get(name)?.0)?;
    let divisor = reference.divisor.as_ref().filter(|divisor| !divisor.0.is_empty() && divisor.0 != "0");
    let divisor = divisor.map_or(Some(1.0), |divisor| limits::amount(&divisor.0))?;
    Some(limits::whole(amount / divisor).to_string())
}
