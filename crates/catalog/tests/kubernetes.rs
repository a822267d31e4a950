//! Objects of a real API server: read into the catalog, Workflows submitted once, and their status written back.
#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_bus::{Bus, Publish, streams};
use tiphys_catalog::kubernetes::{Config, KubernetesFeeder, crd};
use tiphys_catalog::{Catalog, CatalogError};
use tiphys_core::SystemClock;
use tiphys_core::workflow::{Submission, Verb, WorkflowRecord};
use tiphys_kit::kubernetes::{Cluster, Failure, Objects, PatchKind, Removal, Settings};
use tiphys_kit::{CancellationToken, Group, Health};
use tiphys_manifest::Kind;
use tiphys_servers::Kubernetes;

/// Longer than anything takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
const ARGO: &str = "argoproj.io/v1alpha1";

/// A cluster with the definitions, and a bus.
struct Stage {
    cluster: Cluster,
    bus: Arc<dyn Bus>,
    /// What the executor would show of workflows.
    shown: Arc<Mutex<HashMap<String, Value>>>,
    namespace: String,
    _server: Kubernetes,
}

/// A feeder that follows, and a writer.
struct Run {
    catalog: Catalog,
    health: Health,
    stop: CancellationToken,
    group: Group,
}

impl Run {
    async fn end(self) {
        self.stop.cancel();
        self.group.join(Duration::from_secs(10)).await.unwrap();
    }
}

impl Stage {
    async fn new() -> Option<Self> {
        let made = tokio::task::spawn_blocking(|| {
            let server = tiphys_servers::kubernetes()?;
            let namespace = server.namespace();
            Some((server, namespace))
        });
        let (server, namespace) = made.await.unwrap()?;
        let settings = Settings { kubeconfig: Some(server.kubeconfig()), ..Settings::default() };
        let cluster = Cluster::open(settings).await.unwrap();
        let bus = tiphys_bus::memory();
        for stream in streams::all() {
            bus.ensure_stream(&stream).await.unwrap();
        }
        let this = Self { cluster, bus, shown: Arc::default(), namespace, _server: server };
        for (_, definition) in crd::all() {
            this.make("apiextensions.k8s.io/v1", "CustomResourceDefinition", definition).await;
        }
        // A definition is known to discovery a moment after it was made.
        within("the kinds are known", || async { this.cluster.resource(ARGO, "Sensor").await.ok() }).await;
        within("the kinds are known", || async { this.cluster.resource(ARGO, "Workflow").await.ok() }).await;
        Some(this)
    }

    async fn objects(&self, api_version: &str, kind: &str) -> Objects {
        let resource =
            within("the kind is known", || async { self.cluster.resource(api_version, kind).await.ok() });
        self.cluster.objects(&resource.await, &self.namespace)
    }

    async fn make(&self, api_version: &str, kind: &str, mut object: Value) -> Value {
        object["apiVersion"] = json!(api_version);
        object["kind"] = json!(kind);
        let objects = self.objects(api_version, kind).await;
        // A definition that is new is not served at once.
        within("it is made", || async {
            match objects.create(&object).await {
                Ok(made) => Some(made),
                Err(Failure::Missing(_)) => None,
                Err(failure) => panic!("{failure}"),
            }
        })
        .await
    }

    async fn workflow(&self, name: &str) -> Value {
        let container = json!({"image": "busybox", "command": ["true"]});
        let spec = json!({"entrypoint": "main", "templates": [{"name": "main", "container": container}]});
        self.make(
            ARGO,
            "Workflow",
            json!({"metadata": {"name": name, "labels": {"own": "label"}}, "spec": spec}),
        )
        .await
    }

    async fn run(&self) -> Run {
        self.run_with(Config { namespace: Some(self.namespace.clone()), argo_too: false }).await.unwrap()
    }

    async fn run_with(&self, config: Config) -> Result<Run, CatalogError> {
        let (catalog, health, stop) = (Catalog::new(), Health::default(), CancellationToken::new());
        let feeder = KubernetesFeeder::open(
            self.cluster.clone(),
            config,
            catalog.feeder(),
            self.bus.clone(),
            Arc::new(SystemClock),
            health.clone(),
        )
        .await?;
        let shown = self.shown.clone();
        let look = move |namespace: &str, name: &str| {
            shown.lock().unwrap().get(&format!("{namespace}/{name}")).cloned()
        };
        let writer = feeder.statuses(Arc::new(look));
        let mut group = Group::new(stop.clone());
        group.spawn("feeder", |stop| feeder.follow(stop));
        group.spawn("writer", |stop| writer.run(stop));
        Ok(Run { catalog, health, stop, group })
    }

    async fn records(&self) -> Vec<WorkflowRecord> {
        let messages = self.bus.read(streams::WORKFLOWS, "", 1, 1000).await.unwrap();
        messages.iter().filter_map(|message| serde_json::from_slice(&message.payload).ok()).collect()
    }

    async fn submission(&self, name: &str) -> Submission {
        within("a submission", || async {
            self.records().await.into_iter().find_map(|record| match record {
                WorkflowRecord::Submitted(submission) if submission.name == name => Some(submission),
                _ => None,
            })
        })
        .await
    }

    async fn command(&self, wanted: impl Fn(&Verb) -> bool) {
        within("a command", || async {
            let mut records = self.records().await.into_iter();
            records.find(|record| matches!(record, WorkflowRecord::Command(command) if wanted(&command.verb)))
        })
        .await;
    }

    /// The executor's view of a workflow, told by a record as it writes them.
    async fn show(&self, object: &Value, phase: &str, record: &str) {
        let name = object["metadata"]["name"].as_str().unwrap();
        let over = if matches!(phase, "Succeeded" | "Failed") { "true" } else { "false" };
        let labels = json!({"own": "label", "workflows.argoproj.io/phase": phase, "workflows.argoproj.io/completed": over});
        let status = json!({"phase": phase, "progress": "1/1", "startedAt": "2026-11-30T12:00:00Z", "finishedAt": null,
            "nodes": {name: {"id": name, "phase": phase, "finishedAt": null}}});
        let shown =
            json!({"metadata": {"uid": object["metadata"]["uid"], "labels": labels}, "status": status});
        self.shown.lock().unwrap().insert(format!("{}/{name}", self.namespace), shown);
        let subject = streams::subject(streams::WORKFLOWS, &[&self.namespace, name]);
        let record = json!({"record": "progress", "progress": {"changes": [record]}});
        self.bus.publish(Publish::new(subject, record.to_string().into_bytes())).await.unwrap();
    }

    async fn until_phase(&self, name: &str, phase: &str) -> Value {
        let objects = self.objects(ARGO, "Workflow").await;
        within(phase, || async {
            let live = objects.get(name).await.unwrap()?;
            (live["status"]["phase"] == phase).then_some(live)
        })
        .await
    }
}

async fn within<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

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
    let subject = streams::subject(streams::WORKFLOWS, &[&stage.namespace, "second"]);
    let deleted = format!("{subject}.deleted");
    stage.bus.publish(Publish::new(deleted, &b"{}"[..])).await.unwrap();
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
    // The controller manager counts the pods that are ready; there is none, so the lease has to tell.
    let now = format!("{:.6}", tiphys_core::Timestamp::now());
    let lease = json!({"metadata": {"name": "workflow-controller"}, "spec": {"holderIdentity": "argo-1", "renewTime": now,
        "leaseDurationSeconds": 15}});
    stage.make("coordination.k8s.io/v1", "Lease", lease).await;

    let run = stage.run().await;
    let problems = run.health.problems();
    let told = problems.get("catalog-kubernetes/argo").unwrap_or_else(|| panic!("{problems:?}"));
    assert!(told.contains("left to Argo") && told.contains("--argo-too"), "{told}");
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

    let config = Config { namespace: Some(stage.namespace.clone()), argo_too: true };
    let run = stage.run_with(config).await.unwrap();
    assert!(run.catalog.snapshot().get(Kind::CronWorkflow, &stage.namespace, "often").is_some());
    stage.submission("argos").await;
    run.end().await;
    deployments.delete("workflow-controller", &Removal::default()).await.unwrap();
}
