//! Manifests and workflows as objects of a real cluster, for one process and for separate services.

mod narrow;
mod roles;
mod separate;
mod stopped;
mod watched;

use std::path::PathBuf;

use axum::http;
use kube::Client;
use serde_json::{Value, json};
use tiphys_kit::kubernetes::{Objects, Removal};
use tiphys_servers::kubernetes::{Part, Setup};
use tiphys_servers::{Fate, Kubernetes, Stub};
use tiphys_tests::{Server, reaction, root, until};

use crate::cluster::{Eyes, ended, post};

const ARGO: &str = "argoproj.io/v1alpha1";
const COMPLETED: &str = "workflows.argoproj.io/completed";
/// Workflows of which requests are counted.
const COUNT: usize = 10;

/// What those workflows do.
fn template(image: &str, annotations: Value) -> Value {
    let command = "test \"$WORD\" = s3cret && echo the word is known";
    let variable = json!({"name": "WORD", "valueFrom": {"secretKeyRef": {"name": "word", "key": "word"}}});
    let container = json!({"image": image, "command": ["sh", "-c", command], "env": [variable]});
    let main = json!({"name": "main", "metadata": {"annotations": annotations}, "container": container});
    json!({"apiVersion": ARGO, "kind": "WorkflowTemplate", "metadata": {"name": "react"},
        "spec": {"entrypoint": "main", "templates": [main]}})
}

/// Steps on the host.
fn on_host() -> Value {
    json!({"tiphys.dev/launcher": "process"})
}

/// A Workflow of one step.
fn workflow(name: &str, annotations: Value) -> Value {
    let container = json!({"image": "busybox:1", "command": ["sh", "-c", "echo from an object"]});
    json!({"apiVersion": ARGO, "kind": "Workflow", "metadata": {"name": name, "annotations": annotations},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": container}]}})
}

/// Objects of a cluster with our definitions.
struct Sight<'c> {
    eyes: Eyes<'c>,
    namespace: String,
    workflows: Objects,
}

impl<'c> Sight<'c> {
    fn of(kubernetes: &'c Kubernetes) -> Self {
        let eyes = Eyes::on(kubernetes);
        let namespace = kubernetes.namespace();
        for definition in definitions() {
            eyes.make("", &definition);
        }
        let known = |kind: &str| {
            until("the kind is known", || eyes.runtime.block_on(eyes.cluster.resource(ARGO, kind)).ok())
        };
        for kind in [
            "EventSource",
            "EventBus",
            "Sensor",
            "WorkflowTemplate",
            "ClusterWorkflowTemplate",
            "CronWorkflow",
        ] {
            known(kind);
        }
        let workflows = eyes.cluster.objects(&known("Workflow"), &namespace);
        Self { eyes, namespace, workflows }
    }

    /// Looks at another namespace from now on.
    fn move_to(&mut self, namespace: String) {
        self.workflows = self.eyes.objects(ARGO, "Workflow", &namespace);
        self.namespace = namespace;
    }

    /// A definition that is new is not served at once.
    fn make(&self, object: &Value) -> Value {
        let text = |name: &str| object[name].as_str().unwrap();
        let objects = self.eyes.objects(text("apiVersion"), text("kind"), &self.namespace);
        until("an object is made", || self.eyes.runtime.block_on(objects.create(object)).ok())
    }

    fn source(&self) {
        for object in tiphys_manifest::load::values(&reaction("react", "in")).unwrap() {
            self.make(&object);
        }
    }

    /// All Workflow objects.
    fn all(&self) -> Vec<Value> {
        self.eyes.runtime.block_on(self.workflows.list("")).unwrap().0
    }

    /// All, once there are so many, and all are over.
    fn over(&self, count: usize) -> Vec<Value> {
        until(&format!("{count} objects of workflows that are over"), || {
            let all = self.all();
            let over = all.iter().filter(|live| live["metadata"]["labels"][COMPLETED] == "true").count();
            (all.len() == count && over == count).then_some(all)
        })
    }

    fn named(&self, name: &str) -> Option<Value> {
        self.eyes.runtime.block_on(self.workflows.get(name)).unwrap()
    }

    /// One, once it is over.
    fn one_over(&self, name: &str) -> Value {
        until("its status says that it ended", || {
            self.named(name).filter(|live| live["metadata"]["labels"][COMPLETED] == "true")
        })
    }

    fn delete(&self, name: &str) {
        self.eyes.runtime.block_on(self.workflows.delete(name, &Removal::default())).unwrap();
    }

    /// Lets an account do what the rules in `deploy/kubernetes` say.
    fn account(&self, name: &str, roles: &[&str]) {
        let rbac = "rbac.authorization.k8s.io";
        self.make(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}));
        for role in roles {
            self.make(&json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
                "metadata": {"name": format!("{name}-{role}")},
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.namespace}]}));
        }
    }

    fn rules(&self) {
        for file in ["catalog-roles.yaml", "executor-role.yaml"] {
            for mut object in documents(&root().join("deploy/kubernetes").join(file)) {
                self.make(&object);
                if object["kind"] == "Role" {
                    // The same in all namespaces.
                    object["kind"] = json!("ClusterRole");
                    object["metadata"]["name"] = json!("tiphys-executor-everywhere");
                    self.make(&object);
                }
            }
        }
    }

    /// What `kubectl get wf` prints: the columns, and the row of each workflow (of which the last cells may be more).
    fn table(&self) -> (Vec<String>, Vec<Vec<Value>>) {
        let path = format!("/apis/{ARGO}/namespaces/{}/workflows", self.namespace);
        let request = http::Request::get(path)
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())
            .unwrap();
        let table: Value = self.eyes.runtime.block_on(async {
            let client: Client = self.eyes.server.client().await;
            client.request(request).await.unwrap()
        });
        let columns = table["columnDefinitions"].as_array().unwrap().iter();
        let columns = columns.filter(|column| column["priority"] == 0);
        let columns = columns.map(|column| column["name"].as_str().unwrap().to_owned()).collect();
        let rows = table["rows"].as_array().unwrap().iter();
        (columns, rows.map(|row| row["cells"].as_array().unwrap().clone()).collect())
    }
}

/// Ours; or those of a folder, as JSON, for somebody who tries what others install.
fn definitions() -> Vec<Value> {
    let files = |folder: PathBuf| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    match std::env::var_os("TIPHYS_TEST_DEFINITIONS") {
        None => files(root().join("deploy/crds")).flat_map(|file| documents(&file)).collect(),
        Some(folder) => files(folder.into())
            .map(|file| serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap())
            .collect(),
    }
}

fn documents(file: &std::path::Path) -> Vec<Value> {
    tiphys_manifest::load::values(&std::fs::read_to_string(file).unwrap()).unwrap()
}

#[test]
fn every_workflow_has_an_object_and_its_status_is_written_back() {
    let Some(kubernetes) = tiphys_servers::kubernetes() else { return };
    let sight = Sight::of(&kubernetes);
    sight.source();
    sight.make(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"word": "s3cret"}}));
    sight.make(&template("busybox:1", on_host()));
    let namespace = sight.namespace.as_str();
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = kubernetes.kubeconfig();
    let own =
        ["--kubeconfig", kubeconfig.to_str().unwrap(), "--catalog", "kubernetes", "--namespace", namespace];
    let server = Server::with(folder.path(), &own, &[]);
    let made = sight.make(&workflow("hello", on_host()));
    let written = sight.one_over("hello");
    let status = &written["status"];
    let (phase, progress) = (status["phase"].as_str(), status["progress"].as_str());
    assert_eq!((phase, progress), (Some("Succeeded"), Some("1/1")), "{written:#}");
    assert_eq!(status["nodes"]["hello"]["phase"], "Succeeded");
    let here = &ended(&server, namespace, 1)[0];
    assert_eq!(here["metadata"]["uid"], made["metadata"]["uid"]);
    assert!(server.ok(&["logs", "hello", "-n", namespace]).contains("from an object"));

    // The answer to an event waits for nobody: its object is made when the API server is back.
    kubernetes.kill(Part::ApiServer);
    post(&server, &format!("/events/{namespace}/in/e"), "{}");
    let both = ended(&server, namespace, 2);
    kubernetes.start(Part::ApiServer);
    let objects = sight.over(2);
    let reaction = objects.iter().find(|live| live["metadata"]["name"] != "hello").unwrap();
    let name = reaction["metadata"]["name"].as_str().unwrap();
    let there = both.iter().find(|workflow| workflow["metadata"]["name"] == name).unwrap();
    let shows = format!("{namespace}/{name}/{}", there["metadata"]["uid"].as_str().unwrap());
    assert_eq!(reaction["metadata"]["annotations"]["tiphys.dev/workflow"], shows);
    assert_eq!(reaction["status"]["phase"], "Succeeded", "{reaction:#}");

    let (columns, rows) = sight.table();
    assert_eq!(columns, ["Name", "Status", "Age", "Message"]);
    assert_eq!(rows.iter().find(|row| row[0] == name).unwrap()[1], "Succeeded");

    sight.delete("hello");
    sight.delete(name);
    ended(&server, namespace, 0);
    assert!(sight.all().is_empty(), "what was deleted gets no other object");
}

#[test]
fn a_workflow_of_one_pod_costs_four_requests_at_most() {
    let Some(kubernetes) = Setup::new().audited().start() else { return };
    // The stub takes every pod at once.
    kubernetes.kill(Part::Scheduler);
    let fails = |pod: &k8s_openapi::api::core::v1::Pod| {
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        Fate::exits(i32::from(name.starts_with("fails")))
    };
    let _kubelet = Stub::new("stub").binding().start(&kubernetes, fails);
    let sight = Sight::of(&kubernetes);
    sight.rules();
    sight.account("tiphys", &["tiphys-catalog-server", "tiphys-executor-everywhere", "tiphys-executor"]);
    sight.source();
    let mut plain = template("busybox:1", Value::Null);
    plain["spec"]["templates"][0]["metadata"] = json!({});
    plain["spec"]["templates"][0]["container"]["env"] = json!([]);
    sight.make(&plain);
    let namespace = sight.namespace.as_str();
    let kubeconfig = kubernetes.kubeconfig_of(namespace, "tiphys");
    let folder = tempfile::tempdir().unwrap();
    let own =
        ["--kubeconfig", kubeconfig.to_str().unwrap(), "--catalog", "kubernetes", "--launcher", "kubernetes"];
    let server = Server::with(folder.path(), &own, &[]);
    let user = format!("system:serviceaccount:{namespace}:tiphys");
    let counted = || {
        // The last requests are on their way when the last object says that it is over.
        std::thread::sleep(std::time::Duration::from_secs(2));
        let ours = kubernetes
            .requests()
            .into_iter()
            .filter(|request| request.user == user && request.verb != "watch");
        ours.filter(|request| {
            request.resource.starts_with("pods") || request.resource.starts_with("workflows")
        })
        .collect::<Vec<_>>()
    };
    let before = counted().len();
    for number in 0..COUNT {
        sight.make(&workflow(&format!("one-{number}"), json!({})));
    }
    sight.over(COUNT);
    let submitted = counted();
    assert!(submitted.len() - before <= 4 * COUNT, "{:#?}", &submitted[before..]);
    for _ in 0..COUNT {
        post(&server, &format!("/events/{namespace}/in/e"), "{}");
    }
    sight.over(2 * COUNT);
    let triggered = counted();
    assert!(triggered.len() - submitted.len() <= 4 * COUNT, "{:#?}", &triggered[submitted.len()..]);
    let of = |from: usize, to: usize| (to - from) as f64 / COUNT as f64;
    eprintln!(
        "requests for a workflow of one pod: {} as an object, {} by a trigger",
        of(before, submitted.len()),
        of(submitted.len(), triggered.len())
    );

    sight.make(&workflow("fails", json!({})));
    sight.one_over("fails");
    let (_, rows) = sight.table();
    let row = rows.iter().find(|row| row[0] == "fails").unwrap();
    assert_eq!(row[1], "Failed");
    assert!(row[3].as_str().unwrap().contains("exit code 1"), "{row:?}");
    assert!(!server.log().contains("may not"), "it may do what it does: {}", server.log());
}
