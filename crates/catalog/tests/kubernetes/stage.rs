//! A real API server with the definitions, a bus, and what the executor would show of workflows.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_bus::{Bus, Publish, streams};
use tiphys_catalog::kubernetes::{Brief, Config, KubernetesFeeder, Shown, crd};
use tiphys_catalog::{Catalog, CatalogError};
use tiphys_core::SystemClock;
use tiphys_core::workflow::{Command, Submission, Verb, WorkflowRecord};
use tiphys_kit::kubernetes::{Cluster, Failure, Objects, Settings};
use tiphys_kit::{CancellationToken, Group, Health};
use tiphys_servers::{Flaky, Kubernetes};

/// Longer than anything takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const ARGO: &str = "argoproj.io/v1alpha1";

/// A cluster with the definitions, and a bus.
pub(crate) struct Stage {
    pub(crate) cluster: Cluster,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) shown: Arc<Projection>,
    pub(crate) namespace: String,
    server: Kubernetes,
}

/// By namespace and name.
type Table<T> = Mutex<HashMap<(String, String), T>>;

/// What the executor would show of workflows.
#[derive(Default)]
pub(crate) struct Projection {
    workflows: Table<Value>,
    asked: Table<(Submission, Vec<Command>)>,
}

impl Projection {
    /// Shows a workflow.
    pub(crate) fn put(&self, object: &Value, phase: &str, progress: &str) {
        let text = |field: &str| object["metadata"][field].as_str().unwrap();
        let name = text("name");
        let over = if matches!(phase, "Succeeded" | "Failed") { "true" } else { "false" };
        let node = json!({"id": name, "name": name, "type": "Pod", "phase": phase, "finishedAt": null});
        let status = json!({"phase": phase, "progress": progress, "startedAt": "2026-11-30T12:00:00Z", "finishedAt": null,
            "nodes": {name: node}});
        let mut shown = object.clone();
        shown["metadata"]["labels"]["workflows.argoproj.io/phase"] = json!(phase);
        shown["metadata"]["labels"]["workflows.argoproj.io/completed"] = json!(over);
        shown["status"] = status;
        self.workflows.lock().unwrap().insert((text("namespace").into(), name.into()), shown);
    }
}

impl Shown for Projection {
    fn workflow(&self, namespace: &str, name: &str) -> Option<Value> {
        self.workflows.lock().unwrap().get(&(namespace.into(), name.into())).cloned()
    }

    fn brief(&self, namespace: &str, name: &str) -> Option<Brief> {
        let workflow = self.workflow(namespace, name)?;
        let metadata = &workflow["metadata"];
        let over = metadata["labels"]["workflows.argoproj.io/completed"] == "true";
        Some(Brief { uid: metadata["uid"].as_str()?.into(), over })
    }

    fn asked(&self, namespace: &str, name: &str) -> Option<(Submission, Vec<Command>)> {
        self.asked.lock().unwrap().get(&(namespace.into(), name.into())).cloned()
    }

    fn names(&self) -> Vec<(String, String)> {
        self.workflows.lock().unwrap().keys().cloned().collect()
    }

    fn runs(&self, namespace: &str, name: &str) -> Vec<(String, String)> {
        let all = self.workflows.lock().unwrap();
        let of = all.iter().filter(|((there, _), workflow)| {
            there == namespace
                && workflow["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"] == name
        });
        of.map(|((_, name), workflow)| {
            (name.clone(), workflow["metadata"]["uid"].as_str().unwrap().to_owned())
        })
        .collect()
    }
}

/// A feeder that follows, and who keeps workflows and objects in step.
pub(crate) struct Run {
    pub(crate) catalog: Catalog,
    pub(crate) health: Health,
    stop: CancellationToken,
    group: Group,
}

impl Run {
    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.group.join(Duration::from_secs(10)).await.unwrap();
    }
}

impl Stage {
    pub(crate) async fn new() -> Option<Self> {
        Self::with(definitions()).await
    }

    /// On an API server with these definitions.
    pub(crate) async fn with(definitions: Vec<Value>) -> Option<Self> {
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
        let this = Self { cluster, bus, shown: Arc::default(), namespace, server };
        for definition in definitions {
            this.make("apiextensions.k8s.io/v1", "CustomResourceDefinition", definition).await;
        }
        // A definition is known to discovery a moment after it was made.
        within("the kinds are known", || async { this.cluster.resource(ARGO, "Sensor").await.ok() }).await;
        within("the kinds are known", || async { this.cluster.resource(ARGO, "Workflow").await.ok() }).await;
        Some(this)
    }

    pub(crate) async fn objects(&self, api_version: &str, kind: &str) -> Objects {
        let resource =
            within("the kind is known", || async { self.cluster.resource(api_version, kind).await.ok() });
        self.cluster.objects(&resource.await, &self.namespace)
    }

    pub(crate) async fn make(&self, api_version: &str, kind: &str, mut object: Value) -> Value {
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

    pub(crate) async fn workflow(&self, name: &str) -> Value {
        let container = json!({"image": "busybox", "command": ["true"]});
        let spec = json!({"entrypoint": "main", "templates": [{"name": "main", "container": container}]});
        self.make(
            ARGO,
            "Workflow",
            json!({"metadata": {"name": name, "labels": {"own": "label"}}, "spec": spec}),
        )
        .await
    }

    pub(crate) async fn run(&self) -> Run {
        self.run_with(self.config(), None).await.unwrap()
    }

    /// A run among others, under a name.
    pub(crate) async fn run_as(&self, owner: &str) -> Run {
        self.run_with(self.config(), Some(owner.into())).await.unwrap()
    }

    pub(crate) fn config(&self) -> Config {
        Config { namespace: Some(self.namespace.clone()), ..Config::default() }
    }

    /// An API server that may misbehave, before the real one.
    pub(crate) fn flaky(&self) -> Flaky {
        Flaky::before(&self.server)
    }

    /// A run that asks there.
    pub(crate) async fn run_through(&self, flaky: &Flaky) -> Run {
        let settings = Settings { kubeconfig: Some(flaky.kubeconfig()), ..Settings::default() };
        let cluster = Cluster::open(settings).await.unwrap();
        self.run_in(cluster, self.config(), None).await.unwrap()
    }

    pub(crate) async fn run_with(&self, config: Config, owner: Option<String>) -> Result<Run, CatalogError> {
        self.run_in(self.cluster.clone(), config, owner).await
    }

    async fn run_in(
        &self,
        cluster: Cluster,
        config: Config,
        owner: Option<String>,
    ) -> Result<Run, CatalogError> {
        self.run_where(cluster, config, owner, self.bus.clone(), self.shown.clone()).await
    }

    /// A run that sees the bus and the workflows in a way of its own.
    pub(crate) async fn run_on(
        &self,
        config: Config,
        owner: Option<String>,
        bus: Arc<dyn Bus>,
        shown: Arc<Projection>,
    ) -> Result<Run, CatalogError> {
        self.run_where(self.cluster.clone(), config, owner, bus, shown).await
    }

    async fn run_where(
        &self,
        cluster: Cluster,
        config: Config,
        owner: Option<String>,
        bus: Arc<dyn Bus>,
        shown: Arc<Projection>,
    ) -> Result<Run, CatalogError> {
        let (catalog, health, stop) = (Catalog::new(), Health::default(), CancellationToken::new());
        let clock = Arc::new(SystemClock);
        let feeder = KubernetesFeeder::new(cluster, config, &catalog, clock, health.clone());
        feeder.read().await?;
        let work = feeder.workflows(bus, shown, owner);
        let mut group = Group::new(stop.clone());
        group.spawn("feeder", |stop| feeder.follow(stop));
        group.spawn("workflows", |stop| work.run(stop));
        Ok(Run { catalog, health, stop, group })
    }

    /// The Workflow objects of the namespace.
    pub(crate) async fn workflows(&self) -> Vec<Value> {
        self.objects(ARGO, "Workflow").await.list("").await.unwrap().0
    }

    /// A workflow as a trigger submits it, as far as the executor shows it. Its identity is the journal's.
    pub(crate) async fn triggered(&self, name: &str) -> Value {
        let container = json!({"image": "busybox", "command": ["true"]});
        let spec = json!({"entrypoint": "main", "templates": [{"name": "main", "container": container}]});
        let workflow = json!({"apiVersion": ARGO, "kind": "Workflow",
            "metadata": {"name": name, "namespace": self.namespace, "labels": {"own": "label"}}, "spec": spec});
        let submission = Submission {
            version: 1,
            uid: format!("uid-of-{name}"),
            namespace: self.namespace.clone(),
            name: name.into(),
            workflow: workflow.clone(),
            at: "2026-11-30T12:00:00Z".parse().unwrap(),
            by: "sensor/ns/s".into(),
            firing: None,
        };
        let mut object = workflow;
        object["metadata"]["uid"] = json!(submission.uid);
        let key = (self.namespace.clone(), name.to_owned());
        self.shown.asked.lock().unwrap().insert(key, (submission.clone(), Vec::new()));
        let record = serde_json::to_vec(&WorkflowRecord::Submitted(submission)).unwrap();
        self.bus.publish(Publish::new(self.journal(name), record)).await.unwrap();
        object
    }

    /// The subject of a journal.
    pub(crate) fn journal(&self, name: &str) -> String {
        streams::subject(streams::WORKFLOWS, &[&self.namespace, name])
    }

    /// Deletes a workflow, as the executor does.
    pub(crate) async fn delete(&self, name: &str) {
        self.shown.workflows.lock().unwrap().remove(&(self.namespace.clone(), name.into()));
        let journal = self.journal(name);
        self.bus.publish(Publish::new(format!("{journal}.deleted"), &b"{}"[..])).await.unwrap();
        self.bus.purge(streams::WORKFLOWS, &journal, None).await.unwrap();
    }

    /// Shows what stands in the journals of who asked for what.
    pub(crate) async fn learn(&self) {
        for record in self.bus.read(streams::WORKFLOWS, "", 1, 1000).await.unwrap() {
            let mut all = self.shown.asked.lock().unwrap();
            match serde_json::from_slice(&record.payload) {
                Ok(WorkflowRecord::Submitted(submission)) => {
                    let key = (submission.namespace.clone(), submission.name.clone());
                    all.insert(key, (submission, Vec::new()));
                }
                Ok(WorkflowRecord::Command(command)) => {
                    let of = |(namespace, name): &(String, String)| {
                        streams::subject(streams::WORKFLOWS, &[namespace, name]) == record.subject
                    };
                    let found = all.iter_mut().find(|(key, _)| of(key));
                    found.unwrap().1.1.push(command);
                }
                _ => {}
            }
        }
    }

    pub(crate) async fn records(&self) -> Vec<WorkflowRecord> {
        let messages = self.bus.read(streams::WORKFLOWS, "", 1, 1000).await.unwrap();
        messages.iter().filter_map(|message| serde_json::from_slice(&message.payload).ok()).collect()
    }

    pub(crate) async fn submission(&self, name: &str) -> Submission {
        within("a submission", || async {
            self.records().await.into_iter().find_map(|record| match record {
                WorkflowRecord::Submitted(submission) if submission.name == name => Some(submission),
                _ => None,
            })
        })
        .await
    }

    pub(crate) async fn command(&self, wanted: impl Fn(&Verb) -> bool) {
        within("a command", || async {
            let mut records = self.records().await.into_iter();
            records.find(|record| matches!(record, WorkflowRecord::Command(command) if wanted(&command.verb)))
        })
        .await;
    }

    /// The executor's view of a workflow, told by a record as it writes them.
    pub(crate) async fn show(&self, object: &Value, phase: &str, record: &str) {
        self.show_with(object, phase, "1/1", record).await;
    }

    /// The same with this progress.
    pub(crate) async fn show_with(&self, object: &Value, phase: &str, progress: &str, record: &str) {
        self.shown.put(object, phase, progress);
        let name = object["metadata"]["name"].as_str().unwrap();
        let record = json!({"record": "progress", "progress": {"changes": [record]}});
        let record = Publish::new(self.journal(name), record.to_string().into_bytes());
        self.bus.publish(record).await.unwrap();
    }

    pub(crate) async fn until_phase(&self, name: &str, phase: &str) -> Value {
        let objects = self.objects(ARGO, "Workflow").await;
        within(phase, || async {
            let live = objects.get(name).await.unwrap()?;
            (live["status"]["phase"] == phase).then_some(live)
        })
        .await
    }
}

/// Ours; or those of a folder, as JSON, for somebody who tries what others install.
fn definitions() -> Vec<Value> {
    let Some(folder) = std::env::var_os("TIPHYS_TEST_DEFINITIONS") else {
        return crd::all().into_iter().map(|(_, definition)| definition).collect();
    };
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()).collect()
}

pub(crate) async fn within<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
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
