//! Other definitions than ours: Argo's, in the forms that it installs, and such whose status is written apart.

use serde_json::{Value, json};
use tiphys_catalog::kubernetes::crd;
use tiphys_manifest::Kind;

use crate::stage::{ARGO, Stage, within};

/// What is true of Argo's definitions (Workflows 4.1, Events 1.9): a kind, its plural, its short names, and whether its status
/// is written apart. Only Workflows have columns of their own.
const ARGOS: [(Kind, &str, &[&str], bool); 7] = [
    (Kind::Workflow, "workflows", &["wf"], false),
    (Kind::WorkflowTemplate, "workflowtemplates", &["wftmpl"], false),
    (Kind::ClusterWorkflowTemplate, "clusterworkflowtemplates", &["clusterwftmpl", "cwft"], false),
    (Kind::CronWorkflow, "cronworkflows", &["cwf", "cronwf"], false),
    (Kind::EventSource, "eventsources", &["es"], true),
    (Kind::EventBus, "eventbus", &["eb"], true),
    (Kind::Sensor, "sensors", &["sn"], true),
];
const COLUMNS: [(&str, &str, &str); 3] = [
    ("Status", "string", ".status.phase"),
    ("Age", "date", ".status.startedAt"),
    ("Message", "string", ".status.message"),
];

/// How much the API server knows of what Workflows are made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing is checked, and what is changed is changed whole.
    Minimal,
    /// What is not known is dropped, and what is of another type is refused.
    Full,
}

fn argos(form: Form) -> Vec<Value> {
    let definition = |(kind, plural, short, apart): &(Kind, &str, &[&str], bool)| {
        let mut free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        if !apart {
            free["x-kubernetes-map-type"] = json!("atomic");
        }
        let mut properties = json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"type": "object"}, "spec": free});
        if !plural.ends_with("templates") {
            properties["status"] = free.clone();
        }
        if form == Form::Full && *kind == Kind::Workflow {
            properties["status"] = full_status();
        }
        let schema = json!({"type": "object", "required": ["metadata", "spec"], "properties": properties});
        let mut version = json!({"name": "v1alpha1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}});
        if *apart {
            version["subresources"] = json!({"status": {}});
        }
        if *kind == Kind::Workflow {
            version["subresources"] = json!({});
            let columns =
                COLUMNS.map(|(name, kind, path)| json!({"name": name, "type": kind, "jsonPath": path}));
            version["additionalPrinterColumns"] = json!(columns);
        }
        let word = kind.as_str();
        let names = json!({"kind": word, "listKind": format!("{word}List"), "plural": plural,
            "singular": word.to_ascii_lowercase(), "shortNames": short});
        let scope = if *kind == Kind::ClusterWorkflowTemplate { "Cluster" } else { "Namespaced" };
        json!({"metadata": {"name": format!("{plural}.argoproj.io")},
            "spec": {"group": "argoproj.io", "names": names, "scope": scope, "versions": [version]}})
    };
    ARGOS.iter().map(definition).collect()
}

/// Of the full form: the types of what is written here, and what a node cannot be without.
fn full_status() -> Value {
    let (text, time) = (json!({"type": "string"}), json!({"type": "string", "format": "date-time"}));
    let node = json!({"type": "object", "required": ["id", "name", "type"], "properties": {
        "id": text, "name": text, "type": text, "phase": text, "startedAt": time, "finishedAt": time}});
    json!({"type": "object", "properties": {"phase": text, "message": text, "progress": text,
        "startedAt": time, "finishedAt": time, "nodes": {"type": "object", "additionalProperties": node}}})
}

#[test]
fn ours_are_called_as_argos_are() {
    let named = |definitions: Vec<Value>| {
        let mut all: Vec<Value> = definitions
            .iter()
            .map(|definition| {
                let spec = &definition["spec"];
                let version = &spec["versions"][0]["name"];
                json!([spec["group"], spec["names"], spec["scope"], version])
            })
            .collect();
        all.sort_by_key(Value::to_string);
        all
    };
    let ours: Vec<Value> = crd::all().into_iter().map(|(_, definition)| definition).collect();
    let workflows = ours.iter().find(|definition| definition["metadata"]["name"] == "workflows.argoproj.io");
    let columns = &workflows.unwrap()["spec"]["versions"][0]["additionalPrinterColumns"];
    let usual = columns.as_array().unwrap().iter().filter(|column| column["priority"].is_null());
    let wanted = COLUMNS.map(|(name, kind, path)| json!({"name": name, "type": kind, "jsonPath": path}));
    assert_eq!(usual.cloned().collect::<Vec<_>>(), wanted, "`kubectl get wf` shows what Argo's shows");
    assert_eq!(named(ours), named(argos(Form::Minimal)));
}

#[tokio::test]
async fn argos_small_definitions_are_accepted() {
    let Some(stage) = Stage::with(argos(Form::Minimal)).await else { return };
    comes_and_goes(&stage).await;
}

#[tokio::test]
async fn argos_full_definitions_are_accepted() {
    let Some(stage) = Stage::with(argos(Form::Full)).await else { return };
    comes_and_goes(&stage).await;
}

#[tokio::test]
async fn a_status_that_is_written_apart_is_written() {
    let mut definitions: Vec<Value> = crd::all().into_iter().map(|(_, definition)| definition).collect();
    for definition in &mut definitions {
        definition["spec"]["versions"][0]["subresources"] = json!({"status": {}});
    }
    let Some(stage) = Stage::with(definitions).await else { return };
    comes_and_goes(&stage).await;
}

/// A Workflow object, and one that a trigger made, from beginning to end.
async fn comes_and_goes(stage: &Stage) {
    let run = stage.run().await;
    let object = stage.workflow("one").await;
    stage.submission("one").await;
    let triggered = stage.triggered("two").await;
    for (name, workflow) in [("one", &object), ("two", &triggered)] {
        stage.show(workflow, "Running", "begun").await;
        let live = stage.until_phase(name, "Running").await;
        assert_eq!(live["status"]["nodes"][name]["phase"], "Running");
        stage.show(workflow, "Succeeded", "ended").await;
        stage.until_phase(name, "Succeeded").await;
        // A status that is written apart comes before the labels.
        let objects = stage.objects(ARGO, "Workflow").await;
        within("the labels of the end", || async {
            let labels = objects.get(name).await.unwrap()?["metadata"]["labels"].clone();
            let of = |label: &str| labels[format!("workflows.argoproj.io/{label}")].clone();
            (of("phase") == "Succeeded" && of("completed") == "true").then_some(())
        })
        .await;
    }
    assert!(run.health.is_ready(), "{:?}", run.health.problems());
    run.end().await;
}
