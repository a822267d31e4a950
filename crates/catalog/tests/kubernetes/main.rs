//! Objects of a real API server: read into the catalog, Workflows submitted once, and what becomes of workflows written back.
#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod definitions;
mod held;
mod mirror;
mod pace;
mod stage;
mod turn;

use serde_json::{Value, json};
use tiphys_bus::{Publish, streams};
use tiphys_catalog::kubernetes::Config;
use tiphys_core::workflow::{Submission, Verb, WorkflowRecord};
use tiphys_kit::kubernetes::{PatchKind, Removal};
use tiphys_manifest::Kind;

use stage::{ARGO, Stage, within};

#[tokio::test]
async fn objects_are_in_the_catalog_with_the_secrets_that_they_name() {
    let Some(stage) = Stage::new().await else { return };
    let spec = json!({"webhook": {"a": {"port": "12000", "endpoint": "/a", "authSecret": {"name": "hook", "key": "token"}}}});
    stage.make(ARGO, "EventSource", json!({"metadata": {"name": "hooks"}, "spec": spec})).await;
    for name in ["hook", "other"] {
        stage
            .make("v1", "Secret", json!({"metadata": {"name": name}, "stringData": {"token": "s3cret"}}))
            .await;
    }
    let run = stage.run().await;
    let snapshot = run.catalog.snapshot();
    assert!(snapshot.get(Kind::EventSource, &stage.namespace, "hooks").is_some());
    assert!(snapshot.value(Kind::Secret, &stage.namespace, "hook", "token").is_ok());
    assert!(snapshot.get(Kind::Secret, &stage.namespace, "other").is_none(), "nobody names it");

    let template = json!({"metadata": {"name": "t"}, "spec": {"templates": [{"name": "m", "suspend": {}}]}});
    stage.make(ARGO, "WorkflowTemplate", template.clone()).await;
    stage.make(ARGO, "ClusterWorkflowTemplate", template).await;
    let get = |kind, name: &'static str| {
        let (catalog, namespace) = (run.catalog.clone(), stage.namespace.clone());
        move || {
            let found = catalog.snapshot().get(kind, &namespace, name).cloned();
            async move { found }
        }
    };
    let before = within("the template", get(Kind::WorkflowTemplate, "t")).await;
    within("the cluster's template", get(Kind::ClusterWorkflowTemplate, "t")).await;
    let templates = stage.objects(ARGO, "WorkflowTemplate").await;
    let change = json!({"spec": {"entrypoint": "m"}});
    templates.patch("t", "", PatchKind::Merge, &change).await.unwrap();
    within("the change", || async {
        let now = run.catalog.snapshot().get(Kind::WorkflowTemplate, &stage.namespace, "t").cloned()?;
        (now.revision != before.revision).then_some(())
    })
    .await;
    templates.delete("t", &Removal::default()).await.unwrap();
    within("its end", || async {
        run.catalog.snapshot().get(Kind::WorkflowTemplate, &stage.namespace, "t").is_none().then_some(())
    })
    .await;
    assert!(run.health.is_ready(), "{:?}", run.health.problems());
    run.end().await;
}

#[tokio::test]
async fn a_workflow_is_submitted_once_and_its_status_written_back() {
    let Some(stage) = Stage::new().await else { return };
    let run = stage.run().await;
    let object = stage.workflow("one").await;
    let submission = stage.submission("one").await;
    assert_eq!(submission.uid, object["metadata"]["uid"]);
    assert_eq!(submission.workflow["metadata"]["labels"]["own"], "label");
    assert!(submission.workflow["metadata"]["managedFields"].is_null());
    stage.show(&object, "Running", "begun").await;
    let live = stage.until_phase("one", "Running").await;
    assert_eq!(live["status"]["nodes"]["one"]["phase"], "Running");
    assert_eq!(live["metadata"]["labels"]["workflows.argoproj.io/completed"], "false");
    run.end().await;

    // Another process knows it again, and goes on.
    let run = stage.run().await;
    stage.show(&object, "Succeeded", "ended").await;
    let live = stage.until_phase("one", "Succeeded").await;
    assert_eq!(live["metadata"]["labels"]["workflows.argoproj.io/completed"], "true");
    assert_eq!(live["metadata"]["labels"]["own"], "label");
    assert_eq!(live["metadata"]["uid"], object["metadata"]["uid"]);
    // Somebody has it run again.
    stage.show(&object, "Running", "reset").await;
    let live = stage.until_phase("one", "Running").await;
    assert_eq!(live["metadata"]["labels"]["workflows.argoproj.io/completed"], "false");
    stage.show(&object, "Failed", "ended").await;
    stage.until_phase("one", "Failed").await;
    let submissions = stage.records().await;
    let submissions = submissions.iter().filter(|record| matches!(record, WorkflowRecord::Submitted(_)));
    assert_eq!(submissions.count(), 1);
    run.end().await;
}

#[tokio::test]
async fn what_is_done_to_the_object_is_done_to_the_workflow() {
    let Some(stage) = Stage::new().await else { return };
    // Done before, by somebody else, or with a name that is taken: none of them is run.
    let done = stage.workflow("done").await;
    let objects = stage.objects(ARGO, "Workflow").await;
    objects.patch("done", "", PatchKind::Merge, &json!({"status": {"phase": "Succeeded"}})).await.unwrap();
    stage.workflow("begun").await;
    objects.patch("begun", "", PatchKind::Merge, &json!({"status": {"phase": "Running"}})).await.unwrap();
    let taken = Submission {
        version: 1,
        uid: "u".into(),
        namespace: stage.namespace.clone(),
        name: "taken".into(),
        workflow: json!({}),
        at: "2026-11-30T12:00:00Z".parse().unwrap(),
        by: "cli".into(),
        firing: None,
    };
    let subject = streams::subject(streams::WORKFLOWS, &[&stage.namespace, "taken"]);
    let record = serde_json::to_vec(&WorkflowRecord::Submitted(taken)).unwrap();
    stage.bus.publish(Publish::new(subject, record)).await.unwrap();
    stage.workflow("taken").await;

    let run = stage.run().await;
    stage.workflow("one").await;
    stage.submission("one").await;
    let refused = stage.until_phase("taken", "Error").await;
    assert!(refused["status"]["message"].as_str().unwrap().contains("exists"), "{refused}");
    let names: Vec<String> = stage
        .records()
        .await
        .into_iter()
        .filter_map(|record| match record {
            WorkflowRecord::Submitted(submission) => Some(submission.name),
            _ => None,
        })
        .collect();
    assert_eq!(names, ["taken", "one"], "{done}");

    let change = |spec: Value| json!({"spec": spec});
    objects.patch("one", "", PatchKind::Merge, &change(json!({"suspend": true}))).await.unwrap();
    stage.command(|verb| matches!(verb, Verb::Suspend)).await;
    objects.patch("one", "", PatchKind::Merge, &change(json!({"suspend": null}))).await.unwrap();
    stage.command(|verb| matches!(verb, Verb::Resume { .. })).await;
    objects.patch("one", "", PatchKind::Merge, &change(json!({"shutdown": "Terminate"}))).await.unwrap();
    stage.command(|verb| matches!(verb, Verb::Terminate)).await;
    objects.delete("one", &Removal::default()).await.unwrap();
    stage.command(|verb| matches!(verb, Verb::Delete)).await;

    // A workflow whose time is over takes its object with it.
    let second = stage.workflow("second").await;
    stage.submission("second").await;
    stage.delete("second").await;
    within("the object goes", || async { objects.get("second").await.unwrap().is_none().then_some(()) })
        .await;
    drop(second);
    run.end().await;
}

#[tokio::test]
async fn what_argo_drives_is_left_to_it() {
    let Some(stage) = Stage::new().await else { return };
    let labels = json!({"app": "workflow-controller"});
    let container = json!({"name": "c", "image": "quay.io/argoproj/workflow-controller"});
    let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
    let deployment = json!({"metadata": {"name": "workflow-controller", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template}});
    stage.make("apps/v1", "Deployment", deployment).await;
    let deployments = stage.objects("apps/v1", "Deployment").await;
    let schedule = json!({"schedules": ["* * * * *"], "workflowSpec": {"entrypoint": "m", "templates": [{"name": "m", "suspend": {}}]}});
    stage.make(ARGO, "CronWorkflow", json!({"metadata": {"name": "often"}, "spec": schedule})).await;
    stage.workflow("argos").await;
    // The controller manager counts the pods that are ready; there is none, so the lease has to tell. Argo has a namespace of
    // its own, and works in ours, too.
    stage.make("v1", "Namespace", json!({"metadata": {"name": "argo"}})).await;
    let now = format!("{:.6}", tiphys_core::Timestamp::now());
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "workflow-controller"},
        "spec": {"holderIdentity": "argo-1", "renewTime": now, "leaseDurationSeconds": 15}});
    let leases = stage.cluster.resource("coordination.k8s.io/v1", "Lease").await.unwrap();
    stage.cluster.objects(&leases, "argo").create(&lease).await.unwrap();

    let run = stage.run().await;
    let problems = run.health.problems();
    let told = problems.get("catalog-kubernetes/argo").unwrap_or_else(|| panic!("{problems:?}"));
    assert!(told.contains("left to Argo: argo-1 holds the lease argo/workflow-controller;"), "{told}");
    assert!(told.contains("--argo-too"), "{told}");
    assert!(run.health.is_ready(), "it does not count: {problems:?}");
    assert!(run.catalog.snapshot().get(Kind::CronWorkflow, &stage.namespace, "often").is_none());
    stage
        .make(
            ARGO,
            "Sensor",
            json!({"metadata": {"name": "s"}, "spec": {"dependencies": [], "triggers": []}}),
        )
        .await;
    within("other kinds are read", || async {
        run.catalog.snapshot().of_kind(Kind::Sensor).next().map(|_| ())
    })
    .await;
    assert!(stage.records().await.is_empty());
    run.end().await;

    let config = Config { argo_too: true, ..stage.config() };
    let run = stage.run_with(config, None).await.unwrap();
    assert!(run.catalog.snapshot().get(Kind::CronWorkflow, &stage.namespace, "often").is_some());
    stage.submission("argos").await;
    run.end().await;
    deployments.delete("workflow-controller", &Removal::default()).await.unwrap();
}
