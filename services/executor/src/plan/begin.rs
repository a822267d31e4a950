//! The first look at a workflow: its spec merged, compiled and judged, its parameters known.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tiphys_manifest::{Kind, Spec};

use super::Pass;
use crate::artifact::{gc, repository};
use crate::definition::Definition;
use crate::journal::{Begun, Change};
use crate::merge;
use crate::names::item_text;
use crate::node::{ParameterValue, Phase};
use crate::scope::Scope;
use crate::substitute;

impl Pass<'_> {
    /// Begins the workflow, or ends it with the reason why it cannot begin.
    pub(super) fn begin(&mut self) {
        match self.prepare() {
            Ok(begun) => {
                self.record(Change::Begun(Box::new(begun)));
                if let Err(why) = self.added_metadata() {
                    self.over(Phase::Failed, format!("invalid spec: {why}"));
                }
            }
            Err((phase, message)) => self.over(phase, message),
        }
    }

    fn over(&mut self, phase: Phase, message: String) {
        self.record(Change::Ended { phase, message });
    }

    fn prepare(&mut self) -> Result<Begun, (Phase, String)> {
        let invalid = |why: String| (Phase::Failed, format!("invalid spec: {why}"));
        let submission = self.state.submission.clone();
        let written = submission.workflow.get("spec").cloned().unwrap_or_default();
        let merged = self.merged(&written)?;
        let spec = merged.as_ref().unwrap_or(&written);
        let definition = Definition::compile(&submission.name, spec).map_err(invalid)?;
        if let Some(construct) = super::unsupported::of_spec(&definition.spec) {
            return Err((Phase::Error, construct));
        }
        if definition.spec.entrypoint.is_empty() {
            return Err(invalid("spec.entrypoint is required".into()));
        }
        let exit = exit_template(&definition);
        for name in [Some(definition.spec.entrypoint.as_str()), exit.as_deref()].into_iter().flatten() {
            if definition.local(name).is_none() {
                let near = near(name, definition.names());
                return Err(invalid(format!("there is no template '{name}'{near}")));
            }
        }
        let parameters = self.workflow_parameters(&definition).map_err(invalid)?;
        gc::check(&definition).map_err(invalid)?;
        let reference = definition.spec.artifact_repository_ref.as_ref();
        let repository = repository::of_workflow(reference, &submission.namespace, self.context.catalog);
        let repository = repository.map_err(|why| (Phase::Error, why))?;
        let (labels, annotations) = metadata(&definition.json);
        Ok(Begun { spec: merged, parameters, labels, annotations, launcher: None, repository })
    }

    /// The spec merged over the template that it refers to, if it does.
    fn merged(&self, written: &Value) -> Result<Option<Value>, (Phase, String)> {
        let Some(reference) = written.get("workflowTemplateRef").filter(|r| r.is_object()) else {
            return Ok(None);
        };
        let name = reference["name"].as_str().unwrap_or_default();
        let cluster = reference["clusterScope"].as_bool().unwrap_or_default();
        let kind = if cluster { Kind::ClusterWorkflowTemplate } else { Kind::WorkflowTemplate };
        let namespace = &self.state.submission.namespace;
        let Some(object) = self.context.catalog.get(kind, namespace, name) else {
            return Err((Phase::Error, missing(kind, namespace, name)));
        };
        let template = &object.document["spec"];
        let mut merged = merge::over_template(template, written);
        inherit_metadata(&mut merged, &object.document);
        Ok(Some(merged))
    }

    /// `workflow.parameters`. Their values are never scanned for tags: they may come from an event.
    fn workflow_parameters(&self, definition: &Definition) -> Result<Vec<ParameterValue>, String> {
        let mut values = Vec::new();
        for parameter in &definition.spec.arguments.parameters {
            let from = parameter.value_from.as_ref();
            let mut value = parameter.value.clone();
            if let (None, Some(key)) = (&value, from.and_then(|f| f.config_map_key_ref.as_ref())) {
                let default = from.and_then(|from| from.default.clone());
                value = self.config_map(key)?.or(default);
            }
            let value = value.or_else(|| parameter.default.clone());
            if value.is_none() {
                return Err(format!(
                    "spec.arguments.parameters '{}' has no value: submit it with -p {}=…",
                    parameter.name, parameter.name
                ));
            }
            super::arguments::check_choice(parameter, value.as_deref())?;
            values.push(ParameterValue { name: parameter.name.clone(), value, global_name: None });
        }
        Ok(values)
    }

    /// `workflowMetadata.labelsFrom`, once the parameters are known.
    fn added_metadata(&mut self) -> Result<(), String> {
        let Some(definition) = self.state.definition.clone() else {
            return Err("it cannot be compiled".into());
        };
        let from = definition.json["workflowMetadata"]["labelsFrom"].as_object();
        let seed = self.state.submission.name.clone();
        let mut labels = BTreeMap::new();
        for (name, source) in from.into_iter().flatten() {
            let text = source["expression"].as_str().unwrap_or_default();
            let scope = Scope::of(&self.state, self.context.now, &seed);
            let value = substitute::expression(&scope, text).map_err(|error| error.to_string())?;
            labels.insert(name.clone(), item_text(&value));
        }
        if let Some(Change::Begun(begun)) = self.changes.last_mut() {
            begun.labels.extend(labels.clone());
        }
        self.state.labels.extend(labels);
        Ok(())
    }
}

/// Name of the template of the workflow's exit handler.
pub(super) fn exit_template(definition: &Definition) -> Option<String> {
    let spec = &definition.spec;
    let hook = spec.hooks.get("exit").map(|hook| hook.template.clone());
    let named = spec.on_exit.clone().or(hook);
    named.filter(|name| !name.is_empty())
}

/// What is missing, and what to do.
pub(super) fn missing(kind: Kind, namespace: &str, name: &str) -> String {
    let place = if kind.is_cluster_wide() { name.to_owned() } else { format!("{namespace}/{name}") };
    format!("{kind} {place} does not exist: apply it, then retry the workflow")
}

/// `, did you mean …` for the nearest of `names`.
pub(super) fn near<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> String {
    let nearest = names
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    nearest.map_or_else(String::new, |(_, other)| format!(", did you mean '{other}'?"))
}

fn metadata(spec: &Value) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let table = |name: &str| {
        let written = spec["workflowMetadata"][name].as_object();
        written.into_iter().flatten().map(|(key, value)| (key.clone(), item_text(value))).collect()
    };
    (table("labels"), table("annotations"))
}

/// A WorkflowTemplate that says it may run on the host says so for the workflows made from it.
fn inherit_metadata(spec: &mut Value, template: &Value) {
    let Some(launcher) = template["metadata"]["annotations"].get(super::pod::LAUNCHER) else {
        return;
    };
    if let Some(spec) = spec.as_object_mut() {
        let metadata = spec.entry("workflowMetadata").or_insert_with(|| json!({}));
        if metadata["annotations"].get(super::pod::LAUNCHER).is_none() {
            metadata["annotations"][super::pod::LAUNCHER] = launcher.clone();
        }
    }
}

impl Pass<'_> {
    /// Puts a templates' object's own consent to the host on one of its templates.
    pub(super) fn with_consent(object: &tiphys_manifest::Object, template: &Value) -> Value {
        let mut template = template.clone();
        let consent = object.annotations.get(super::pod::LAUNCHER);
        if let (Some(consent), Some(map)) = (consent, template.as_object_mut()) {
            let metadata = map.entry("metadata").or_insert_with(|| json!({}));
            if metadata["annotations"].get(super::pod::LAUNCHER).is_none() {
                metadata["annotations"][super::pod::LAUNCHER] = json!(consent);
            }
        }
        template
    }

    /// The value of a ConfigMap's key.
    pub(super) fn config_map(
        &self,
        key: &tiphys_manifest::workflow::KeySelector,
    ) -> Result<Option<String>, String> {
        const LABEL: &str = "workflows.argoproj.io/configmap-type";
        let namespace = &self.state.submission.namespace;
        let found = self.context.catalog.get(Kind::ConfigMap, namespace, &key.name);
        let Some(object) = found else {
            return match key.optional {
                Some(true) => Ok(None),
                _ => Err(missing(Kind::ConfigMap, namespace, &key.name)),
            };
        };
        if object.labels.get(LABEL).is_none_or(|label| label != "Parameter") {
            return Err(format!(
                "ConfigMap {namespace}/{} may not be read by workflows: label it {LABEL}=Parameter",
                key.name
            ));
        }
        let Spec::ConfigMap(map) = &object.spec else {
            return Ok(None);
        };
        match map.data.get(&key.key) {
            Some(value) => Ok(Some(value.clone())),
            None if key.optional == Some(true) => Ok(None),
            None => Err(format!("ConfigMap {namespace}/{} has no key '{}'", key.name, key.key)),
        }
    }
}
