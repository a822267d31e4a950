//! What others do to pods and nodes, as the user of a workflow sees it.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::DeleteParams;
use serde_json::{Value, json};
use tiphys_servers::Kubernetes;
use tiphys_servers::kubelet::{Fate, Stub};
use tiphys_servers::kubernetes::{NODE, Part, Setup};

use super::crowd::{Stage, only, patiently, workflow};

/// A workflow of one step that runs for long on a node.
fn single(name: &str, node: &str) -> Value {
    let step = json!({
        "name": "main", "nodeSelector": {"kubernetes.io/hostname": node},
        "podSpecPatch": json!({"terminationGracePeriodSeconds": 1}).to_string(),
        "container": {"image": "busybox:1", "imagePullPolicy": "IfNotPresent", "command": ["sleep", "1000"]},
    });
    let mut single = workflow(json!({"templates": [step]}));
    single["metadata"]["name"] = json!(name);
    single
}

/// Phase of the workflow, then phase and message of its only pod.
fn told(workflow: &Value) -> [String; 3] {
    let (phase, message) = only(workflow).unwrap();
    [workflow["status"]["phase"].as_str().unwrap_or_default().to_owned(), phase, message]
}

async fn pod_of(pods: &Api<Pod>, workflow: &str) -> Pod {
    let label = format!("workflows.argoproj.io/workflow={workflow}");
    let all = pods.list(&kube::api::ListParams::default().labels(&label)).await.unwrap();
    all.items.into_iter().next().unwrap()
}

fn delete_pod(cluster: &Kubernetes, namespace: &str, workflow: &str) {
    super::super::pods::runtime().block_on(async {
        let pods = Api::<Pod>::namespaced(cluster.client().await, namespace);
        let name = pod_of(&pods, workflow).await.metadata.name.unwrap();
        pods.delete(&name, &DeleteParams::default()).await.unwrap();
    });
}

/// Waits until the cluster itself wants a pod gone.
fn given_up(cluster: &Kubernetes, namespace: &str, workflow: &str) {
    super::super::pods::runtime().block_on(async {
        let pods = Api::<Pod>::namespaced(cluster.client().await, namespace);
        while pod_of(&pods, workflow).await.metadata.deletion_timestamp.is_none() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

fn delete_node(cluster: &Kubernetes, node: &str) {
    super::super::pods::runtime().block_on(async {
        let nodes = Api::<Node>::all(cluster.client().await);
        nodes.delete(node, &DeleteParams::default()).await.unwrap();
    });
}

#[test]
fn a_pod_deleted_by_hand_a_stopped_kubelet_and_a_deleted_node_are_told() {
    let Some(cluster) = Setup::new().node().hasty().start() else { return };
    let other = Stub::new("other").start(&cluster, |_| Fate::runs());
    // One that stays well: where no node is, the cluster takes it for its own fault.
    let _well = Stub::new("well").start(&cluster, |_| Fate::runs());
    let (namespace, folder) = (cluster.namespace(), tempfile::tempdir().unwrap());
    let mut server = super::super::pods::dev(&cluster, &namespace, folder.path(), &[]);
    let stage = Stage { server: &mut server, namespace: &namespace };
    let all = [("by-hand", NODE), ("silent", NODE), ("deleted", "other")];
    for (name, node) in all {
        stage.submit(&single(name, node));
    }
    for (name, _) in all {
        patiently("it runs", || (only(&stage.get(name))?.0 == "Running").then_some(()));
    }
    delete_pod(&cluster, &namespace, "by-hand");
    let [phase, pod, message] = told(&stage.end_of("by-hand"));
    assert_eq!((phase.as_str(), pod.as_str(), message.as_str()), ("Error", "Error", "pod deleted"));

    // The machine of one goes; its object stays until somebody takes it away.
    drop(other);
    delete_node(&cluster, "other");
    cluster.kill(Part::Kubelet);
    given_up(&cluster, &namespace, "silent");
    // Nobody has confirmed it yet.
    assert_eq!(told(&stage.get("silent")), ["Running", "Running", ""]);
    let [phase, pod, message] = told(&stage.end_of("deleted"));
    assert_eq!((phase.as_str(), pod.as_str()), ("Error", "Error"));
    assert!(message.starts_with("pod deleted: DeletionByPodGC: "), "{message}");
    let [phase, pod, message] = told(&stage.end_of("silent"));
    assert_eq!((phase.as_str(), pod.as_str()), ("Error", "Error"));
    assert_eq!(message, format!("pod deleted: its node {NODE} does not confirm that it ended"));
}
