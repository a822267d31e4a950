//! The workflow as the object that Argo's users know.

use serde_json::{Map, Value, json};
use tiphys_core::Timestamp;

use crate::artifact::{Location, Place};
use crate::journal::State;
use crate::launcher::{Archive, ArtifactSource};
use crate::node::{ArtifactValue, Node, NodeKind, OutputValues, ParameterValue, Phase};
use crate::plan::unsupported;

/// A time as Kubernetes writes it: whole seconds, UTC.
#[must_use]
pub fn time_text(time: Timestamp) -> String {
    let utc = time.to_zoned(jiff::tz::TimeZone::UTC);
    utc.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The Workflow object with its status.
#[must_use]
pub fn object(state: &State) -> Value {
    let submission = &state.submission;
    let mut metadata = state.object().get("metadata").cloned().unwrap_or_default();
    if !metadata.is_object() {
        metadata = json!({});
    }
    metadata["name"] = json!(submission.name);
    metadata["namespace"] = json!(submission.namespace);
    metadata["uid"] = json!(submission.uid);
    metadata["creationTimestamp"] = json!(time_text(submission.at));
    let mut labels = state.all_labels();
    let phase = state.phase.map_or("Pending", Phase::as_str);
    labels.insert("workflows.argoproj.io/phase".into(), json!(phase));
    let over = if state.is_over() { "true" } else { "false" };
    labels.insert("workflows.argoproj.io/completed".into(), json!(over));
    metadata["labels"] = Value::Object(labels);
    let annotations = state.all_annotations();
    if !annotations.is_empty() {
        metadata["annotations"] = Value::Object(annotations);
    }
    json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": metadata,
        "spec": state.object().get("spec").cloned().unwrap_or_default(),
        "status": status(state),
    })
}

fn status(state: &State) -> Value {
    let mut status = Map::new();
    let phase = state.phase.map_or("Pending", Phase::as_str);
    status.insert("phase".into(), json!(phase));
    status.insert("startedAt".into(), json!(state.started.map(time_text)));
    status.insert("finishedAt".into(), json!(state.finished.map(time_text)));
    status.insert("progress".into(), json!(progress(state)));
    if !state.message.is_empty() {
        status.insert("message".into(), json!(state.message));
    }
    if let Some(repository) = &state.repository {
        let shown = repository.shown(&state.submission.namespace);
        status.insert("artifactRepositoryRef".into(), shown);
    }
    let nodes: Map<String, Value> =
        state.nodes.iter().map(|(id, node)| (id.clone(), node_object(state, node))).collect();
    status.insert("nodes".into(), Value::Object(nodes));
    if !state.outputs.is_empty() {
        status.insert("outputs".into(), outputs(&state.outputs));
    }
    let stored: Map<String, Value> =
        state.stored.iter().map(|(key, def)| (key.clone(), def.json.clone())).collect();
    if !stored.is_empty() {
        status.insert("storedTemplates".into(), Value::Object(stored));
    }
    if let Some(definition) = &state.definition
        && state.object()["spec"].get("workflowTemplateRef").is_some()
    {
        status.insert("storedWorkflowTemplateSpec".into(), definition.json.clone());
    }
    if state.suspended {
        status.insert("suspended".into(), json!(true));
    }
    let conditions = conditions(state);
    if !conditions.is_empty() {
        status.insert("conditions".into(), Value::Array(conditions));
    }
    Value::Object(status)
}

/// Pods ended out of pods known, as `1/2`.
#[must_use]
pub fn progress(state: &State) -> String {
    let pods = || state.nodes.values().filter(|n| n.kind == NodeKind::Pod);
    let done = pods().filter(|node| node.phase.fulfilled()).count();
    format!("{done}/{}", pods().count())
}

fn conditions(state: &State) -> Vec<Value> {
    let mut all = Vec::new();
    let running = state.nodes.values();
    let running = running.filter(|n| n.kind == NodeKind::Pod && n.phase == Phase::Running).count();
    if state.definition.is_some() {
        let status = if running > 0 { "True" } else { "False" };
        all.push(json!({"type": "PodRunning", "status": status}));
    }
    if state.is_over() {
        all.push(json!({"type": "Completed", "status": "True"}));
    }
    if let Some(problem) = state.collected.as_ref().filter(|problem| !problem.is_empty()) {
        all.push(json!({"type": "ArtifactGCError", "status": "True", "message": problem}));
    }
    let ignored = state.definition.iter();
    let ignored: Vec<&str> = ignored.flat_map(|d| unsupported::ignored(&d.spec)).collect();
    if !ignored.is_empty() {
        all.push(json!({"type": "SpecWarning", "status": "True",
            "message": format!("without effect for now: {}", ignored.join(", "))}));
    }
    if let Some(why) = &state.refused {
        all.push(json!({"type": "SpecWarning", "status": "True",
            "message": format!("the last command was not obeyed: {why}")}));
    }
    all
}

fn node_object(state: &State, node: &Node) -> Value {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| {
        object.insert(name.to_owned(), value);
    };
    put("id", json!(node.id));
    put("name", json!(node.name));
    put("displayName", json!(node.display_name));
    put("type", json!(node.kind.as_str()));
    if let Some(reference) = &node.target.reference {
        put("templateRef", json!(reference));
    } else if !node.target.template.is_empty() && !node.target.template.contains('/') {
        put("templateName", json!(node.target.template));
    }
    put("templateScope", json!(node.target.scope));
    put("phase", json!(node.phase.as_str()));
    if let Some(boundary) = &node.boundary {
        put("boundaryID", json!(boundary));
    }
    if !node.message.is_empty() {
        put("message", json!(node.message));
    }
    put("startedAt", json!(time_text(node.started)));
    put("finishedAt", json!(node.finished.map(time_text)));
    if !node.inputs.parameters.is_empty() || !node.inputs.artifacts.is_empty() {
        put("inputs", values(&node.inputs.parameters, &node.inputs.artifacts));
    }
    if !node.outputs.is_empty() {
        put("outputs", outputs(&node.outputs));
    }
    if !node.children.is_empty() {
        put("children", json!(node.children));
    }
    if !node.outbound.is_empty() {
        put("outboundNodes", json!(node.outbound));
    }
    if let Some(pod) = &node.pod_name {
        put("podName", json!(pod));
    }
    if let Some(host) = &node.host {
        put("hostNodeName", json!(host));
    }
    if let Some(daemon) = &node.daemon {
        put("daemoned", json!(!node.phase.fulfilled()));
        if let Some(address) = &daemon.address {
            put("podIP", json!(address));
        }
    }
    if let Some(attempt) = node.attempt {
        put("nodeFlag", json!({"retried": true, "attempt": attempt}));
    } else if node.exit {
        put("nodeFlag", json!({"hooked": true}));
    }
    if node.name == state.submission.name {
        put("progress", json!(progress(state)));
    }
    Value::Object(object)
}

fn values(parameters: &[ParameterValue], artifacts: &[ArtifactValue]) -> Value {
    let mut object = Map::new();
    if !parameters.is_empty() {
        object.insert("parameters".into(), json!(parameters));
    }
    if !artifacts.is_empty() {
        let list: Vec<Value> = artifacts.iter().map(artifact).collect();
        object.insert("artifacts".into(), Value::Array(list));
    }
    Value::Object(object)
}

/// Outputs as Argo shows them.
#[must_use]
pub fn outputs(outputs: &OutputValues) -> Value {
    let mut object = values(&outputs.parameters, &outputs.artifacts);
    if let Some(result) = &outputs.result {
        object["result"] = json!(result);
    }
    if let Some(code) = &outputs.exit_code {
        object["exitCode"] = json!(code);
    }
    object
}

/// An artifact as Argo shows it; one of the executor's own folder as one whose place is given by its key alone.
fn artifact(value: &ArtifactValue) -> Value {
    let mut object = json!({"name": value.name});
    if let Some(path) = &value.path {
        object["path"] = json!(path);
    }
    match &value.source {
        Some(ArtifactSource::Raw(data)) => object["raw"] = json!({"data": data}),
        Some(ArtifactSource::Stored { key, archive, sub_path }) => {
            match Location::read(key) {
                Ok(Some(location)) => merge_place(&mut object, &location.place),
                _ => object["s3"] = json!({"key": key}),
            }
            match archive {
                Archive::Tar => {}
                Archive::TarLevel(level) => object["archive"] = json!({"tar": {"compressionLevel": level}}),
                Archive::Zip => object["archive"] = json!({"zip": {}}),
                Archive::None => object["archive"] = json!({"none": {}}),
            }
            if let Some(within) = sub_path {
                object["subPath"] = json!(within);
            }
        }
        None => {}
    }
    if let Some(size) = value.size {
        object["size"] = json!(size);
    }
    if let Some(sum) = &value.sha256 {
        object["sha256"] = json!(sum);
    }
    object
}

/// The place under the name of its kind.
fn merge_place(object: &mut Value, place: &Place) {
    let shown = json!(place);
    for (kind, place) in shown.as_object().into_iter().flatten() {
        object[kind] = place.clone();
    }
}
