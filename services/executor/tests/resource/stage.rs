//! A namespace with an account that has some rights, and launchers that act there.

use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use serde_json::{Value, json};
use tiphys_core::{PodKey, SystemClock};
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::resource::{Action, Manifest, Merge, ResourceLauncher, ResourceSpec};
use tiphys_executor::launcher::{LaunchError, Launcher, PodResult, PodSpec, PodState, Secrets};
use tiphys_kit::CancellationToken;
use tiphys_kit::kubernetes::{Cluster, Objects, Settings};
use tiphys_servers::{Flaky, Kubernetes};
use tokio::sync::mpsc;

/// Longer than anything takes, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// What an account may do with what it is given.
pub(crate) const ALL: &[&str] = &["create", "get", "list", "watch", "update", "patch", "delete"];

pub(crate) struct Stage {
    pub(crate) cluster: &'static Kubernetes,
    pub(crate) namespace: String,
    client: Client,
    acting: Cluster,
    folder: tempfile::TempDir,
}

/// A launcher as one run of Tiphys has it.
pub(crate) struct Run {
    pub(crate) launcher: ResourceLauncher,
    changes: mpsc::Receiver<PodKey>,
    namespace: String,
    stop: CancellationToken,
}

impl Drop for Run {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub(crate) async fn stage(resources: &[&str]) -> Option<Stage> {
    Stage::with_verbs(resources, ALL).await
}

pub(crate) fn spec(action: Action, manifest: Value) -> ResourceSpec {
    ResourceSpec { manifest: Manifest::Documents(vec![manifest]), ..without_manifest(action) }
}

pub(crate) fn created(manifest: Value) -> ResourceSpec {
    spec(Action::Create, manifest)
}

pub(crate) fn without_manifest(action: Action) -> ResourceSpec {
    ResourceSpec {
        action,
        manifest: Manifest::Documents(Vec::new()),
        flags: Vec::new(),
        merge: Merge::Strategic,
        set_owner_reference: false,
        success_condition: String::new(),
        failure_condition: String::new(),
        service_account: "worker".into(),
        outputs: Vec::new(),
    }
}

impl Stage {
    pub(crate) async fn with_verbs(resources: &[&str], verbs: &[&str]) -> Option<Self> {
        static SHARED: OnceLock<Option<Kubernetes>> = OnceLock::new();
        let cluster = tokio::task::spawn_blocking(|| SHARED.get_or_init(tiphys_servers::kubernetes).as_ref());
        let cluster = cluster.await.unwrap()?;
        Some(Self::on(cluster, resources, verbs).await)
    }

    pub(crate) async fn on(cluster: &'static Kubernetes, resources: &[&str], verbs: &[&str]) -> Self {
        let namespace = tokio::task::spawn_blocking(|| cluster.namespace()).await.unwrap();
        let settings = Settings {
            kubeconfig: Some(cluster.kubeconfig()),
            context: None,
            accounts: format!("{namespace}/worker*").parse().unwrap(),
        };
        let acting = Cluster::open(settings).await.unwrap();
        let this = Self {
            cluster,
            namespace,
            client: acting.client(),
            acting,
            folder: tempfile::tempdir().unwrap(),
        };
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "worker"}});
        this.create("serviceaccounts", account).await;
        let rules = json!([{"apiGroups": [""], "resources": resources, "verbs": verbs}]);
        this.create("roles", json!({"metadata": {"name": "worker"}, "rules": rules})).await;
        let subject = json!([{"kind": "ServiceAccount", "name": "worker", "namespace": this.namespace}]);
        let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "worker"});
        let binding = json!({"metadata": {"name": "worker"}, "roleRef": role, "subjects": subject});
        this.create("rolebindings", binding).await;
        this
    }

    fn api(&self, plural: &str) -> Api<DynamicObject> {
        let group = if plural.starts_with("role") { "rbac.authorization.k8s.io" } else { "" };
        let api_version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
        let kind = match plural {
            "configmaps" => "ConfigMap",
            "pods" => "Pod",
            "serviceaccounts" => "ServiceAccount",
            "roles" => "Role",
            _ => "RoleBinding",
        };
        let resource = ApiResource {
            group: group.into(),
            version: "v1".into(),
            api_version,
            kind: kind.into(),
            plural: plural.into(),
        };
        Api::namespaced_with(self.client.clone(), &self.namespace, &resource)
    }

    pub(crate) async fn create(&self, plural: &str, object: Value) -> Value {
        let object = serde_json::from_value(object).unwrap();
        let made = self.api(plural).create(&PostParams::default(), &object).await.unwrap();
        serde_json::to_value(made).unwrap()
    }

    pub(crate) async fn get(&self, plural: &str, name: &str) -> Option<Value> {
        let found = self.api(plural).get_opt(name).await.unwrap();
        found.map(|object| serde_json::to_value(object).unwrap())
    }

    pub(crate) async fn delete(&self, plural: &str, name: &str) {
        self.api(plural).delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub(crate) async fn merge(&self, plural: &str, name: &str, patch: Value) {
        self.api(plural).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
    }

    /// The one object of a kind that somebody made here, once it is there.
    pub(crate) async fn only(&self, plural: &str) -> Value {
        self.only_named(plural, "").await
    }

    pub(crate) async fn only_named(&self, plural: &str, name: &str) -> Value {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let all = self.api(plural).list(&ListParams::default()).await.unwrap();
                let mut all: Vec<Value> =
                    all.items.into_iter().map(|object| serde_json::to_value(object).unwrap()).collect();
                all.retain(|object| object["metadata"]["name"] != "kube-root-ca.crt");
                assert!(all.len() < 2, "{all:?}");
                if let Some(object) = all.pop().filter(|o| name.is_empty() || o["metadata"]["name"] == name) {
                    return object;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("an object comes")
    }

    pub(crate) async fn until<F: Future<Output = bool>>(&self, mut holds: impl FnMut() -> F) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        waited.await.expect("it comes to hold");
    }

    /// A pod that no node runs, with a status as a kubelet would write it; its uid.
    pub(crate) async fn pod(&self, name: &str, container: &str) -> String {
        let containers = json!([{"name": "main", "image": "busybox:1"}]);
        let made =
            self.create("pods", json!({"metadata": {"name": name}, "spec": {"containers": containers}}));
        let uid = made.await["metadata"]["uid"].as_str().unwrap().to_owned();
        let status = json!([{"name": "main", "image": "busybox:1", "imageID": "", "ready": true, "restartCount": 0,
            "containerID": format!("containerd://{container}"),
            "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]);
        let patch = Patch::Merge(json!({"status": {"phase": "Running", "containerStatuses": status}}));
        self.api("pods").patch_status(name, &PatchParams::default(), &patch).await.unwrap();
        uid
    }

    /// The pods of the namespace, as the launchers see them.
    pub(crate) async fn pods(&self) -> Objects {
        let resource = self.acting.resource("v1", "Pod").await.unwrap();
        self.acting.objects(&resource, &self.namespace)
    }

    /// The same through an API server that misbehaves.
    pub(crate) async fn pods_through(&self, flaky: &Flaky) -> Objects {
        let cluster = self.through(flaky).await;
        let resource = cluster.resource("v1", "Pod").await.unwrap();
        cluster.objects(&resource, &self.namespace)
    }

    pub(crate) fn run(&self) -> Run {
        self.run_in(self.acting.clone())
    }

    /// A launcher that asks an API server that misbehaves.
    pub(crate) async fn run_through(&self, flaky: &Flaky) -> Run {
        self.run_in(self.through(flaky).await)
    }

    async fn through(&self, flaky: &Flaky) -> Cluster {
        let accounts = format!("{}/worker*", self.namespace).parse().unwrap();
        let settings = Settings { kubeconfig: Some(flaky.kubeconfig()), context: None, accounts };
        Cluster::open(settings).await.unwrap()
    }

    fn run_in(&self, cluster: Cluster) -> Run {
        let store = Arc::new(LocalStore::open(self.folder.path()).unwrap());
        let stop = CancellationToken::new();
        let launcher = ResourceLauncher::new(cluster, store, Arc::new(SystemClock), stop.clone());
        let changes = launcher.changes().unwrap();
        Run { launcher, changes, namespace: self.namespace.clone(), stop }
    }
}

impl Run {
    pub(crate) async fn start(&self, name: &str, spec: &ResourceSpec) -> Result<PodKey, LaunchError> {
        let pod = self.pod(name, spec);
        self.launcher.start(&pod, Secrets::default()).await.map(|()| pod.key)
    }

    /// As a step of the workflow of this uid.
    pub(crate) async fn start_of(&self, workflow_uid: &str, name: &str, spec: &ResourceSpec) -> PodKey {
        let pod = PodSpec { workflow_uid: workflow_uid.into(), ..self.pod(name, spec) };
        self.launcher.start(&pod, Secrets::default()).await.unwrap();
        pod.key
    }

    pub(crate) async fn start_until(&self, name: &str, spec: &ResourceSpec, limit: Duration) -> PodKey {
        let deadline = Some(tiphys_core::Clock::now(&SystemClock) + limit);
        let pod = PodSpec { deadline, ..self.pod(name, spec) };
        self.launcher.start(&pod, Secrets::default()).await.unwrap();
        pod.key
    }

    fn pod(&self, name: &str, spec: &ResourceSpec) -> PodSpec {
        PodSpec {
            key: PodKey::derive("uid", name, 0),
            name: format!("wf-{name}-1"),
            namespace: self.namespace.clone(),
            workflow: "wf".into(),
            workflow_uid: "uid".into(),
            node_id: "wf-1".into(),
            template: name.into(),
            grace: Duration::from_secs(30),
            resource: Some(spec.clone()),
            ..PodSpec::default()
        }
    }

    pub(crate) async fn has_ended(&self, key: &PodKey) -> bool {
        matches!(self.launcher.observe(key).await.unwrap(), PodState::Ended(_))
    }

    /// What came of a step, once its key was told.
    pub(crate) async fn ended(&mut self, key: &PodKey) -> PodResult {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                if let PodState::Ended(result) = self.launcher.observe(key).await.unwrap() {
                    return *result;
                }
                self.changes.recv().await.expect("a change");
            }
        });
        waited.await.expect("the step ends")
    }
}
