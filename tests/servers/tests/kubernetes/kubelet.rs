//! The stub of a kubelet: what it says of pods is what a real API server then tells.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use tiphys_servers::kubernetes::{Part, Setup};
use tiphys_servers::{Fate, Stub, kubernetes};

fn pod(name: &str) -> Pod {
    let container = json!({"name": "main", "image": "nothing"});
    let before = json!({"name": "before", "image": "nothing"});
    let spec = json!({"restartPolicy": "Never", "containers": [container], "initContainers": [before]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a pod")
}

async fn until(pods: &Api<Pod>, name: &str, phase: &str) -> Value {
    for _ in 0..600 {
        let status = json!(pods.get(name).await.expect("a pod").status);
        if status["phase"] == phase {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{name}: {}", json!(pods.get(name).await.expect("a pod").status));
}

fn fate(pod: &Pod) -> Fate {
    match pod.metadata.name.as_deref() {
        Some("good") => Fate::exits(0),
        Some("bad") => Fate::exits(7).saying("it said").because("OOMKilled"),
        Some("slow") => Fate::exits(0).after(Duration::from_secs(1)),
        Some("never") => Fate::waits(),
        Some("forever") => Fate::runs(),
        _ => Fate::exits(0).once_released(),
    }
}

#[tokio::test]
async fn pods_have_the_fate_that_a_test_gave_them() {
    let Some(cluster) = kubernetes() else { return };
    // The scheduler gives it what it takes.
    let kubelet = Stub::new("one").start(&cluster, fate);
    let namespace = cluster.namespace();
    let pods = Api::<Pod>::namespaced(cluster.client().await, &namespace);
    let names = ["good", "bad", "slow", "never", "forever", "held"];
    for name in names {
        pods.create(&PostParams::default(), &pod(name)).await.expect("a pod");
    }
    let good = until(&pods, "good", "Succeeded").await;
    assert_eq!(good["initContainerStatuses"][0]["state"]["terminated"]["exitCode"], 0, "{good}");
    let bad = until(&pods, "bad", "Failed").await;
    let terminated = &bad["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["message"]), (&json!(7), &json!("it said")), "{bad}");
    assert_eq!(terminated["reason"], "OOMKilled", "{bad}");
    until(&pods, "slow", "Running").await;
    until(&pods, "held", "Running").await;
    until(&pods, "slow", "Succeeded").await;
    kubelet.release();
    until(&pods, "held", "Succeeded").await;
    until(&pods, "never", "Pending").await;

    // It ends by the signal, and the object goes.
    until(&pods, "forever", "Running").await;
    pods.delete("forever", &DeleteParams::default()).await.expect("a deletion");
    wait("the object goes", async || pods.get_opt("forever").await.expect("an answer").is_none()).await;
    assert_eq!(pods.list(&ListParams::default()).await.expect("pods").items.len(), names.len() - 1);
    let taken = kubelet.taken();
    let mut took: Vec<&str> = taken.iter().map(|taken| taken.name.as_str()).collect();
    took.sort_unstable();
    assert_eq!(took, ["bad", "forever", "good", "held", "never", "slow"]);
}

#[tokio::test]
async fn it_needs_no_scheduler_and_bears_a_server_that_comes_back() {
    let Some(cluster) = kubernetes() else { return };
    cluster.kill(Part::Scheduler);
    let kubelet = Stub::new("one").binding().start(&cluster, fate);
    let namespace = cluster.namespace();
    let pods = Api::<Pod>::namespaced(cluster.client().await, &namespace);
    for name in ["good", "held"] {
        pods.create(&PostParams::default(), &pod(name)).await.expect("a pod");
    }
    until(&pods, "good", "Succeeded").await;
    until(&pods, "held", "Running").await;
    cluster.kill(Part::ApiServer);
    kubelet.release();
    cluster.start(Part::ApiServer);
    until(&pods, "held", "Succeeded").await;
    assert_eq!(kubelet.taken().len(), 2);
}

#[tokio::test]
async fn a_node_that_falls_silent_loses_its_pods() {
    let Some(cluster) = Setup::new().hasty().start() else { return };
    let silent = Stub::new("one").start(&cluster, fate);
    let namespace = cluster.namespace();
    let pods = Api::<Pod>::namespaced(cluster.client().await, &namespace);
    pods.create(&PostParams::default(), &pod("forever")).await.expect("a pod");
    until(&pods, "forever", "Running").await;
    let _other = Stub::new("two").start(&cluster, fate);
    drop(silent);
    // Nobody is there to end it: it is to go, and does not before the node is back. (Where the node is deleted it does, after
    // about a minute.)
    let lost = async || pods.get("forever").await.expect("a pod").metadata.deletion_timestamp.is_some();
    wait("the pod is given up", lost).await;
    let status = json!(pods.get("forever").await.expect("a pod").status);
    let conditions = status["conditions"].as_array().expect("conditions").iter();
    let disrupted: Vec<&Value> =
        conditions.filter(|condition| condition["type"] == "DisruptionTarget").collect();
    assert_eq!(disrupted[0]["reason"], "DeletionByTaintManager", "{status}");
    let _back = Stub::new("one").start(&cluster, fate);
    wait("the pod goes", async || pods.get_opt("forever").await.expect("an answer").is_none()).await;
}

async fn wait(what: &str, look: impl AsyncFn() -> bool) {
    for _ in 0..1200 {
        if look().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited too long until {what}");
}
