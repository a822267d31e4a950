//! The workflows of `examples`, as who follows their pages starts them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use tiphys_tests::root;

use super::case::{Case, SINK, keep_images};
use crate::scan;

/// Files of `examples` with a workflow, and the name of what is compared.
const FILES: [(&str, &str); 6] = [
    ("basics/both.yaml", "ship"),
    ("basics/container.yaml", "in-containers"),
    ("falco-response/workflowtemplate.yaml", "stop-offender"),
    ("falco-response/kubernetes/sensor.yaml", "falco-pod-delete"),
    ("ticket-scan/workflowtemplate.yaml", "ticket-scan"),
    ("asset-inventory/workflow.yaml", "asset-inventory"),
];

/// One for each of [`FILES`].
pub(super) fn cases() -> Vec<Case> {
    FILES.into_iter().map(|(file, name)| case(file, name)).collect()
}

fn case(file: &str, name: &str) -> Case {
    let everywhere = ["process", "docker", "kubernetes"];
    let mut not_on = BTreeMap::new();
    let spec = match name {
        "ship" => {
            let spec = of_sensor(file);
            json!({"entrypoint": spec["entrypoint"], "templates": spec["templates"],
                "arguments": {"parameters": [{"name": "version", "value": "1.2.3"}]}})
        }
        "stop-offender" => {
            let why =
                "it stops a process of the host, which containers and pods do not see: it refuses there";
            not_on.extend(["docker", "kubernetes"].map(|place| (place.to_owned(), why.to_owned())));
            by_reference(
                name,
                json!({"parameters": [{"name": "pid", "value": ""}, {"name": "process", "value": ""},
                    {"name": "alert", "value": "a test"}]}),
            )
        }
        "ticket-scan" => by_reference(
            name,
            json!({"parameters": [{"name": "findings-url", "value": SINK}],
                "artifacts": [{"name": "message", "raw": {"data": scan::ticket("SEC-7")}}]}),
        ),
        "falco-pod-delete" => {
            let why =
                "it deletes a pod that an alert names, as an account that may: tests/e2e/pods.rs runs it";
            not_on.extend(everywhere.map(|place| (place.to_owned(), why.to_owned())));
            of_sensor(file)
        }
        _ => by_reference(name, json!({})),
    };
    let mut workflow = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"generateName": format!("{name}-")}, "spec": spec});
    keep_images(&mut workflow);
    let apart = match name {
        // It says when and where.
        "in-containers" => Some("artifacts/notes"),
        // It says where the database is.
        "asset-inventory" => Some("artifacts/log"),
        _ => None,
    };
    Case {
        name: format!("examples/{name}"),
        text: workflow.to_string(),
        expected: "Succeeded".into(),
        not_on,
        apart: apart.into_iter().map(str::to_owned).collect(),
        resumed: None,
        log: false,
        may_be_refused: false,
    }
}

fn by_reference(template: &str, arguments: Value) -> Value {
    json!({"workflowTemplateRef": {"name": template}, "arguments": arguments})
}

/// The workflow that a Sensor submits.
fn of_sensor(file: &str) -> Value {
    let text = std::fs::read_to_string(root().join("examples").join(file)).unwrap();
    let documents = tiphys_manifest::load::values(&text).unwrap();
    let place = "/spec/triggers/0/template/argoWorkflow/source/resource/spec";
    documents.iter().find_map(|document| document.pointer(place)).unwrap().clone()
}

#[test]
fn no_workflow_of_the_examples_is_left_out() {
    let mut found = BTreeSet::new();
    walk(&root().join("examples"), &mut found);
    let known: BTreeSet<String> = FILES.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(found, known);
}

/// Files in which a workflow begins somewhere.
fn walk(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml")
            && std::fs::read_to_string(&path)
                .unwrap()
                .lines()
                .any(|line| line.trim().starts_with("entrypoint:"))
        {
            let name = path.strip_prefix(root().join("examples")).unwrap();
            found.insert(name.to_string_lossy().into_owned());
        }
    }
}
