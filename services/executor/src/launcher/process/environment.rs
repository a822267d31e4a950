//! The environment of a step: PATH, HOME, a few names of ours, and what the manifest names. Nothing is
//! inherited from Tiphys.
//!
//! | name | value |
//! |---|---|
//! | `PATH`, `HOME` | as configured, unless the step names them |
//! | `TIPHYS_POD_KEY` | identity of the attempt; processes of the step are known by it |
//! | `TIPHYS_NAMESPACE`, `TIPHYS_WORKFLOW`, `TIPHYS_TEMPLATE`, `TIPHYS_NODE_ID` | where the step stands |
//! | those of `Config::environment` | such as `TIPHYS_SERVER` |
//! | those that the annotation `tiphys.dev/inherit-env` names | of the server, where it has them |

use serde::Deserialize;
use tiphys_core::PodKey;
use tiphys_runner::Variable;
use tiphys_runner::expand::expand;

use super::{Config, LaunchError, PodSpec, SecretEnvironment};

/// Annotation of a template: names of the server's variables that its steps see, separated by commas.
const INHERIT: &str = "tiphys.dev/inherit-env";

/// The secrets of a step, and the server's variables that its template names. What the step itself names wins.
pub(super) fn with_inherited(
    config: &Config,
    pod: &PodSpec,
    mut secrets: SecretEnvironment,
) -> SecretEnvironment {
    let names = pod.annotations.get(INHERIT).map_or("", String::as_str);
    for name in names.split(',').map(str::trim) {
        if let Some(value) = config.inheritable.get(name) {
            secrets.entry(name.to_owned()).or_insert_with(|| value.clone());
        }
    }
    secrets
}

/// An entry of `env`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Entry {
    name: String,
    value: Option<String>,
    value_from: Option<From>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct From {
    field_ref: Option<Field>,
    secret_key_ref: Option<Reference>,
    config_map_key_ref: Option<Reference>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Field {
    field_path: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reference {
    name: String,
    key: String,
    optional: bool,
}

/// The variable by which a process is known to belong to a pod.
pub(super) fn mark(key: &PodKey) -> String {
    format!("TIPHYS_POD_KEY={key}")
}

/// All variables in order. Secrets are named without their values.
pub(super) fn of_step(
    config: &Config,
    pod: &PodSpec,
    entries: &[Entry],
    secrets: &SecretEnvironment,
) -> Result<Vec<Variable>, LaunchError> {
    let path = match &config.extra_path {
        Some(extra) => format!("{}:{}", extra.display(), config.path),
        None => config.path.clone(),
    };
    // `$$` because a `$` in a value would be taken for the beginning of `$(VAR)`.
    let literal =
        |name: &str, value: &str| Variable { name: name.to_owned(), value: Some(value.replace('$', "$$")) };
    let mut variables = vec![
        literal("PATH", &path),
        literal("HOME", &config.home),
        literal("TIPHYS_POD_KEY", &pod.key.0),
        literal("TIPHYS_NAMESPACE", &pod.namespace),
        literal("TIPHYS_WORKFLOW", &pod.workflow),
        literal("TIPHYS_TEMPLATE", &pod.template),
        literal("TIPHYS_NODE_ID", &pod.node_id),
    ];
    variables.extend(config.environment.iter().map(|(name, value)| literal(name, value)));
    let secret = |name: &str| Variable { name: name.to_owned(), value: None };
    // Those of `envFrom` come first: `env` overrides them.
    let whole = secrets.keys().filter(|name| entries.iter().all(|entry| entry.name != **name));
    variables.extend(whole.map(|name| secret(name)));
    for entry in entries {
        if let Some(text) = &entry.value {
            variables.push(Variable { name: entry.name.clone(), value: Some(text.clone()) });
        } else if secrets.contains_key(&entry.name) {
            variables.push(secret(&entry.name));
        } else if let Some(from) = &entry.value_from {
            if let Some(value) = elsewhere(pod, &entry.name, from)? {
                variables.push(literal(&entry.name, &value));
            }
        } else {
            variables.push(literal(&entry.name, ""));
        }
    }
    Ok(variables)
}

/// The value of a reference that needs no secret. None: it is optional, and absent.
fn elsewhere(pod: &PodSpec, name: &str, from: &From) -> Result<Option<String>, LaunchError> {
    for (kind, reference) in [("Secret", &from.secret_key_ref), ("ConfigMap", &from.config_map_key_ref)] {
        if let Some(reference) = reference {
            return if reference.optional {
                Ok(None)
            } else {
                Err(LaunchError::Missing(format!(
                    "variable {name} of template {} needs key {} of {kind} {}, which is not there",
                    pod.template, reference.key, reference.name
                )))
            };
        }
    }
    let field = from.field_ref.as_ref().map_or("", |field| field.field_path.as_str());
    let in_map = |field: &str, prefix: &str, map: &std::collections::BTreeMap<String, String>| {
        let key = field.strip_prefix(prefix)?.strip_prefix("['")?.strip_suffix("']")?;
        Some(map.get(key).cloned().unwrap_or_default())
    };
    match field {
        "metadata.name" => Ok(Some(pod.name.clone())),
        "metadata.namespace" => Ok(Some(pod.namespace.clone())),
        "metadata.uid" => Ok(Some(pod.key.0.clone())),
        _ => in_map(field, "metadata.labels", &pod.labels)
            .or_else(|| in_map(field, "metadata.annotations", &pod.annotations))
            .map(Some)
            .ok_or_else(|| {
                LaunchError::Missing(format!(
                    "variable {name} of template {} takes its value from {field:?}, which a process of the host \
                     does not have; give it by value",
                    pod.template
                ))
            }),
    }
}

/// `text` with those variables put in that are no secrets.
pub(super) fn put_in(text: &str, variables: &[Variable]) -> String {
    expand(text, |name| {
        let found = variables.iter().rev().find(|variable| variable.name == name);
        found.and_then(|variable| variable.value.as_deref())
    })
}

/// PATH as the step will see it.
pub(super) fn path(variables: &[Variable]) -> String {
    let mut value = String::new();
    for variable in variables.iter().filter(|variable| variable.name == "PATH") {
        let before = [Variable { name: "PATH".to_owned(), value: Some(value) }];
        value = put_in(variable.value.as_deref().unwrap_or_default(), &before);
    }
    value
}
