//! A workflow that is compared: what is submitted, how it is to end, and where it cannot run.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tiphys_tests::root;

/// In a case's text: where findings may be posted to, which each place knows.
pub(super) const SINK: &str = "http://sink.example/";

/// One workflow.
pub(super) struct Case {
    pub(super) name: String,
    /// The Workflow, as YAML.
    pub(super) text: String,
    /// Its phase in the end.
    pub(super) expected: String,
    /// Launchers on which it cannot run, and why.
    pub(super) not_on: BTreeMap<String, String>,
    /// Only its phase is compared.
    pub(super) phase_only: bool,
    /// It waits for somebody to resume it.
    pub(super) waits: bool,
    /// That it says so is no failure: it uses what is not run yet, or what this launcher has not.
    pub(super) may_be_refused: bool,
}

/// What came of a workflow: its phase, and of each pod phase, exit code, result, parameters and the names of its artifacts, by
/// the node's name.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) phase: String,
    pub(super) pods: BTreeMap<String, Value>,
    /// The message that refuses it, where one does.
    pub(super) refused: Option<String>,
    message: String,
}

/// The files of this folder. Each says in its first lines how it is to end.
pub(super) fn own() -> Vec<Case> {
    let files = std::fs::read_dir(root().join("tests/e2e/conformance")).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let files = files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml"));
    let mut cases: Vec<Case> = files
        .map(|file| {
            let text = std::fs::read_to_string(&file).unwrap();
            let said = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)).map(str::to_owned);
            let not_on = text.lines().filter_map(|line| line.strip_prefix("# not on ")?.split_once(": "));
            Case {
                name: file.file_stem().unwrap().to_string_lossy().into_owned(),
                expected: said("# expected: ").expect("a file says how it ends"),
                not_on: not_on.map(|(place, why)| (place.to_owned(), why.to_owned())).collect(),
                phase_only: said("# phase only: ").is_some(),
                waits: false,
                may_be_refused: false,
                text,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

impl Outcome {
    pub(super) fn of(workflow: &Value) -> Self {
        let (name, status) = (workflow["metadata"]["name"].as_str().unwrap_or_default(), &workflow["status"]);
        let nodes = status["nodes"].as_object().cloned().unwrap_or_default();
        let pods = nodes.values().filter(|node| node["type"] == "Pod").map(|node| {
            // The workflow's own name differs from place to place.
            let whole = node["name"].as_str().unwrap_or_default();
            (whole.strip_prefix(name).unwrap_or(whole).to_owned(), told(node))
        });
        let messages = nodes.values().filter_map(|node| node["message"].as_str());
        let message = status["message"].as_str();
        let mut all = messages.chain(message);
        Self {
            refused: all.find(|text| is_refusal(text)).map(str::to_owned),
            phase: status["phase"].as_str().unwrap_or_default().to_owned(),
            pods: pods.collect(),
            message: message.unwrap_or_default().to_owned(),
        }
    }

    /// How it differs from how it was to end, and from how it ended elsewhere.
    pub(super) fn wrong(&self, case: &Case, elsewhere: Option<(&str, &Self)>) -> Option<String> {
        if self.phase != case.expected {
            let (expected, pods) = (&case.expected, json!(self.pods));
            return Some(format!(
                "{}: expected {expected}, ended {}: {}: {pods}",
                case.name, self.phase, self.message
            ));
        }
        let (place, other) = elsewhere.filter(|_| !case.phase_only)?;
        let names = self.pods.keys().chain(other.pods.keys()).filter(|name| {
            let [here, there] = [&self.pods, &other.pods].map(|pods| pods.get(*name));
            here != there
        });
        let name = names.min()?;
        let [here, there] = [&self.pods, &other.pods].map(|pods| json!(pods.get(name)));
        Some(format!("{}: {name}: {here}; {place}: {there}", case.name))
    }
}

fn told(node: &Value) -> Value {
    let outputs = &node["outputs"];
    let list = |name: &str| outputs[name].as_array().cloned().unwrap_or_default();
    let parameters = list("parameters");
    let artifacts = list("artifacts");
    json!({
        "phase": node["phase"],
        "exitCode": outputs["exitCode"],
        "result": outputs["result"],
        "parameters": parameters.iter().map(|one| json!([one["name"], one["value"]])).collect::<Vec<_>>(),
        "artifacts": artifacts.iter().map(|one| one["name"].clone()).collect::<Vec<_>>(),
    })
}

/// What no tag tells apart from another version is asked for each time, and here is nobody to ask.
pub(super) fn keep_images(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(keep_images),
        Value::Object(members) => {
            for (name, member) in members {
                match (name.as_str(), &mut *member) {
                    ("container" | "script", Value::Object(container)) => {
                        container.entry("imagePullPolicy").or_insert_with(|| json!("IfNotPresent"));
                    }
                    ("sidecars" | "initContainers", Value::Array(list)) => {
                        for container in list.iter_mut().filter_map(Value::as_object_mut) {
                            container.entry("imagePullPolicy").or_insert_with(|| json!("IfNotPresent"));
                        }
                    }
                    (_, member) => keep_images(member),
                }
            }
        }
        _ => {}
    }
}

/// Whether a message says that something is not run yet, or not here.
fn is_refusal(text: &str) -> bool {
    text.contains("TIP-EXE-10") || text.contains("brings its own, which is not known on the host")
}
