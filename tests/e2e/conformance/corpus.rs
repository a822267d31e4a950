//! Argo's own examples, where they lie beside the checkout: those for whose images there is a stand-in.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tiphys_tests::root;

use super::case::{Case, EXECUTORS_SINK, SINK, keep_images};
use super::listed;

/// The examples that are compared, and those that are not, with the reason.
#[derive(Default)]
pub(super) struct Corpus {
    pub(super) cases: Vec<Case>,
    pub(super) left_out: Vec<(String, String)>,
}

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
/// What of an example is its own each time, or follows from how quick a machine is, and is not compared.
const APART: [(&str, &str, &str); 8] = [
    ("artifact-disable-archive.yaml", "artifacts/etc", "an engine and a kubelet write into /etc"),
    (
        "dag-task-level-timeout.yaml",
        "exitCode",
        "a sleep that is the first process of its container ends by itself after TERM",
    ),
    ("scripts-javascript.yaml", "result", "it prints a random number"),
    ("scripts-bash.yaml", "result", "it prints a random number"),
    (
        "step-level-timeout.yaml",
        "exitCode",
        "a sleep that is the first process of its container ends by itself after TERM",
    ),
    (
        "timeouts-step.yaml",
        "exitCode",
        "a shell that is the first process of its container ends at KILL, not at TERM",
    ),
    ("timeouts-workflow.yaml", "nodes", "a nodeSelector means nothing on one machine"),
    ("custom-metrics.yaml", "parameters", "it makes a random number"),
];
/// Files that cannot run on a launcher, where that is not refused by name.
const NOT_ON: [(&str, &str, &str); 16] = [
    ("dag-daemon-retry-strategy.yaml", "process", "it runs a server that hosts need not have"),
    ("steps-daemon-retry-strategy.yaml", "process", "it runs a server that hosts need not have"),
    ("artifact-disable-archive.yaml", "process", "an output is the image's own /etc"),
    (
        "artifact-passing-subpath.yaml",
        "process",
        "an output is all of /tmp, which a process shares with its host",
    ),
    ("arguments-artifacts.yaml", "process", "an input goes where the host has its programs"),
    ("input-artifact-http.yaml", "process", "an input goes where the host has its programs"),
    ("conditional-artifacts.yaml", "process", BESIDE),
    ("dag-conditional-artifacts.yaml", "process", BESIDE),
    ("exit-handler-with-artifacts.yaml", "process", BESIDE),
    ("map-reduce.yaml", "process", "it makes folders of its image, which are the host's"),
    ("intermediate-parameters.yaml", "process", "it names a program by its place in the image"),
    ("k8s-set-owner-reference.yaml", "process", "it acts on objects of a cluster"),
    ("k8s-set-owner-reference.yaml", "docker", "it acts on objects of a cluster"),
    ("resource-delete-with-flags.yaml", "process", "it acts on objects of a cluster"),
    ("resource-delete-with-flags.yaml", "docker", "it acts on objects of a cluster"),
    ("volumes-existing.yaml", "docker", "its claim is an object of a cluster"),
];
const BESIDE: &str = "what it writes where it starts is the root of its image, and no folder of the host";
/// Files that wait for somebody: with which outputs they are resumed.
const RESUMED: [(&str, &[(&str, &str)]); 3] = [
    ("intermediate-parameters.yaml", &[("approve", "YES")]),
    ("suspend-template.yaml", &[]),
    ("suspend-template-outputs.yaml", &[("message", "released")]),
];
/// Addresses of the internet, and what stands for them: to the executor, or to the steps.
const INTERNET: [(&str, &str, &str); 3] = [
    ("arguments-artifacts.yaml", KUBECTL, EXECUTORS_SINK),
    ("input-artifact-http.yaml", KUBECTL, EXECUTORS_SINK),
    ("exit-handler-slack.yaml", "YOUR_WEBHOOK_URL_HERE", SINK),
];
const KUBECTL: &str =
    "https://storage.googleapis.com/kubernetes-release/release/v1.8.0/bin/linux/amd64/kubectl";

/// Where they lie.
fn folder() -> PathBuf {
    root().join("../shared/corpus")
}

/// What is wanted of them: `TIPHYS_CONFORMANCE` is `corpus`, or `corpus/` and the part of a name.
pub(super) fn wanted() -> Option<String> {
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
        match listed::expected(entry) {
            Ok(phase) if file.contains(&part) => corpus.cases.push(case(file, phase)),
            Ok(_) => {}
            Err(why) => corpus.left_out.push((file.to_owned(), why)),
        }
    }
    corpus
}

fn case(file: &str, expected: &str) -> Case {
    let text = std::fs::read_to_string(folder().join("argo-workflows").join(file)).unwrap();
    let documents = tiphys_manifest::load::values(&text).unwrap();
    let not_on = NOT_ON.iter().filter(|(name, _, _)| *name == file);
    let apart = APART.iter().filter(|(name, _, _)| *name == file);
    let resumed = RESUMED.iter().find(|(name, _)| *name == file);
    let internet = INTERNET.iter().filter(|(name, _, _)| *name == file);
    let text =
        internet.fold(workflow_of(&documents[0]).to_string(), |text, (_, from, to)| text.replace(from, to));
    Case {
        name: file.trim_end_matches(".yaml").to_owned(),
        text,
        expected: expected.to_owned(),
        not_on: not_on.map(|(_, place, why)| ((*place).to_owned(), (*why).to_owned())).collect(),
        apart: apart.map(|(_, field, _)| (*field).to_owned()).collect(),
        resumed: resumed.map(|(_, outputs)| {
            outputs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        }),
        log: false,
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
