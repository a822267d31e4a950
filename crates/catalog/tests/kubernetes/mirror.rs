//! Workflows that were not submitted as objects have one that shows them.

use serde_json::{Value, json};
use tiphys_bus::{Publish, streams};
use tiphys_core::workflow::{Verb, WorkflowRecord};
use tiphys_kit::kubernetes::{PatchKind, Removal};

use crate::stage::{ARGO, Stage, within};

const SHOWS: &str = "tiphys.dev/workflow";

#[tokio::test]
async fn a_workflow_of_a_trigger_has_an_object() {
    let Some(stage) = Stage::new().await else { return };
    let run = stage.run().await;
    let workflow = stage.triggered("alert").await;
    stage.show(&workflow, "Running", "begun").await;
    let live = stage.until_phase("alert", "Running").await;
    let metadata = &live["metadata"];
    assert_eq!(metadata["annotations"][SHOWS], format!("{}/alert/uid-of-alert", stage.namespace));
    assert_eq!(metadata["labels"]["own"], "label");
    // Argo's controllers run nothing that is labelled so.
    assert_eq!(metadata["labels"]["workflows.argoproj.io/controller-instanceid"], "tiphys");
    assert_eq!(live["spec"]["entrypoint"], "main");
    run.end().await;

    // It ends while nobody looks; whoever comes next says so, on the same object, and runs nothing.
    stage.show(&workflow, "Succeeded", "ended").await;
    let run = stage.run().await;
    let ended = stage.until_phase("alert", "Succeeded").await;
    assert_eq!(ended["metadata"]["uid"], metadata["uid"]);
    let submitted = |record: &WorkflowRecord| matches!(record, WorkflowRecord::Submitted(_));
    assert_eq!(stage.records().await.iter().filter(|record| submitted(record)).count(), 1);
    assert_eq!(stage.workflows().await.len(), 1);

    // It is deleted as its time to live says.
    stage.delete("alert").await;
    within("the object goes", || async { stage.workflows().await.is_empty().then_some(()) }).await;
    run.end().await;
}

#[tokio::test]
async fn what_happened_while_nobody_looked_is_made_up_for() {
    let Some(stage) = Stage::new().await else { return };
    // Ended before there was anybody to make an object.
    let early = stage.triggered("early").await;
    stage.show(&early, "Failed", "ended").await;
    // Its object was made, and then the process died.
    let known = stage.triggered("known").await;
    let annotations = json!({SHOWS: format!("{}/known/uid-of-known", stage.namespace)});
    let head = json!({"name": "known", "annotations": annotations, "labels": {"workflows.argoproj.io/controller-instanceid": "tiphys"}});
    let object = json!({"metadata": head, "spec": known["spec"], "status": {"phase": "Running"}});
    let made = stage.make(ARGO, "Workflow", object).await;
    stage.show(&known, "Succeeded", "ended").await;
    // Its workflow was deleted, and the object stayed.
    let stale = stage.triggered("stale").await;
    stage.show(&stale, "Succeeded", "ended").await;
    let head =
        json!({"name": "stale", "annotations": {SHOWS: format!("{}/stale/uid-of-stale", stage.namespace)}});
    stage
        .make(
            ARGO,
            "Workflow",
            json!({"metadata": head, "spec": stale["spec"], "status": {"phase": "Succeeded"}}),
        )
        .await;
    stage.delete("stale").await;
    // One of another installation, which nobody here knows, and a copy of one under another name.
    let head = json!({"name": "foreign", "annotations": {SHOWS: format!("{}/foreign/u", stage.namespace)}});
    stage.make(ARGO, "Workflow", json!({"metadata": head, "spec": known["spec"]})).await;

    let run = stage.run().await;
    stage.until_phase("early", "Failed").await;
    let live = stage.until_phase("known", "Succeeded").await;
    assert_eq!(live["metadata"]["uid"], made["metadata"]["uid"], "it is no second one");
    within("what is stale goes", || async {
        let names: Vec<Value> =
            stage.workflows().await.iter().map(|w| w["metadata"]["name"].clone()).collect();
        (names == ["early", "foreign", "known"]).then_some(())
    })
    .await;
    let mut records = stage.records().await.into_iter();
    let run_by_us =
        records.any(|record| matches!(record, WorkflowRecord::Submitted(s) if s.by == "kubernetes"));
    assert!(!run_by_us, "what shows a workflow is not run");
    run.end().await;
}

#[tokio::test]
async fn what_is_done_to_such_an_object_is_done_to_its_workflow() {
    let Some(stage) = Stage::new().await else { return };
    let run = stage.run().await;
    let workflow = stage.triggered("alert").await;
    stage.show(&workflow, "Running", "begun").await;
    stage.until_phase("alert", "Running").await;
    run.end().await;

    // Also while nobody looks.
    let objects = stage.objects(ARGO, "Workflow").await;
    let spec = |spec: Value| json!({"spec": spec});
    objects.patch("alert", "", PatchKind::Merge, &spec(json!({"suspend": true}))).await.unwrap();
    let run = stage.run().await;
    stage.command(|verb| matches!(verb, Verb::Suspend)).await;
    run.end().await;
    stage.learn().await;
    objects.patch("alert", "", PatchKind::Merge, &spec(json!({"suspend": null}))).await.unwrap();
    let run = stage.run().await;
    stage.command(|verb| matches!(verb, Verb::Resume { .. })).await;

    objects.delete("alert", &Removal::default()).await.unwrap();
    stage.command(|verb| matches!(verb, Verb::Delete)).await;
    // While it ends it gets no other.
    let other = stage.triggered("other").await;
    stage.show(&workflow, "Failed", "ended").await;
    stage.show(&other, "Failed", "ended").await;
    stage.until_phase("other", "Failed").await;
    assert_eq!(stage.workflows().await.len(), 1);
    stage.delete("alert").await;
    run.end().await;
}

#[tokio::test]
async fn one_of_several_processes_writes_and_another_takes_over() {
    let Some(stage) = Stage::new().await else { return };
    let (first, second) = (stage.run_as("first").await, stage.run_as("second").await);
    let object = stage.workflow("one").await;
    stage.submission("one").await;
    stage.show(&object, "Running", "begun").await;
    let live = stage.until_phase("one", "Running").await;
    let workflow = stage.triggered("two").await;
    stage.show(&workflow, "Running", "begun").await;
    stage.until_phase("two", "Running").await;
    // Nobody else wrote.
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let objects = stage.objects(ARGO, "Workflow").await;
    let now = objects.get("one").await.unwrap().unwrap();
    assert_eq!(now["metadata"]["resourceVersion"], live["metadata"]["resourceVersion"]);
    first.end().await;
    stage.show(&object, "Succeeded", "ended").await;
    stage.show(&workflow, "Succeeded", "ended").await;
    stage.until_phase("one", "Succeeded").await;
    stage.until_phase("two", "Succeeded").await;
    let third = stage.run_as("third").await;
    second.end().await;
    let object = stage.workflow("three").await;
    assert_eq!(stage.submission("three").await.uid, object["metadata"]["uid"]);
    assert_eq!(stage.workflows().await.len(), 3);
    third.end().await;
}

#[tokio::test]
async fn a_schedule_says_when_it_ran() {
    let Some(stage) = Stage::new().await else { return };
    let template = json!({"name": "m", "suspend": {}});
    let spec =
        json!({"schedules": ["1 1 1 1 *"], "workflowSpec": {"entrypoint": "m", "templates": [template]}});
    stage.make(ARGO, "CronWorkflow", json!({"metadata": {"name": "yearly"}, "spec": spec})).await;
    let memory = json!({"version": 1, "revision": "r", "since": "2026-01-01T00:00:00Z",
        "lastScheduledTime": "2026-01-01T01:01:00Z", "succeeded": 2, "failed": 1});
    let subject = streams::subject(streams::CRON, &[&stage.namespace, "CronWorkflow", "yearly"]);
    stage.bus.publish(Publish::new(subject, memory.to_string().into_bytes())).await.unwrap();
    let mut workflow = stage.triggered("yearly-1").await;
    workflow["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] = json!("yearly");
    stage.show(&workflow, "Running", "begun").await;
    let run = stage.run().await;
    let schedules = stage.objects(ARGO, "CronWorkflow").await;
    let status = within("its status", || async {
        let live = schedules.get("yearly").await.unwrap()?;
        live["status"].is_object().then(|| live["status"].clone())
    })
    .await;
    let runs = json!([{"apiVersion": ARGO, "kind": "Workflow", "namespace": stage.namespace, "name": "yearly-1",
        "uid": "uid-of-yearly-1"}]);
    let wanted = json!({"active": runs, "lastScheduledTime": "2026-01-01T01:01:00Z", "succeeded": 2, "failed": 1, "phase": "Active"});
    assert_eq!(status, wanted);
    run.end().await;
}
