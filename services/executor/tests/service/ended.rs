//! What a launcher is told of a workflow that has ended.

use serde_json::{Value, json};
use tiphys_catalog::Catalog;
use tiphys_core::workflow::Verb;
use tiphys_executor::Config;
use tiphys_executor::launcher::Ended;

use crate::stage::{Fake, Stage, bus, executor, one, until};

fn with(mut spec: Value, members: &Value) -> Value {
    let members = members.as_object().unwrap().clone();
    spec.as_object_mut().unwrap().extend(members);
    spec
}

/// How often the launcher was told that pods are to go, and the last that it was told.
fn told(stage: &Stage) -> Option<(usize, Ended)> {
    let over = stage.launcher.over.lock().unwrap();
    let collects = over.iter().filter(|ended| ended.collect).count();
    Some((collects, over.last()?.clone()))
}

fn later(delay: &str) -> Value {
    json!({"podGC": {"strategy": "OnWorkflowCompletion", "deleteDelayDuration": delay}})
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_go_later_where_pod_gc_says_so_also_after_a_kill() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), Config::default());
    stage.submit("w", with(one("x"), &later("2s"))).await;
    let (collects, first) = until(async || told(&stage)).await;
    assert_eq!((collects, first.collect), (0, false), "not at once");
    let (bus, launcher) = stage.end().await;
    let stage = executor(bus, Catalog::new(), launcher.beside(), Config::default());
    let (_, last) = until(async || told(&stage).filter(|(collects, _)| *collects == 1)).await;
    assert_eq!(last, Ended { collect: true, ..first });
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_of_a_workflow_that_is_retried_meanwhile_stay() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", with(one("x"), &later("2s"))).await;
    stage.launcher.end(&stage.pod(1).await.key, 1).await;
    until(async || told(&stage)).await;
    stage.command("w", Verb::Retry { restart_successful: false, node_field_selector: String::new() }).await;
    let again = stage.pod(2).await;
    // When the pods of one that ended after it go, its own would have gone.
    stage.submit("after", with(one("x"), &later("2s"))).await;
    stage.launcher.end(&stage.pod(3).await.key, 0).await;
    let (_, last) = until(async || told(&stage).filter(|(collects, _)| *collects > 0)).await;
    assert_eq!(last.name, "after", "a pod of the other one runs");
    stage.launcher.end(&again.key, 0).await;
    let (_, last) = until(async || told(&stage).filter(|(collects, _)| *collects == 2)).await;
    assert_eq!(last.name, "w");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_outlive_a_workflow_that_failed_unless_volume_claim_gc_says_otherwise() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    let claims = json!([{"metadata": {"name": "work"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Mi"}}}}]);
    let gc =
        |strategy: &str| json!({"volumeClaimTemplates": claims, "volumeClaimGC": {"strategy": strategy}});
    for (number, (code, strategy, gone)) in [
        (0, "OnWorkflowSuccess", true),
        (1, "OnWorkflowSuccess", false),
        (0, "OnWorkflowCompletion", true),
        (1, "OnWorkflowCompletion", true),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("w{number}");
        stage.submit(&name, with(one("x"), &gc(strategy))).await;
        stage.launcher.end(&stage.pod(number + 1).await.key, code).await;
        let ended = until(async || told(&stage).filter(|(_, last)| last.name == name)).await.1;
        let expected = if gone { vec![format!("{name}-work")] } else { Vec::new() };
        assert_eq!(ended.claims, expected, "{strategy} {code}");
    }
    stage.end().await;
}
