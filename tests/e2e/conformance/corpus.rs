//! Argo's own examples, where they lie beside the checkout: those for whose images there is a stand-in.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tiphys_tests::root;

use super::case::{Case, keep_images};

/// The examples that are compared, and those that are not, with the reason.
#[derive(Default)]
pub(super) struct Corpus {
    pub(super) cases: Vec<Case>,
    pub(super) left_out: Vec<(String, String)>,
}

/// Images for which [`super::images`] has something, in the words of the list.
const IMAGES: [&str; 11] = ["a", "a*", "b", "c", "d", "n", "par", "s", "s1", "u", "w"];
/// What an example may need: what the server is given by [`manifests`], and what a cluster has.
const NEEDS: [&str; 6] = ["A", "K:CM", "K:PDB", "K:Secret", "T", "V"];
/// What the list does not say of an example.
const APART: [(&str, &str); 3] = [
    ("variables-showcase.yaml", "its daemon is nc with options that only Alpine's takes"),
    ("work-avoidance.yaml", "it tosses a coin, and stores at an address of its own"),
    ("workflow-event-binding/event-consumer-workflowtemplate.yaml", "it needs the event that it is bound to"),
];
/// Objects that others refer to, by their files.
const SHARED: [&str; 4] = [
    "cluster-workflow-template/clustertemplates.yaml",
    "configmaps/simple-parameters-configmap.yaml",
    "dag-inline-workflowtemplate.yaml",
    "workflow-template/templates.yaml",
];
/// A Secret that the examples take for granted.
const SECRET: &str = "
apiVersion: v1
kind: Secret
metadata: {name: my-secret}
stringData: {mypassword: S00perS3cretPa55word}
";
/// The repository that one of them names, and that of all others: the executor's own folder.
const REPOSITORIES: &str = "
apiVersion: v1
kind: ConfigMap
metadata:
  name: artifact-repositories
  annotations: {workflows.argoproj.io/default-artifact-repository: own}
data: {own: 'local: {}', my-key: 'local: {}'}
";
/// Where the outputs of an example are its own each time, or follow from how quick a machine is; its phase is compared.
const PHASE_ONLY: [(&str, &str); 5] = [
    (
        "dag-task-level-timeout.yaml",
        "a sleep that is the first process of its container ends by itself after TERM",
    ),
    ("scripts-bash.yaml", "it prints a random number"),
    (
        "step-level-timeout.yaml",
        "a sleep that is the first process of its container ends by itself after TERM",
    ),
    ("timeouts-step.yaml", "a shell that is the first process of its container ends at KILL, not at TERM"),
    ("timeouts-workflow.yaml", "a nodeSelector means nothing on one machine"),
];
/// Files that cannot run on a launcher, where that is not refused by name.
const NOT_ON: [(&str, &str, &str); 5] = [
    ("dag-daemon-retry-strategy.yaml", "process", "it runs a server that hosts need not have"),
    ("steps-daemon-retry-strategy.yaml", "process", "it runs a server that hosts need not have"),
    ("artifact-disable-archive.yaml", "process", "an output is the image's own /etc"),
    (
        "artifact-passing-subpath.yaml",
        "process",
        "an output is all of /tmp, which a process shares with its host",
    ),
    ("volumes-existing.yaml", "docker", "its claim is an object of a cluster"),
];
/// Files that wait for somebody, and only for that they go on.
const WAITS: [&str; 1] = ["suspend-template.yaml"];

/// Where they lie.
fn folder() -> PathBuf {
    root().join("../shared/corpus")
}

/// What is wanted of them: `TIPHYS_CONFORMANCE` is `corpus`, or `corpus/` and the part of a name.
fn wanted() -> Option<String> {
    let said = std::env::var("TIPHYS_CONFORMANCE").ok()?;
    Some(said.strip_prefix("corpus")?.trim_start_matches('/').to_owned())
}

/// All that are compared.
pub(super) fn examples() -> Corpus {
    let Some(part) = wanted() else { return Corpus::default() };
    let list = folder().join("argo-workflows.expected.json");
    let text = std::fs::read_to_string(&list);
    let text = text.unwrap_or_else(|error| panic!("TIPHYS_CONFORMANCE: {}: {error}", list.display()));
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut corpus = Corpus::default();
    for entry in &all {
        let file = entry["file"].as_str().unwrap();
        match expected(entry) {
            Ok(phase) if file.contains(&part) => corpus.cases.push(case(file, phase)),
            Ok(_) => {}
            Err(why) => corpus.left_out.push((file.to_owned(), why)),
        }
    }
    corpus
}

fn words<'v>(entry: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    entry[name].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// How an example is to end, or why it is not compared.
fn expected(entry: &Value) -> Result<&'static str, String> {
    let said = entry["expected"].as_str().unwrap_or_default();
    let kind = entry["kind"].as_str().unwrap_or_default();
    if !["W", "T", "CT", "C"].contains(&kind) {
        return Err("no workflow by itself".into());
    }
    let phase = match said.split([' ', ':', ';']).next() {
        _ if ["random", "p=", "p 0"].iter().any(|mark| said.contains(mark)) => {
            return Err("it ends by chance".into());
        }
        Some("object" | "suspends" | "Succeeded") => "Succeeded",
        Some("Failed") => "Failed",
        _ => return Err(format!("the list says: {said}")),
    };
    if let Some((_, why)) = APART.iter().find(|(file, _)| entry["file"] == *file) {
        return Err((*why).into());
    }
    if let Some(image) = words(entry, "images").find(|image| !IMAGES.contains(image)) {
        return Err(format!("no stand-in for the image of {}", of_image(image)));
    }
    if let Some(need) = words(entry, "needs").find(|need| !NEEDS.contains(need)) {
        return Err(of_need(need));
    }
    let conditional = [" if ", "17 min", "resume needs", "approve="];
    if conditional.iter().any(|mark| said.contains(mark)) {
        return Err(format!("the list says: {said}"));
    }
    if words(entry, "features").any(|feature| feature == "ttl") {
        return Err("it takes itself away before anybody can look".into());
    }
    Ok(phase)
}

fn of_image(image: &str) -> String {
    let known = [
        ("p", "Python"),
        ("nd", "Node.js"),
        ("i", "InfluxDB"),
        ("g8", "Go"),
        ("g10", "Go"),
        ("g18", "Go"),
        ("win", "Windows"),
        ("dk", "Docker in Docker"),
        ("git", "git"),
        ("ax", "argoexec"),
    ];
    known.iter().find(|(short, _)| *short == image).map_or(image, |(_, name)| name).to_owned()
}

fn of_need(need: &str) -> String {
    match need {
        "I" => "it needs the internet".into(),
        "C" => "it needs an account of a cloud".into(),
        "R" => "no pod of ours acts on objects: services/executor/tests/resource.rs".into(),
        other => format!("it needs {}", other.trim_start_matches("X:")),
    }
}

fn case(file: &str, expected: &str) -> Case {
    let text = std::fs::read_to_string(folder().join("argo-workflows").join(file)).unwrap();
    let documents = tiphys_manifest::load::values(&text).unwrap();
    let not_on = NOT_ON.iter().filter(|(name, _, _)| *name == file);
    Case {
        name: file.trim_end_matches(".yaml").to_owned(),
        text: workflow_of(&documents[0]).to_string(),
        expected: expected.to_owned(),
        not_on: not_on.map(|(_, place, why)| ((*place).to_owned(), (*why).to_owned())).collect(),
        phase_only: PHASE_ONLY.iter().any(|(name, _)| *name == file),
        waits: WAITS.contains(&file),
        may_be_refused: true,
    }
}

/// What is submitted: a Workflow, or what comes of a template or a schedule.
fn workflow_of(document: &Value) -> Value {
    let mut workflow = document.clone();
    if document["kind"] != "Workflow" {
        let spec = document["spec"].get("workflowSpec").unwrap_or(&document["spec"]);
        let name = document["metadata"]["name"].as_str().unwrap_or_default();
        workflow = json!({"apiVersion": document["apiVersion"], "kind": "Workflow",
            "metadata": {"generateName": format!("{name}-"),
                "annotations": {"workflows.argoproj.io/scheduled-time": "2026-12-01T00:00:00Z"}},
            "spec": spec});
    }
    keep_images(&mut workflow);
    workflow
}

/// Puts what the examples refer to into a folder of manifests.
pub(super) fn manifests(into: &Path) {
    if wanted().is_none() {
        return;
    }
    std::fs::write(into.join("secret.yaml"), SECRET).unwrap();
    std::fs::write(into.join("repositories.yaml"), REPOSITORIES).unwrap();
    for (number, file) in SHARED.iter().enumerate() {
        let text = std::fs::read_to_string(folder().join("argo-workflows").join(file)).unwrap();
        let mut documents = tiphys_manifest::load::values(&text).unwrap();
        documents.iter_mut().for_each(keep_images);
        let texts: Vec<String> = documents.iter().map(Value::to_string).collect();
        std::fs::write(into.join(format!("shared-{number}.yaml")), texts.join("\n---\n")).unwrap();
    }
}

/// Claims that a cluster is to have.
pub(super) fn claims() -> Vec<Value> {
    let Some(_) = wanted() else { return Vec::new() };
    let text = std::fs::read_to_string(folder().join("argo-workflows/testvolume.yaml")).unwrap();
    tiphys_manifest::load::values(&text).unwrap()
}
