//! The answer to an alert without a pod of its own: a `k8s` trigger or a resource template deletes the pod that raised it,
//! and no other.

use serde_json::{Value, json};
use tiphys_kit::kubernetes::{Cluster, Objects, PatchKind, Removal, Settings};
use tiphys_servers::Kubernetes;
use tiphys_tests::{Server, root, until};

const CONTAINER: &str = "3ad0bd5e9c1f2b7a6d4e8f901234567890abcdef1234567890abcdef12345678";

/// A cluster as somebody who may do everything sees it.
pub(crate) struct Eyes<'c> {
    pub(crate) server: &'c Kubernetes,
    pub(crate) cluster: Cluster,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl<'c> Eyes<'c> {
    pub(crate) fn on(server: &'c Kubernetes) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let settings = Settings { kubeconfig: Some(server.kubeconfig()), ..Settings::default() };
        let cluster = runtime.block_on(Cluster::open(settings)).unwrap();
        Self { server, cluster, runtime }
    }

    pub(crate) fn objects(&self, api_version: &str, kind: &str, namespace: &str) -> Objects {
        let resource = self.runtime.block_on(self.cluster.resource(api_version, kind)).unwrap();
        self.cluster.objects(&resource, namespace)
    }

    pub(crate) fn make(&self, namespace: &str, object: &Value) -> Value {
        let text = |name: &str| object[name].as_str().unwrap();
        let objects = self.objects(text("apiVersion"), text("kind"), namespace);
        self.runtime.block_on(objects.create(object)).unwrap()
    }

    pub(crate) fn get(&self, kind: &str, namespace: &str, name: &str) -> Option<Value> {
        let objects = self.objects("v1", kind, namespace);
        self.runtime.block_on(objects.get(name)).unwrap()
    }

    /// A pod that no node runs, with a status as a kubelet would write it; its uid.
    fn pod(&self, namespace: &str, name: &str, container: &str) -> String {
        let spec = json!({"containers": [{"name": "main", "image": "busybox:1"}]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec});
        let made = self.make(namespace, &pod);
        let status = json!({"phase": "Running", "containerStatuses": [{"name": "main", "image": "busybox:1", "imageID": "",
            "ready": true, "restartCount": 0, "containerID": format!("containerd://{container}")}]});
        let pods = self.objects("v1", "Pod", namespace);
        let patch = json!({"status": status});
        self.runtime.block_on(pods.patch(name, "status", PatchKind::Merge, &patch)).unwrap();
        made["metadata"]["uid"].as_str().unwrap().to_owned()
    }

    /// Who may look at and delete pods, and nothing else.
    fn account(&self, namespace: &str) {
        let head = |api_version: &str, kind: &str| json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "falco-pod-delete"}});
        let rbac = "rbac.authorization.k8s.io/v1";
        self.make(namespace, &head("v1", "ServiceAccount"));
        let mut role = head(rbac, "Role");
        role["rules"] = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "delete"]}]);
        self.make(namespace, &role);
        let mut binding = head(rbac, "RoleBinding");
        binding["roleRef"] =
            json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "falco-pod-delete"});
        binding["subjects"] =
            json!([{"kind": "ServiceAccount", "name": "falco-pod-delete", "namespace": namespace}]);
        self.make(namespace, &binding);
    }
}

fn alert(namespace: &str, pod: &str, container: &str, uuid: &str) -> String {
    let text = std::fs::read_to_string(root().join("examples/falco-response/alert.json")).unwrap();
    let named = text
        .replace("ac7c5359a04b", container)
        .replace("\"shop\"", &format!("\"{namespace}\""))
        .replace("\"web-0\"", &format!("\"{pod}\""))
        .replace("\"uuid\":\"7", &format!("\"uuid\":\"{uuid}"));
    assert!(named.contains(container) && named.contains(pod) && named.contains(namespace), "{named}");
    named
}

/// The workflows of a namespace, once there are so many and all have ended.
pub(crate) fn ended(server: &Server, namespace: &str, count: usize) -> Vec<Value> {
    until("the workflows have ended", || {
        let all = server.json(&["list", "-n", namespace])["items"].as_array()?.clone();
        let over = all.iter().filter(|w| w["status"]["finishedAt"].is_string()).count();
        (all.len() == count && over == count).then_some(all)
    })
}

pub(crate) fn post(server: &Server, path: &str, body: &str) -> String {
    let answer = server.send("POST", path, &[("Content-Type", "application/json")], body.as_bytes()).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.header("x-event-id").unwrap().to_owned()
}

/// The two ways without an image: a k8s trigger, and a workflow with a resource template.
const MANIFESTS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: falco, namespace: NS}
spec:
  webhook:
    trigger: {port: "12000", endpoint: /trigger, method: POST, idPath: uuid}
    template: {port: "12000", endpoint: /template, method: POST, idPath: uuid}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: by-trigger, namespace: NS}
spec:
  template: {serviceAccountName: falco-pod-delete}
  dependencies: [{name: alert, eventSourceName: falco, eventName: trigger}]
  triggers:
    - template:
        name: delete
        k8s:
          operation: delete
          source:
            resource:
              apiVersion: v1
              kind: Pod
              metadata: {name: none, namespace: none, annotations: {tiphys.dev/precondition-container-id: none}}
          parameters:
            - {src: {dependencyName: alert, dataKey: 'body.output_fields.k8s\.pod\.name'}, dest: metadata.name}
            - {src: {dependencyName: alert, dataKey: 'body.output_fields.k8s\.ns\.name'}, dest: metadata.namespace}
            - src: {dependencyName: alert, dataKey: 'body.output_fields.container\.id'}
              dest: metadata.annotations.tiphys\.dev/precondition-container-id
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: by-template, namespace: NS}
spec:
  dependencies: [{name: alert, eventSourceName: falco, eventName: template}]
  triggers:
    - template:
        name: delete
        argoWorkflow:
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {generateName: delete-, namespace: NS}
              spec:
                entrypoint: delete
                serviceAccountName: falco-pod-delete
                arguments: {parameters: [{name: pod, value: x}, {name: namespace, value: x}, {name: container, value: x}]}
                templates:
                  - name: delete
                    resource:
                      action: delete
                      manifest: |
                        apiVersion: v1
                        kind: Pod
                        metadata:
                          name: "{{workflow.parameters.pod}}"
                          namespace: "{{workflow.parameters.namespace}}"
                          annotations:
                            tiphys.dev/precondition-container-id: "{{workflow.parameters.container}}"
          parameters:
            - {src: {dependencyName: alert, dataKey: 'body.output_fields.k8s\.pod\.name'}, dest: spec.arguments.parameters.0.value}
            - {src: {dependencyName: alert, dataKey: 'body.output_fields.k8s\.ns\.name'}, dest: spec.arguments.parameters.1.value}
            - {src: {dependencyName: alert, dataKey: 'body.output_fields.container\.id'}, dest: spec.arguments.parameters.2.value}
"#;

#[test]
fn an_alert_deletes_its_pod_without_an_image() {
    let Some(kubernetes) = tiphys_servers::kubernetes() else { return };
    let eyes = Eyes::on(&kubernetes);
    let namespace = eyes.server.namespace();
    eyes.account(&namespace);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), MANIFESTS.replace("NS", &namespace)).unwrap();
    let kubeconfig = kubernetes.kubeconfig();
    let accounts = format!("{namespace}/falco-pod-delete");
    let kubeconfig = kubeconfig.to_str().unwrap();
    let arguments = ["--kubeconfig", kubeconfig, "--service-accounts", &accounts, "--namespace", &namespace];
    let server = Server::with(folder.path(), &arguments, &[]);
    for (number, way) in ["trigger", "template"].into_iter().enumerate() {
        let path = format!("/events/{namespace}/falco/{way}");
        let first = eyes.pod(&namespace, "web", CONTAINER);
        post(&server, &path, &alert(&namespace, "web", &CONTAINER[..12], &format!("{number}1")));
        until("the pod is gone", || eyes.get("Pod", &namespace, "web").is_none().then_some(()));
        // Another has its name when the same alert comes once more.
        let second = eyes.pod(&namespace, "web", &CONTAINER.replace("3ad0", "feed"));
        assert_ne!(first, second);
        let id = post(&server, &path, &alert(&namespace, "web", &CONTAINER[..12], &format!("{number}2")));
        let story = until("it is told why it was left alone", || {
            let story = server.ok(&["events", "get", &id, "--trace"]);
            story.contains("not deleted").then_some(story)
        });
        assert!(story.contains(&CONTAINER[..12]), "{story}");
        assert_eq!(eyes.get("Pod", &namespace, "web").unwrap()["metadata"]["uid"], second);
        let pods = eyes.objects("v1", "Pod", &namespace);
        eyes.runtime.block_on(pods.delete("web", &Removal::default())).unwrap();
    }
    let phases: Vec<Value> =
        ended(&server, &namespace, 2).iter().map(|w| w["status"]["phase"].clone()).collect();
    assert!(phases.contains(&json!("Succeeded")) && phases.contains(&json!("Failed")), "{phases:?}");
}
