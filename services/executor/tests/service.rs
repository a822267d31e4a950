//! The service on a bus in memory, with a launcher that does as it is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "service/away.rs"]
mod away;
#[path = "service/collect.rs"]
mod collect;
#[path = "service/ended.rs"]
mod ended;
#[path = "service/gate.rs"]
mod gate;
#[path = "service/several.rs"]
mod several;
#[path = "service/sharing.rs"]
mod sharing;
#[path = "service/stage.rs"]
mod stage;

use std::sync::Arc;

use serde_json::json;
use tiphys_bus::streams;
use tiphys_catalog::Catalog;
use tiphys_core::workflow::Verb;
use tiphys_executor::{Config, submit};
use tiphys_manifest::load::{LoadOptions, load};

use stage::{Fake, bus, chain, executor, one, until};

#[tokio::test(flavor = "multi_thread")]
async fn workflows_run_to_their_end() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), Config::default());
    for index in 0..20 {
        stage.submit(&format!("w{index}"), chain(3)).await;
    }
    for index in 0..20 {
        let object = stage.phase(&format!("w{index}"), "Succeeded").await;
        assert_eq!(object["status"]["progress"], "3/3");
    }
    let forgotten = until(async || {
        let forgotten = stage.launcher.forgotten.lock().unwrap().len();
        (forgotten >= 60).then_some(forgotten)
    });
    assert_eq!(forgotten.await, 60);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_what_ran_meanwhile() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", chain(2)).await;
    let first = stage.pod(1).await;
    let (bus, launcher) = stage.end().await;
    // It ends while nobody looks.
    launcher.end(&first.key, 0).await;
    let stage = executor(bus, Catalog::new(), launcher.beside(), Config::default());
    let second = stage.pod(2).await;
    assert_ne!(second.key, first.key);
    let (bus, launcher) = stage.end().await;
    // It runs on, and ends under the eyes of the next.
    let stage = executor(bus, Catalog::new(), launcher.beside(), Config::default());
    stage.launcher.end(&second.key, 0).await;
    stage.phase("w", "Succeeded").await;
    assert_eq!(stage.launcher.started().len(), 2, "nothing was started twice");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_obeyed() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", chain(2)).await;
    let first = stage.pod(1).await;
    stage.command("w", Verb::Suspend).await;
    stage.launcher.end(&first.key, 0).await;
    until(async || {
        let object = stage.object("w").await?;
        (object["status"]["progress"] == "1/1" && object["status"]["suspended"] == true).then_some(())
    })
    .await;
    stage.command("w", Verb::Resume { node_field_selector: String::new() }).await;
    let second = stage.pod(2).await;
    stage.launcher.end(&second.key, 7).await;
    let object = stage.phase("w", "Failed").await;
    let nodes = object["status"]["nodes"].as_object().unwrap();
    assert!(nodes.values().any(|node| node["outputs"]["exitCode"] == "7"));
    stage.command("w", Verb::Retry { restart_successful: false, node_field_selector: String::new() }).await;
    let third = stage.pod(3).await;
    assert_eq!(third.node_id, second.node_id);
    assert_ne!(third.key, second.key);
    stage.command("w", Verb::Stop { message: "enough".into() }).await;
    let object = stage.phase("w", "Failed").await;
    assert_eq!(object["status"]["message"], "enough");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workflow_leaves_nothing_and_its_name_is_free() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", one("x")).await;
    let pod = stage.pod(1).await;
    stage.command("w", Verb::Delete).await;
    until(async || stage.object("w").await.is_none().then_some(())).await;
    let subject = submit::subject("ns", "w");
    until(async || stage.bus.last(&subject).await.unwrap().is_none().then_some(())).await;
    assert_eq!(*stage.launcher.host.removed.lock().unwrap(), std::slice::from_ref(&pod.key));
    stage.submit("w", one("x")).await;
    let again = stage.pod(2).await;
    stage.launcher.end(&again.key, 0).await;
    stage.phase("w", "Succeeded").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_workflows_go_by_time_and_number() {
    let config = Config { finished_max: 2, ..Config::default() };
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), config);
    let mut brief = one("x");
    brief["ttlStrategy"] = json!({"secondsAfterCompletion": 0});
    stage.submit("brief", brief).await;
    until(async || {
        let gone = stage.bus.last(&submit::subject("ns", "brief")).await.unwrap().is_none();
        gone.then_some(())
    })
    .await;
    for index in 0..4 {
        stage.submit(&format!("w{index}"), one("x")).await;
        until(async || {
            let left = stage.bus.last(&submit::subject("ns", &format!("w{index}"))).await.unwrap();
            left.is_none_or(|m| String::from_utf8_lossy(&m.payload).contains("ended")).then_some(())
        })
        .await;
    }
    until(async || stage.object("w1").await.is_none().then_some(())).await;
    assert!(stage.object("w2").await.is_some() && stage.object("w3").await.is_some());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_launcher_and_nothing_else() {
    let catalog = Catalog::new();
    let text =
        "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, stringData: {k: canary-7f3}}";
    let loaded = load("s.yaml", text, &LoadOptions::default());
    let feeder = catalog.feeder();
    feeder.replace(loaded.objects.into_iter().map(Arc::new).collect(), Vec::new());
    let stage = executor(bus().await, catalog, Fake::new(true), Config::default());
    let mut spec = one("x");
    let reference =
        |name: &str| json!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]);
    spec["templates"][0]["container"]["env"] = reference("s");
    let volume =
        |secret: &str| json!({"secretName": secret, "items": [{"key": "k", "path": "a/b", "mode": 256}]});
    spec["volumes"] = json!([{"name": "v", "secret": volume("s")}]);
    spec["templates"][0]["container"]["volumeMounts"] = json!([{"name": "v", "mountPath": "/v"}]);
    stage.submit("good", spec.clone()).await;
    stage.phase("good", "Succeeded").await;
    assert_eq!(stage.launcher.host.specs.lock().unwrap()[0].1, ["v/a/b 400", "E"]);
    spec["templates"][0]["container"]["env"] = reference("none");
    stage.submit("bad", spec).await;
    let object = stage.phase("bad", "Error").await;
    assert!(object["status"]["message"].as_str().unwrap().contains("Secret ns/none"));
    for message in stage.bus.read(streams::WORKFLOWS, "", 1, 1000).await.unwrap() {
        assert!(!String::from_utf8_lossy(&message.payload).contains("canary-7f3"));
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_a_lost_pod_are_told() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("no", one("forbidden")).await;
    let object = stage.phase("no", "Error").await;
    assert_eq!(object["status"]["message"], "not here; use another launcher");
    stage.submit("lost", one("x")).await;
    let pod = stage.pod(1).await;
    until(async || {
        let nodes = stage.object("lost").await?["status"]["nodes"].clone();
        (nodes["lost"]["phase"] == "Running").then_some(())
    })
    .await;
    stage.launcher.host.pods.lock().unwrap().clear();
    stage.launcher.tell(&pod.key).await;
    let object = stage.phase("lost", "Error").await;
    assert!(object["status"]["message"].as_str().unwrap().contains("the pod is gone"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_launcher_hears_of_a_workflows_end_also_after_a_kill() {
    let told = async |launcher: &Fake| until(async || launcher.over.lock().unwrap().first().cloned()).await;
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), Config::default());
    stage.submit("w", chain(2)).await;
    stage.phase("w", "Succeeded").await;
    let first = told(&stage.launcher).await;
    assert_eq!((first.name.as_str(), first.pods.len(), first.collect), ("w", 2, false));
    let (bus, launcher) = stage.end().await;
    // Whoever wrote the end may have been killed before this.
    let stage = executor(bus, Catalog::new(), launcher.beside(), Config::default());
    assert_eq!(told(&stage.launcher).await, first);
    stage.end().await;
}
