//! What came of a workflow, and how that differs from what was to come, and from what came elsewhere.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::case::{Case, REJECTED};

/// The phase of a workflow, and by the node's name what [`told`] says of each.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) phase: String,
    nodes: BTreeMap<String, Value>,
    /// The message that refuses it, where one does.
    pub(super) refused: Option<String>,
    message: String,
}

impl Outcome {
    /// Of a workflow that was not taken.
    pub(super) fn rejected(message: &str) -> Self {
        Self {
            phase: REJECTED.into(),
            nodes: BTreeMap::new(),
            refused: is_refusal(message).then(|| message.to_owned()),
            message: message.to_owned(),
        }
    }

    /// `log` is what its steps printed; `digest` tells of an artifact what its bytes are.
    pub(super) fn of(workflow: &Value, log: &[String], digest: impl Fn(&Value) -> Value) -> Self {
        let (name, status) = (workflow["metadata"]["name"].as_str().unwrap_or_default(), &workflow["status"]);
        let nodes = status["nodes"].as_object().cloned().unwrap_or_default();
        // The workflow's own name differs from place to place, and so does what is made of it.
        let same = |value: &Value| -> Value {
            let text = value.to_string().replace(name, "WORKFLOW");
            serde_json::from_str(&text).unwrap()
        };
        let mut told: BTreeMap<String, Value> = nodes
            .values()
            .map(|node| {
                let whole = node["name"].as_str().unwrap_or_default();
                (whole.strip_prefix(name).unwrap_or(whole).to_owned(), same(&told(node, &digest)))
            })
            .collect();
        if status["outputs"].is_object() {
            told.insert("the workflow".into(), same(&told_of(&status["outputs"], &digest)));
        }
        told.insert("the log".into(), same(&json!({"lines": log})));
        let messages = nodes.values().filter_map(|node| node["message"].as_str());
        let message = status["message"].as_str();
        let mut all = messages.chain(message);
        Self {
            refused: all.find(|text| is_refusal(text)).map(str::to_owned),
            phase: status["phase"].as_str().unwrap_or_default().to_owned(),
            nodes: told,
            message: message.unwrap_or_default().to_owned(),
        }
    }

    /// How it differs from how it was to end, and from how it ended elsewhere.
    pub(super) fn wrong(&self, case: &Case, elsewhere: Option<(&str, &Self)>) -> Option<String> {
        if self.phase != case.expected {
            let (expected, nodes) = (&case.expected, json!(self.nodes));
            return Some(format!(
                "{}: expected {expected}, ended {}: {}: {nodes}",
                case.name, self.phase, self.message
            ));
        }
        let (place, other) = elsewhere.filter(|_| !case.apart.iter().any(|field| field == NODES))?;
        let names = self.nodes.keys().chain(other.nodes.keys()).filter(|name| {
            let [here, there] = [self, other].map(|outcome| outcome.node(name, &case.apart));
            here != there
        });
        let name = names.min()?;
        let [here, there] = [self, other].map(|outcome| json!(outcome.nodes.get(name)));
        Some(format!("{}: {name}: {here}; {place}: {there}", case.name))
    }

    /// What is compared of a node.
    fn node(&self, name: &str, apart: &[String]) -> Option<Value> {
        let mut node = self.nodes.get(name)?.clone();
        for field in apart {
            match (field.strip_prefix("artifacts/"), node["artifacts"].as_array_mut()) {
                (Some(artifact), Some(artifacts)) => artifacts.retain(|one| one[0] != artifact),
                _ => drop(node.as_object_mut()?.remove(field)),
            }
        }
        Some(node)
    }
}

/// In [`Case::apart`]: nothing but the workflow's phase is compared.
pub(super) const NODES: &str = "nodes";

/// Of a node its type and phase, and its outputs.
fn told(node: &Value, digest: impl Fn(&Value) -> Value) -> Value {
    let mut told = told_of(&node["outputs"], digest);
    told["type"] = node["type"].clone();
    told["phase"] = node["phase"].clone();
    told
}

/// Exit code, result, parameters with their values, and artifacts with what their bytes are.
fn told_of(outputs: &Value, digest: impl Fn(&Value) -> Value) -> Value {
    let list = |name: &str| outputs[name].as_array().cloned().unwrap_or_default();
    let parameters: Vec<Value> =
        list("parameters").iter().map(|one| json!([one["name"], one["value"]])).collect();
    let artifacts: Vec<Value> =
        list("artifacts").iter().map(|one| json!([one["name"], digest(one)])).collect();
    json!({
        "exitCode": outputs["exitCode"],
        "result": outputs["result"],
        "parameters": parameters,
        "artifacts": artifacts,
    })
}

/// Whether a message says that something is not run yet, or not here.
fn is_refusal(text: &str) -> bool {
    text.contains("TIP-EXE-10") || text.contains("brings its own, which is not known on the host")
}
