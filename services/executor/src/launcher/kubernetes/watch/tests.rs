use serde_json::{Value, json};
use tiphys_core::SystemClock;
use tiphys_kit::{CancellationToken, Tasks};
use tokio::sync::{Semaphore, mpsc};

use super::super::Config;
use super::*;
use crate::artifact::LocalStore;
use crate::scratch::Scratch;

/// What a launcher shares, of a cluster that is not there.
fn shared(folder: &std::path::Path) -> Arc<Shared> {
    let config = Config::new("lab".into(), "key".into(), folder.join("scratch"));
    let nowhere = kube::Config::new("http://127.0.0.1:9".parse().unwrap());
    Arc::new(Shared {
        config,
        client: kube::Client::try_from(nowhere).unwrap(),
        store: Arc::new(LocalStore::open(&folder.join("artifacts")).unwrap()),
        clock: Arc::new(SystemClock),
        pods: Default::default(),
        names: Default::default(),
        made: Default::default(),
        budgets: Default::default(),
        laid: Default::default(),
        changed: mpsc::channel(8).0,
        tasks: Tasks::new(CancellationToken::new()),
        requests: Semaphore::new(1),
        scratch: Scratch::open(folder.join("scratch")).unwrap(),
        logs: Default::default(),
    })
}

fn pod(version: &str, uid: &str, status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "namespace": "n", "uid": uid, "resourceVersion": version,
            "labels": {"tiphys.dev/pod-key": "k"}},
        "status": status,
    }))
    .unwrap()
}

#[tokio::test]
async fn what_arrives_late_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shared = shared(folder.path());
    let key = PodKey("k".into());
    let waits = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "no"}]});
    let message = PodState::Pending { message: "Unschedulable: no".into() };
    // The watch is quicker than the answer to the request that made the pod.
    assert_eq!(shared.apply(&pod("12", "u", waits)), Some(key.clone()));
    assert_eq!(shared.apply(&pod("11", "u", json!({"phase": "Pending"}))), None);
    assert_eq!(shared.state(&key), Some(message));
    // Nor does what is left of an earlier pod take the place of a later.
    assert_eq!(shared.apply(&pod("9", "earlier", json!({"phase": "Failed"}))), None);
    let ended = json!({"phase": "Failed", "reason": "Evicted", "message": "full"});
    assert_eq!(shared.apply(&pod("13", "u", ended)), Some(key.clone()));
    assert_eq!(shared.apply(&pod("14", "u", json!({"phase": "Running"}))), None);
    assert!(matches!(shared.state(&key), Some(PodState::Ended(result)) if result.message == "full"));
    // What is none of ours is no pod of a step.
    let mut foreign = pod("15", "u", json!({}));
    foreign.metadata.labels = None;
    assert_eq!(shared.apply(&foreign), None);
    assert_eq!(shared.pods().len(), 1);
}

#[test]
fn a_pod_takes_little_memory() {
    assert!(size_of::<Record>() <= 256, "{}", size_of::<Record>());
}
