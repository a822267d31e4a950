//! Executors of several machines: what outlives a pod lies in the store that they share.

use std::path::Path;

use serde_json::json;
use tiphys_executor::launcher::{Launcher, OutputParameter, PodGc, PodOptions, PodSpec, PodVerdict};

use crate::bucket::Bucket;
use crate::support::{Stage, until};

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).map_or(0, Iterator::count) == 0
}

async fn is_gone(stage: &Stage, pod: &PodSpec) {
    until("the pod is gone", async || stage.object(pod).await.is_none().then_some(())).await;
}

fn collected(pod: PodSpec) -> PodSpec {
    let gc = PodGc::OnCompletion;
    PodSpec { pod: PodOptions { gc, ..pod.pod.clone() }, ..pod }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_has_the_log_of_a_pod_that_is_gone() {
    let Some(stage) = Stage::new().await else { return };
    let Some(bucket) = Bucket::new(&stage.namespace).await else { return };
    let own = stage.dir.path().join("a");
    let mut run = stage.run_on(stage.client.clone(), stage.config.clone(), bucket.machine(&own)).await;
    let pod = bucket.keeping(collected(stage.pod("plain", "for i in 1 2 3; do echo line $i; done")));
    assert_eq!(run.through(&pod).await.verdict, PodVerdict::Succeeded);
    run.launcher.forget(&pod.key).await;
    is_gone(&stage, &pod).await;
    let wanted = ["line 1", "line 2", "line 3"];
    // Here, and on a machine that has never heard of the pod.
    assert_eq!(run.texts(&pod.key).await, wanted);
    let lines = bucket.log(&pod).await.expect("a log");
    assert_eq!(lines.iter().map(|line| line.text.as_str()).collect::<Vec<_>>(), wanted);
    assert!(is_empty(&own.join("runner-logs")));
    run.end().await;

    // One whose pod is deleted while nobody but another machine's executor is there.
    let mut run = stage.run_on(stage.client.clone(), stage.config.clone(), bucket.machine(&own)).await;
    let pod = bucket.keeping(collected(stage.pod("left", "echo left behind")));
    assert_eq!(run.through(&pod).await.verdict, PodVerdict::Succeeded);
    run.end().await;
    let other = stage.dir.path().join("b");
    let mut run = stage.run_on(stage.client.clone(), stage.config.clone(), bucket.machine(&other)).await;
    run.end_of(&pod.key).await;
    run.launcher.forget(&pod.key).await;
    is_gone(&stage, &pod).await;
    assert_eq!(bucket.log(&pod).await.expect("a log")[0].text, "left behind");
    assert!(is_empty(&other.join("runner-logs")));
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_has_a_report_that_was_too_long_for_its_pod() {
    let Some(stage) = Stage::new().await else { return };
    let Some(bucket) = Bucket::new(&stage.namespace).await else { return };
    let (one, other) = (stage.dir.path().join("a"), stage.dir.path().join("b"));
    let mut run = stage.run_on(stage.client.clone(), stage.config.clone(), bucket.machine(&one)).await;
    let parameter = OutputParameter { name: "p".into(), path: "/tmp/p".into(), default: None };
    let pod = PodSpec {
        output_parameters: vec![parameter],
        ..stage.pod("long", "head -c 100000 /dev/zero | tr '\\0' x > /tmp/p")
    };
    let pod = bucket.keeping(pod);
    assert_eq!(run.through(&pod).await.parameters["p"].len(), 100_000);
    run.end().await;
    assert!(is_empty(&one.join("runner")), "the report is in the bucket");
    // Its end was not written down yet: another machine's executor goes on with it.
    let mut run = stage.run_on(stage.client.clone(), stage.config.clone(), bucket.machine(&other)).await;
    let result = run.end_of(&pod.key).await;
    assert_eq!((result.verdict, result.parameters["p"].len()), (PodVerdict::Succeeded, 100_000));
    run.launcher.forget(&pod.key).await;
    until("nothing is kept for the pod", async || bucket.keys().await.is_empty().then_some(())).await;
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_the_store_does_not_take_is_kept_here() {
    let Some(stage) = Stage::new().await else { return };
    let own = stage.dir.path().join("a");
    let Some(bucket) = Bucket::new("another").await else { return };
    // The Secret is in another namespace, and so is none.
    let mut run = stage.run_on(stage.client.clone(), stage.config.clone(), bucket.machine(&own)).await;
    let pod = bucket.keeping(collected(stage.pod("refused", "echo said")));
    let folder = pod.keeps.as_deref().unwrap().replace("\"another\"", &json!(stage.namespace).to_string());
    let pod = PodSpec { keeps: Some(folder), ..pod };
    run.through(&pod).await;
    run.launcher.forget(&pod.key).await;
    is_gone(&stage, &pod).await;
    assert_eq!(run.texts(&pod.key).await, ["said"]);
    assert!(bucket.keys().await.is_empty());
    run.launcher.remove(&pod.key).await;
    assert!(is_empty(&own.join("runner-logs")));
    run.end().await;
}
