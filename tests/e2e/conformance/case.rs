//! A workflow that is compared: what is submitted, how it is to end, and where it cannot run.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tiphys_tests::root;

/// In a case's text: where findings may be posted to, which each place knows.
pub(super) const SINK: &str = "http://sink.example/";

/// In a case's text: where the executor itself may ask for an artifact.
pub(super) const EXECUTORS_SINK: &str = "http://executors.sink.example/";

/// The phase of a workflow that is not taken.
pub(super) const REJECTED: &str = "rejected";

/// One workflow.
pub(super) struct Case {
    pub(super) name: String,
    /// The Workflow, as YAML.
    pub(super) text: String,
    /// Its phase in the end, or [`REJECTED`].
    pub(super) expected: String,
    /// Launchers on which it cannot run, and why.
    pub(super) not_on: BTreeMap<String, String>,
    /// What of its nodes is not compared, as it is its own each time: a member such as `result`, one artifact as `artifacts/NAME`,
    /// or [`super::outcome::NODES`], which is all of it.
    pub(super) apart: Vec<String>,
    /// It waits for somebody to resume it, with these outputs.
    pub(super) resumed: Option<BTreeMap<String, String>>,
    /// What its steps print is compared too.
    pub(super) log: bool,
    /// That it says so is no failure: it uses what is not run yet, or what this launcher has not.
    pub(super) may_be_refused: bool,
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
            let apart =
                text.lines().filter_map(|line| line.strip_prefix("# not compared: ")?.split_once(": "));
            let outputs =
                |said: String| said.split_once('=').map(|(name, value)| (name.into(), value.into()));
            Case {
                name: file.file_stem().unwrap().to_string_lossy().into_owned(),
                expected: said("# expected: ").expect("a file says how it ends"),
                not_on: not_on.map(|(place, why)| (place.to_owned(), why.to_owned())).collect(),
                apart: apart.map(|(field, _why)| field.to_owned()).collect(),
                resumed: said("# resumed with: ").map(|said| outputs(said).into_iter().collect()),
                log: true,
                may_be_refused: false,
                text,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
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
