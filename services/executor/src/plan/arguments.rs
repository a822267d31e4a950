//! From arguments to inputs.

use serde::Deserialize;
use serde_json::Value;
use tiphys_manifest::workflow::{Artifact, Parameter};

use super::{Pass, place};
use crate::definition::TemplateDef;
use crate::launcher::ArtifactSource;
use crate::node::{ArtifactValue, InputValues, ParameterValue};
use crate::scope::Scope;
use crate::substitute;

/// Arguments with their tags replaced.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) parameters: Vec<ParameterValue>,
    pub(super) artifacts: Vec<ArtifactValue>,
}

impl Given {
    fn parameter(&self, name: &str) -> Option<&String> {
        let found = self.parameters.iter().find(|p| p.name == name);
        found.and_then(|p| p.value.as_ref())
    }
}

impl Pass<'_> {
    /// Reads `arguments` as written.
    pub(super) fn given(&self, scope: &Scope<'_>, written: &Value) -> Result<Given, String> {
        let mut given = Given::default();
        for parameter in list(written, "parameters") {
            given.parameters.push(self.given_parameter(scope, parameter)?);
        }
        for artifact in list(written, "artifacts") {
            given.artifacts.push(given_artifact(scope, artifact)?);
        }
        Ok(given)
    }

    fn given_parameter(&self, scope: &Scope<'_>, written: &Value) -> Result<ParameterValue, String> {
        let parameter = Parameter::deserialize(written).map_err(|error| error.to_string())?;
        let told = |why: String| format!("argument '{}': {why}", parameter.name);
        let mut value = match &parameter.value {
            Some(value) => substitute::text(scope, value).map_err(told)?,
            None => None,
        };
        let from = parameter.value_from.as_ref().filter(|_| value.is_none());
        if let Some(from) = from {
            if let Some(expression) = &from.expression {
                value = substitute::expression(scope, expression)
                    .map(text_of)
                    .map_err(|error| told(error.to_string()))?;
            } else if let Some(reference) = &from.parameter {
                value = substitute::text(scope, reference).map_err(told)?;
            } else if let Some(key) = &from.config_map_key_ref {
                let mut key = key.clone();
                key.name = substitute::required(scope, &key.name).map_err(told)?;
                key.key = substitute::required(scope, &key.key).map_err(told)?;
                value = self.config_map(&key).map_err(told)?;
            }
            value = value.or_else(|| from.default.clone());
        }
        Ok(ParameterValue {
            name: parameter.name.clone(),
            value: value.or_else(|| parameter.default.clone()),
            global_name: None,
        })
    }

    /// What goes into a template: argument, then `value`, then `default`.
    pub(super) fn inputs(&self, def: &TemplateDef, given: Given) -> Result<InputValues, String> {
        let mut inputs = InputValues::default();
        let seed = self.state.submission.name.clone();
        let scope = Scope::of(&self.state, self.context.now, &seed);
        let written = def.json.get("inputs").unwrap_or(&Value::Null);
        for (parameter, json) in def.typed.inputs.parameters.iter().zip(list(written, "parameters")) {
            let value = match given.parameter(&parameter.name) {
                Some(value) => Some(value.clone()),
                None => self.given_parameter(&scope, json)?.value,
            };
            if value.is_none() {
                return Err(format!(
                    "inputs.parameters.{} was not supplied, and has no default",
                    parameter.name
                ));
            }
            check_choice(parameter, value.as_deref())?;
            inputs.parameters.push(ParameterValue { name: parameter.name.clone(), value, global_name: None });
        }
        let known = inputs.clone();
        let scope = Scope { inputs: Some(&known), ..scope };
        for (artifact, json) in def.typed.inputs.artifacts.iter().zip(list(written, "artifacts")) {
            inputs.artifacts.push(input_artifact(&scope, artifact, json, &given)?);
        }
        Ok(inputs)
    }
}

fn input_artifact(
    scope: &Scope<'_>,
    declared: &Artifact,
    json: &Value,
    given: &Given,
) -> Result<ArtifactValue, String> {
    let argument = given.artifacts.iter().find(|a| a.name == declared.name);
    let found = argument.filter(|argument| argument.source.is_some());
    let mut value = match found {
        Some(argument) => argument.clone(),
        None => given_artifact(scope, json)?,
    };
    if value.source.is_none() && declared.optional != Some(true) {
        return Err(format!("inputs.artifacts.{} was not supplied, and is not optional", declared.name));
    }
    value.path.clone_from(&declared.path);
    value.mode = declared.mode.as_ref().and_then(mode_of);
    value.global_name = None;
    Ok(value)
}

/// A JSON or text mode; text is octal, as YAML 1.1 reads a number with a leading zero.
fn mode_of(mode: &tiphys_manifest::workflow::IntOrString) -> Option<u32> {
    use tiphys_manifest::workflow::IntOrString;
    match mode {
        IntOrString::Int(number) => u32::try_from(*number).ok(),
        IntOrString::Text(text) => u32::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
    }
}

/// An artifact as an argument, or as a template's own input, names it.
fn given_artifact(scope: &Scope<'_>, written: &Value) -> Result<ArtifactValue, String> {
    let artifact = Artifact::deserialize(written).map_err(|error| error.to_string())?;
    let told = |why: String| format!("artifact '{}': {why}", artifact.name);
    let mut value = match (&artifact.from, &artifact.from_expression) {
        (Some(from), _) => reference(scope, from).map_err(told)?,
        (None, Some(expression)) => by_expression(scope, expression).map_err(told)?,
        (None, None) => located(scope, &artifact).map_err(told)?,
    };
    if let (Some(within), Some(ArtifactSource::Stored { sub_path, .. })) =
        (&artifact.sub_path, &mut value.source)
    {
        let within = substitute::required(scope, within).map_err(told)?;
        *sub_path = Some(match sub_path.take() {
            Some(outer) => format!("{}/{}", outer.trim_end_matches('/'), within),
            None => within,
        });
    }
    value.name.clone_from(&artifact.name);
    Ok(value)
}

/// `from: "{{tasks.a.outputs.artifacts.b}}"`.
pub(super) fn reference(scope: &Scope<'_>, from: &str) -> Result<ArtifactValue, String> {
    let name = from.trim().strip_prefix("{{").and_then(|f| f.strip_suffix("}}"));
    let name = name.map_or(from, str::trim);
    match name.strip_prefix('=') {
        Some(expression) => by_expression(scope, expression),
        None => Ok(scope.artifact(name)?.unwrap_or_default()),
    }
}

/// `fromExpression`: the value is one of the artifacts in scope.
pub(super) fn by_expression(scope: &Scope<'_>, text: &str) -> Result<ArtifactValue, String> {
    let found = substitute::expression(scope, text).map_err(|error| error.to_string())?;
    if found.is_null() {
        return Ok(ArtifactValue::default());
    }
    ArtifactValue::deserialize(&found)
        .map_err(|_| format!("`{text}` gives no artifact but {}", short(&found)))
}

/// A place that the manifest names.
fn located(scope: &Scope<'_>, artifact: &Artifact) -> Result<ArtifactValue, String> {
    let mut value = ArtifactValue::default();
    if let Some(raw) = &artifact.raw {
        let data = raw.data.as_deref().unwrap_or_default();
        value.source = Some(ArtifactSource::Raw(substitute::required(scope, data)?));
    } else if let Some((kind, written)) = artifact.location() {
        value.source = Some(ArtifactSource::Stored {
            key: place::named(scope, kind, written)?,
            archive: place::archive_of(artifact)?,
            sub_path: None,
        });
    }
    Ok(value)
}

/// The literals of an `enum`.
pub(super) fn check_choice(parameter: &Parameter, value: Option<&str>) -> Result<(), String> {
    let known = parameter.choices.is_empty()
        || value.is_none_or(|value| parameter.choices.iter().any(|choice| choice == value));
    if known {
        return Ok(());
    }
    Err(format!("parameter '{}' must be one of {}", parameter.name, parameter.choices.join(", ")))
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// An expression's value as text; null is none.
pub(super) fn text_of(value: Value) -> Option<String> {
    (!value.is_null()).then(|| crate::names::item_text(&value))
}

fn short(value: &Value) -> String {
    let text: String = value.to_string().chars().take(60).collect();
    text
}

/// An artifact among the workflow's own arguments: raw content is taken as it is.
pub(super) fn own_artifact(scope: &Scope<'_>, written: &Value) -> Result<ArtifactValue, String> {
    let artifact = Artifact::deserialize(written).map_err(|error| error.to_string())?;
    match &artifact.raw {
        Some(raw) => Ok(ArtifactValue {
            name: artifact.name,
            source: Some(ArtifactSource::Raw(raw.data.clone().unwrap_or_default())),
            ..ArtifactValue::default()
        }),
        None => given_artifact(scope, written),
    }
}
