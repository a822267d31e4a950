//! Other definitions than ours: Argo's, which have no status subresource and keep every field, and such with one.

use serde_json::{Value, json};
use tiphys_catalog::kubernetes::crd;

use crate::stage::Stage;

/// As Argo's small definitions are: nothing is checked, and what is changed is changed whole.
fn argos() -> Vec<Value> {
    let free = json!({"type": "object", "x-kubernetes-map-type": "atomic", "x-kubernetes-preserve-unknown-fields": true});
    let definition = |(plural, ours): (&str, Value)| {
        let spec = &ours["spec"];
        let mut properties = json!({"apiVersion": {"type": "string"}, "kind": {"type": "string"},
            "metadata": {"type": "object"}, "spec": free});
        let with_status = !plural.ends_with("workflowtemplates");
        if with_status {
            properties["status"] = free.clone();
        }
        let schema = json!({"openAPIV3Schema": {"type": "object", "required": ["metadata", "spec"], "properties": properties}});
        let column = json!({"name": "Status", "type": "string", "jsonPath": ".status.phase", "description": "Status of the workflow"});
        let version = json!({"name": "v1alpha1", "served": true, "storage": true, "schema": schema,
            "subresources": {}, "additionalPrinterColumns": [column]});
        json!({"metadata": ours["metadata"],
            "spec": {"group": spec["group"], "names": spec["names"], "scope": spec["scope"], "versions": [version]}})
    };
    crd::all().into_iter().map(definition).collect()
}

#[tokio::test]
async fn argos_own_definitions_are_accepted() {
    let Some(stage) = Stage::with(argos()).await else { return };
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
        let live = stage.until_phase(name, "Succeeded").await;
        assert_eq!(live["metadata"]["labels"]["workflows.argoproj.io/phase"], "Succeeded");
        assert_eq!(live["metadata"]["labels"]["workflows.argoproj.io/completed"], "true");
    }
    assert!(run.health.is_ready(), "{:?}", run.health.problems());
    run.end().await;
}
