//! A launcher whose server does not answer: what waits says why, and what was asked for meanwhile is done.

use std::sync::atomic::Ordering;

use serde_json::json;
use tiphys_catalog::Catalog;
use tiphys_core::workflow::Verb;
use tiphys_executor::Config;

use crate::stage::{Fake, bus, chain, executor, until};

/// The phase and message of the first pod of a workflow.
async fn told(stage: &crate::stage::Stage) -> Option<(String, String)> {
    let object = stage.object("w").await?;
    let pod = object["status"]["nodes"].as_object()?.values().find(|node| node["type"] == "Pod")?.clone();
    let text = |what: &str| pod[what].as_str().unwrap_or_default().to_owned();
    Some((text("phase"), text("message")))
}

/// The server goes away once the executor has found it.
async fn goes_away(stage: &crate::stage::Stage) {
    until(async || stage.health.parts().get("executor")?.is_none().then_some(())).await;
    stage.launcher.away.store(true, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_started_says_why_and_begins_when_it_can() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    goes_away(&stage).await;
    stage.submit("w", chain(1)).await;
    let waits = ("Pending".to_owned(), "the server does not answer".to_owned());
    until(async || (told(&stage).await? == waits).then_some(())).await;
    stage.launcher.away.store(false, Ordering::SeqCst);
    let runs = ("Running".to_owned(), String::new());
    until(async || (told(&stage).await? == runs).then_some(())).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_up_before_it_began_never_begins() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    goes_away(&stage).await;
    stage.submit("w", chain(1)).await;
    until(async || (!told(&stage).await?.1.is_empty()).then_some(())).await;
    stage.command("w", Verb::Terminate).await;
    until(async || (stage.launcher.stops.load(Ordering::SeqCst) > 0).then_some(())).await;
    stage.launcher.away.store(false, Ordering::SeqCst);
    stage.phase("w", "Failed").await;
    assert_eq!(stage.launcher.started().len(), 0);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_did_not_get_through_is_told_again() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", chain(1)).await;
    until(async || (told(&stage).await?.0 == "Running").then_some(())).await;
    stage.launcher.away.store(true, Ordering::SeqCst);
    stage.command("w", Verb::Terminate).await;
    until(async || (stage.launcher.stops.load(Ordering::SeqCst) > 0).then_some(())).await;
    stage.launcher.away.store(false, Ordering::SeqCst);
    stage.phase("w", "Failed").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_stopped_while_it_begins_is_stopped_once_it_has() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    // It is on its way, and the server has heard nothing of it when it is to stop.
    stage.launcher.hold.close();
    stage.submit("w", chain(1)).await;
    until(async || (stage.launcher.hold.waiting() > 0).then_some(())).await;
    stage.command("w", Verb::Terminate).await;
    until(async || (stage.launcher.stops.load(Ordering::SeqCst) > 0).then_some(())).await;
    assert_eq!(stage.launcher.started().len(), 0);
    stage.launcher.hold.open();
    stage.phase("w", "Failed").await;
    assert_eq!(stage.launcher.started().len(), 1);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_that_begins_without_its_server_takes_up_all_when_it_answers() {
    let stage = executor(bus().await, Catalog::new(), Fake::named("engine", false), Config::default());
    stage.submit("w", chain(1)).await;
    let pod = stage.pod(1).await;
    let (bus, launcher) = stage.end().await;
    launcher.end(&pod.key, 0).await;
    let again = launcher.beside();
    again.away.store(true, Ordering::SeqCst);
    let stage = executor(bus, Catalog::new(), again, Config::default());
    stage.submit("later", chain(1)).await;
    until(async || stage.health.problems().get("executor").filter(|why| why.contains("waits")).cloned())
        .await;
    stage.launcher.away.store(false, Ordering::SeqCst);
    stage.phase("w", "Succeeded").await;
    let second = stage.pod(2).await;
    stage.launcher.end(&second.key, 0).await;
    stage.phase("later", "Succeeded").await;
    assert!(stage.health.is_ready());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_cannot_be_looked_at_holds_up_no_other() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    let mut spec = chain(1);
    let steps = json!([[{"name": "seen", "template": "a"}, {"name": "unseen", "template": "a"}]]);
    spec["templates"].as_array_mut().unwrap().last_mut().unwrap()["steps"] = steps;
    stage.submit("w", spec).await;
    stage.pod(2).await;
    let (bus, launcher) = stage.end().await;
    let again = launcher.beside();
    for pod in launcher.started() {
        match pod.pod.node_name.ends_with(".seen") {
            true => launcher.end(&pod.key, 0).await,
            false => again.unseen.lock().unwrap().push(pod.key),
        }
    }
    let stage = executor(bus, Catalog::new(), again, Config::default());
    let progress = async || Some(stage.object("w").await?["status"]["progress"].clone());
    until(async || progress().await.filter(|progress| progress == "1/2")).await;
    let [unseen] = &std::mem::take(&mut *stage.launcher.unseen.lock().unwrap())[..] else { panic!("one") };
    stage.launcher.end(unseen, 0).await;
    stage.phase("w", "Succeeded").await;
    stage.end().await;
}
