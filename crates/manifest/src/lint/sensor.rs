//! Sensor: do its dependencies, conditions and parameters name what exists.

use std::collections::BTreeSet;

use serde_json::Value;

use super::set::{Set, list, text};
use super::{support, workflow};
use crate::codes;
use crate::diagnostic::{Diagnostic, near};
use crate::load::path::Path;
use crate::object::{Kind, Object, Spec};

pub(super) fn check(object: &Object, set: &Set<'_>, findings: &mut Vec<Diagnostic>) {
    let Some(spec) = object.document.get("spec") else {
        return;
    };
    let path = Path::root().key("spec");
    let mut names = BTreeSet::new();
    for (index, dependency) in list(spec, "dependencies").iter().enumerate() {
        let path = path.key("dependencies").index(index);
        let name = text(dependency, "name");
        if !names.insert(name) {
            findings.push(twice(object, &path, "dependencies", name));
        }
        event(object, dependency, &path, set, findings);
        support::check(support::Where::Dependency, object, dependency, &path, findings);
        if let Some(filters) = dependency.get("filters") {
            let path = path.key("filters");
            support::check(support::Where::Filters, object, filters, &path, findings);
        }
    }
    let mut triggers = BTreeSet::new();
    for (index, trigger) in list(spec, "triggers").iter().enumerate() {
        let path = path.key("triggers").index(index);
        let template = trigger.get("template").unwrap_or(&Value::Null);
        let name = text(template, "name");
        if !triggers.insert(name) {
            findings.push(twice(object, &path.key("template"), "triggers", name));
        }
        conditions(object, template, &path.key("template"), &names, findings);
        let own = trigger.get("parameters").unwrap_or(&Value::Null);
        parameters(object, own, &path.key("parameters"), &names, findings);
        // The trigger's own parameters may name the dependency only when an event comes.
        let named_later = list(trigger, "parameters")
            .iter()
            .any(|parameter| text(parameter, "dest").ends_with("dependencyName"));
        if !named_later {
            parameters(object, template, &path.key("template"), &names, findings);
        }
        action(object, template, &path.key("template"), set, findings);
        if let Some(policy) = trigger.get("policy") {
            support::check(support::Where::Policy, object, policy, &path.key("policy"), findings);
        }
    }
}

fn twice(object: &Object, path: &Path, what: &str, name: &str) -> Diagnostic {
    object.places.at_value(
        codes::DEPENDENCY_TWICE,
        &path.key("name"),
        format!("two {what} are named `{name}`"),
        "rename one of them".into(),
    )
}

/// Does the event exist that a dependency waits for.
fn event(object: &Object, dependency: &Value, path: &Path, set: &Set<'_>, findings: &mut Vec<Diagnostic>) {
    let (source, event) = (text(dependency, "eventSourceName"), text(dependency, "eventName"));
    // Patterns of names are matched at run time.
    if source.is_empty() || source.contains(['*', '?']) {
        return;
    }
    let Some(found) = set.get(Kind::EventSource, &object.namespace, source) else {
        let known = set.names(Kind::EventSource, &object.namespace);
        findings.push(object.places.at_value(
            codes::EVENT_SOURCE_MISSING,
            &path.key("eventSourceName"),
            format!("there is no EventSource `{source}` in namespace {}", object.namespace),
            meant(source, &known, "add it, or correct the name"),
        ));
        return;
    };
    let Spec::EventSource(spec) = &found.spec else {
        return;
    };
    let known: Vec<&str> = spec.events().map(|(_, name)| name).collect();
    if event.is_empty() || event.contains(['*', '?']) || known.contains(&event) {
        return;
    }
    findings.push(object.places.at_value(
        codes::EVENT_MISSING,
        &path.key("eventName"),
        format!("EventSource `{source}` has no event `{event}`"),
        meant(event, &known, "add it there, or correct the name"),
    ));
}

/// Do the names in `conditions` exist.
fn conditions(
    object: &Object,
    template: &Value,
    path: &Path,
    names: &BTreeSet<&str>,
    findings: &mut Vec<Diagnostic>,
) {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut reported = BTreeSet::new();
    for word in text(template, "conditions").split(|c| !is_name(c)) {
        let known = word.is_empty() || names.contains(word) || matches!(word, "true" | "false");
        if known || !reported.insert(word) {
            continue;
        }
        let all: Vec<&str> = names.iter().copied().collect();
        findings.push(object.places.at_value(
            codes::CONDITION_NAME,
            &path.key("conditions"),
            format!("no dependency of the Sensor is named `{word}`"),
            meant(word, &all, "name one of its dependencies"),
        ));
    }
}

/// Do parameters take from dependencies that exist. Both those of the trigger and those of its kind.
fn parameters(
    object: &Object,
    value: &Value,
    path: &Path,
    names: &BTreeSet<&str>,
    findings: &mut Vec<Diagnostic>,
) {
    match value {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                parameters(object, item, &path.index(index), names, findings);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                // What is submitted is not the Sensor's own text.
                if key == "source" {
                    continue;
                }
                let path = path.key(key.clone());
                if key == "src" {
                    parameter(object, item, &path, names, findings);
                }
                parameters(object, item, &path, names, findings);
            }
        }
        _ => {}
    }
}

fn parameter(
    object: &Object,
    source: &Value,
    path: &Path,
    names: &BTreeSet<&str>,
    findings: &mut Vec<Diagnostic>,
) {
    let name = text(source, "dependencyName");
    if name.is_empty() || names.contains(name) {
        return;
    }
    let known: Vec<&str> = names.iter().copied().collect();
    findings.push(object.places.at_value(
        codes::PARAMETER_DEPENDENCY,
        &path.key("dependencyName"),
        format!("no dependency of the Sensor is named `{name}`"),
        meant(name, &known, "name one of its dependencies"),
    ));
}

/// The kind of a trigger, and a workflow that stands within it.
fn action(object: &Object, template: &Value, path: &Path, set: &Set<'_>, findings: &mut Vec<Diagnostic>) {
    support::check(support::Where::Trigger, object, template, path, findings);
    for kind in ["argoWorkflow", "k8s"] {
        let Some(source) = template.get(kind).and_then(|t| t.get("source")) else {
            continue;
        };
        let path = path.key(kind).key("source");
        support::check(support::Where::Source, object, source, &path, findings);
        let Some(resource) = source.get("resource") else {
            continue;
        };
        let inner = match text(resource, "kind") {
            "Workflow" | "WorkflowTemplate" | "ClusterWorkflowTemplate" => resource.get("spec"),
            _ => None,
        };
        if let Some(spec) = inner {
            let metadata = resource.get("metadata").unwrap_or(&Value::Null);
            let namespace = match text(metadata, "namespace") {
                "" => object.namespace.as_str(),
                given => given,
            };
            let path = path.key("resource").key("spec");
            workflow::check(object, spec, &path, namespace, set, findings);
        }
    }
}

/// Help for a name that leads nowhere.
pub(super) fn meant(name: &str, known: &[&str], otherwise: &str) -> String {
    near(name, known.iter().copied())
        .map_or_else(|| otherwise.to_owned(), |near| format!("did you mean `{near}`?"))
}
