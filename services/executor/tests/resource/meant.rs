//! The API server compares the uid once more while it deletes: what was looked at goes, and nothing that came since.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_executor::launcher::PodVerdict;
use tiphys_executor::launcher::resource::{Action, ResourceSpec};
use tiphys_kit::kubernetes::{
    Deletion, Failure, PRECONDITION_CONTAINER, PRECONDITION_UID, Precondition, Removal,
};
use tiphys_servers::{Fault, Flaky};

use crate::stage::{Stage, spec, stage};

const CONTAINER: &str = "3ad0bd5e9c1f2b7a6d4e8f901234567890abcdef1234567890abcdef12345678";

async fn is_spared(stage: &Stage, uid: &str) {
    let metadata = stage.get("pods", "web").await.expect("the pod is there")["metadata"].clone();
    assert_eq!(metadata["uid"], uid);
    assert!(metadata["deletionTimestamp"].is_null(), "{metadata}");
}

#[tokio::test]
async fn a_delete_names_the_uid_that_it_means() {
    let Some(stage) = stage(&["pods"]).await else { return };
    let pods = stage.pods().await;
    let old = stage.pod("web", CONTAINER).await;
    stage.delete("pods", "web").await;
    let new = stage.pod("web", CONTAINER).await;
    let only = |uid: &str| Removal { uid: Some(uid.to_owned()), ..Removal::default() };
    let refused = pods.delete("web", &only(&old)).await;
    assert!(matches!(&refused, Err(Failure::Conflict(why)) if why.contains(&old)), "{refused:?}");
    is_spared(&stage, &new).await;
    assert!(pods.delete("web", &only(&new)).await.unwrap().is_some());
    assert!(stage.get("pods", "web").await.is_none());
    assert_eq!(pods.delete("web", &only(&new)).await, Ok(None));
}

/// Puts another pod into the place of `web` after it was looked at, and before the delete is heard of. Both have the same
/// container as far as anybody can see, so that the uid alone tells them apart. Its uid, once that has happened.
async fn replaced(stage: &Stage, flaky: &Flaky) -> impl Future<Output = String> {
    stage.pod("web", CONTAINER).await;
    let ((comes, hears), (done, goes_on)) = (sync_channel(1), sync_channel(1));
    flaky.inject(1, Fault::Late(Duration::ZERO), move |request| {
        let meant = request.verb == "delete" && request.resource == "pods";
        if meant {
            comes.send(()).unwrap();
            // A test that has failed says nothing any more.
            let _ = goes_on.recv();
        }
        meant
    });
    async move {
        tokio::task::spawn_blocking(move || hears.recv()).await.unwrap().unwrap();
        stage.delete("pods", "web").await;
        let uid = stage.pod("web", CONTAINER).await;
        done.send(()).unwrap();
        uid
    }
}

fn delete_of(annotations: Value) -> ResourceSpec {
    let metadata = json!({"name": "web", "annotations": annotations});
    spec(Action::Delete, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}))
}

#[tokio::test]
async fn a_pod_that_comes_between_the_look_and_the_delete_is_spared() {
    let Some(stage) = stage(&["pods"]).await else { return };
    let flaky = Flaky::before(stage.cluster);
    let mut run = stage.run_through(&flaky).await;
    let replacing = replaced(&stage, &flaky).await;
    let key = run.start("response", &delete_of(json!({PRECONDITION_CONTAINER: CONTAINER}))).await.unwrap();
    let second = replacing.await;
    let result = run.ended(&key).await;
    assert_eq!(result.verdict, PodVerdict::Failed);
    assert!(
        result.message.contains("not deleted: delete pods") && result.message.contains(&second),
        "{}",
        result.message
    );
    is_spared(&stage, &second).await;
    stage.delete("pods", "web").await;
}

#[tokio::test]
async fn what_came_between_is_told_as_another() {
    let Some(stage) = stage(&["pods"]).await else { return };
    let flaky = Flaky::before(stage.cluster);
    let pods = stage.pods_through(&flaky).await;
    let replacing = replaced(&stage, &flaky).await;
    let first = stage.get("pods", "web").await.unwrap()["metadata"]["uid"].as_str().unwrap().to_owned();
    let meant = json!({"metadata": {"annotations": {PRECONDITION_UID: first}}});
    let meant = Precondition::of(&meant);
    let how = Removal::default();
    let (deleted, second) = tokio::join!(pods.delete_meant("web", &meant, &how), replacing);
    assert!(matches!(&deleted, Ok(Deletion::Another(why)) if why.contains(&second)), "{deleted:?}");
    is_spared(&stage, &second).await;
}
