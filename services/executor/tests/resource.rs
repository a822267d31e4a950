//! Resource templates on a real API server.
#![cfg(feature = "kubernetes")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "resource/again.rs"]
mod again;
#[path = "resource/meant.rs"]
mod meant;
#[path = "resource/owner.rs"]
mod owner;
#[path = "resource/stage.rs"]
mod stage;

use std::time::Duration;

use serde_json::json;
use stage::{Stage, created, spec, stage};
use tiphys_executor::launcher::resource::{Action, Merge, Reading, ResourceOutput, ResourceSpec};
use tiphys_executor::launcher::{LaunchError, Launcher, PodVerdict};
use tiphys_kit::kubernetes::{PRECONDITION_CONTAINER, PRECONDITION_UID};

fn output(name: &str, from: Reading) -> ResourceOutput {
    ResourceOutput { name: name.into(), from, default: None }
}

fn config_map(name: &str) -> serde_json::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"state": "new"}})
}

#[tokio::test]
async fn what_is_created_is_followed_to_its_condition_and_read() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    let mut manifest = config_map("");
    manifest["metadata"] = json!({"generateName": "made-"});
    let spec = ResourceSpec {
        success_condition: "data.state == done".into(),
        failure_condition: "data.state == broken".into(),
        outputs: vec![
            output("name", Reading::JsonPath("{.metadata.name}".into())),
            output("state", Reading::JqFilter(".data.state".into())),
        ],
        ..spec(Action::Create, manifest)
    };
    let mut run = stage.run();
    let key = run.start("one", &spec).await.unwrap();
    let name = stage.only("configmaps").await["metadata"]["name"].as_str().unwrap().to_owned();
    assert!(name.starts_with("made-") && name.len() > 10, "{name}");
    stage.merge("configmaps", &name, json!({"data": {"state": "on its way"}})).await;
    stage.merge("configmaps", &name, json!({"data": {"state": "done"}})).await;
    let result = run.ended(&key).await;
    assert_eq!((result.verdict, result.message.as_str()), (PodVerdict::Succeeded, ""));
    assert_eq!(result.parameters["name"], name);
    assert_eq!(result.parameters["state"], "done");
    let lines = run.launcher.logs(&key, 0, 10).await.unwrap();
    assert_eq!(lines[0].text, format!("configmap/{name} created"));
}

#[tokio::test]
async fn what_is_begun_anew_is_found_and_not_made_twice() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    let mut manifest = config_map("");
    manifest["metadata"] = json!({"generateName": "made-"});
    let spec =
        ResourceSpec { success_condition: "data.state == done".into(), ..spec(Action::Create, manifest) };
    let first = stage.run();
    first.start("one", &spec).await.unwrap();
    let before = stage.only("configmaps").await;
    drop(first);
    let mut second = stage.run();
    let key = second.start("one", &spec).await.unwrap();
    let name = before["metadata"]["name"].as_str().unwrap();
    stage.merge("configmaps", name, json!({"data": {"state": "done"}})).await;
    assert_eq!(second.ended(&key).await.verdict, PodVerdict::Succeeded);
    assert_eq!(stage.only("configmaps").await["metadata"]["uid"], before["metadata"]["uid"]);
    // Another attempt does not take it for its own.
    let named = created(config_map(name));
    let other = second.start("other", &named).await.unwrap();
    let result = second.ended(&other).await;
    assert_eq!(result.verdict, PodVerdict::Failed);
    assert!(result.message.contains("already exists"), "{}", result.message);
}

#[tokio::test]
async fn a_failure_condition_fails_in_argos_words() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    let spec = ResourceSpec {
        success_condition: "data.state == done".into(),
        failure_condition: "data.state in (new, broken)".into(),
        ..created(config_map("fails"))
    };
    let mut run = stage.run();
    let key = run.start("one", &spec).await.unwrap();
    let result = run.ended(&key).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(64)));
    assert_eq!(
        result.message,
        "main: Error (exit code 64): failure condition '{data.state in [broken new]}' evaluated true"
    );
}

#[tokio::test]
async fn only_the_rights_of_an_account_that_is_allowed() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    let mut run = stage.run();
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}});
    let key = run.start("secret", &created(secret)).await.unwrap();
    let message = run.ended(&key).await.message;
    let rule = r#"with the rule {apiGroups: [""], resources: ["secrets"], verbs: ["create"]}"#;
    assert!(message.contains(rule) && message.contains("may not create secrets"), "{message}");

    let other = ResourceSpec { service_account: "admin".into(), ..created(config_map("x")) };
    match run.start("not-allowed", &other).await {
        Err(LaunchError::NotAllowed(why)) => assert!(why.contains("--service-accounts"), "{why}"),
        other => panic!("{other:?}"),
    }
    let absent = ResourceSpec { service_account: "worker-absent".into(), ..created(config_map("x")) };
    let key = run.start("absent", &absent).await.unwrap();
    let message = run.ended(&key).await.message;
    assert!(message.contains("worker-absent does not exist"), "{message}");
    let unknown = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "x"}});
    let key = run.start("unknown", &created(unknown)).await.unwrap();
    let message = run.ended(&key).await.message;
    assert!(message.contains("no kind Thing in example.com/v1"), "{message}");
}

#[tokio::test]
async fn an_account_that_may_not_watch_is_served_too() {
    let Some(stage) = Stage::with_verbs(&["configmaps"], &["create", "get"]).await else { return };
    let spec = ResourceSpec { success_condition: "data.state == done".into(), ..created(config_map("slow")) };
    let mut run = stage.run();
    let key = run.start("one", &spec).await.unwrap();
    stage.only("configmaps").await;
    stage.merge("configmaps", "slow", json!({"data": {"state": "done"}})).await;
    assert_eq!(run.ended(&key).await.verdict, PodVerdict::Succeeded);
}

#[tokio::test]
async fn objects_are_applied_patched_replaced_and_read() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    let mut run = stage.run();
    for (round, value) in ["1", "2"].into_iter().enumerate() {
        let mut manifest = config_map("thing");
        manifest["data"] = json!({"value": value, "list": "a"});
        let key = run.start(&format!("apply{round}"), &spec(Action::Apply, manifest)).await.unwrap();
        assert_eq!(run.ended(&key).await.message, "");
        assert_eq!(stage.get("configmaps", "thing").await.unwrap()["data"]["value"], value);
    }
    let managers = stage.get("configmaps", "thing").await.unwrap()["metadata"]["managedFields"].clone();
    assert_eq!(
        (managers[0]["manager"].as_str(), managers[0]["operation"].as_str()),
        (Some("tiphys"), Some("Apply"))
    );

    let merged = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "thing"}, "data": {"value": null, "more": "yes"}});
    for merge in [Merge::Strategic, Merge::Merge] {
        let spec = ResourceSpec { merge, ..spec(Action::Patch, merged.clone()) };
        let key = run.start(&format!("patch{merge:?}"), &spec).await.unwrap();
        assert_eq!(run.ended(&key).await.message, "");
        let live = stage.get("configmaps", "thing").await.unwrap();
        assert_eq!(live["data"], json!({"list": "a", "more": "yes"}));
    }

    // Operations are done once, however often they are begun.
    let operations = json!([{"op": "copy", "from": "/data/list", "path": "/data/copy"}, {"op": "remove", "path": "/data/list"}]);
    let json_patch = ResourceSpec {
        merge: Merge::Json,
        flags: vec!["cm".into(), "thing".into()],
        ..spec(Action::Patch, operations)
    };
    for mut run in [stage.run(), stage.run()] {
        let key = run.start("operations", &json_patch).await.unwrap();
        assert_eq!(run.ended(&key).await.message, "");
    }
    let live = stage.get("configmaps", "thing").await.unwrap();
    assert_eq!(live["data"], json!({"copy": "a", "more": "yes"}));

    let mut replacing = config_map("thing");
    replacing["data"] = json!({"all": "new"});
    let key = run.start("replace", &spec(Action::Replace, replacing)).await.unwrap();
    assert_eq!(run.ended(&key).await.message, "");
    let reading = ResourceSpec {
        flags: vec!["configmap/thing".into()],
        outputs: vec![output("all", Reading::JsonPath("{.data.all}".into()))],
        ..stage::without_manifest(Action::Get)
    };
    let key = run.start("get", &reading).await.unwrap();
    assert_eq!(run.ended(&key).await.parameters["all"], "new");
    let absent = ResourceSpec { flags: vec!["configmap/none".into()], ..reading.clone() };
    let key = run.start("get-none", &absent).await.unwrap();
    assert!(run.ended(&key).await.message.contains("not found"));
    let ignored =
        ResourceSpec { flags: vec!["configmap/none".into(), "--ignore-not-found".into()], ..reading };
    let key = run.start("get-ignored", &ignored).await.unwrap();
    assert_eq!(run.ended(&key).await.parameters["all"], "");
}

#[tokio::test]
async fn a_delete_waits_until_its_objects_are_gone() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    for (name, label) in [("a", "yes"), ("b", "yes"), ("c", "no")] {
        let mut manifest = config_map(name);
        manifest["metadata"]["labels"] = json!({"cleanup": label});
        if name == "b" {
            manifest["metadata"]["finalizers"] = json!(["example.com/wait"]);
        }
        stage.create("configmaps", manifest).await;
    }
    let flags = ["configmap", "--selector", "cleanup=yes"].map(String::from).to_vec();
    let spec = ResourceSpec { flags, ..stage::without_manifest(Action::Delete) };
    let mut run = stage.run();
    let key = run.start("clean", &spec).await.unwrap();
    stage
        .until(|| async {
            stage.get("configmaps", "b").await.unwrap()["metadata"]["deletionTimestamp"].is_string()
        })
        .await;
    assert!(!run.has_ended(&key).await);
    stage.merge("configmaps", "b", json!({"metadata": {"finalizers": null}})).await;
    assert_eq!(run.ended(&key).await.message, "");
    assert_eq!(stage.only_named("configmaps", "c").await["metadata"]["name"], "c");
    assert!(stage.get("configmaps", "a").await.is_none());
    // Gone is success.
    let gone = spec_of_delete("b", json!({}));
    let key = run.start("again", &gone).await.unwrap();
    assert_eq!(run.ended(&key).await.verdict, PodVerdict::Succeeded);
}

fn spec_of_delete(name: &str, annotations: serde_json::Value) -> ResourceSpec {
    let metadata = json!({"name": name, "annotations": annotations});
    spec(Action::Delete, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}))
}

#[tokio::test]
async fn only_the_pod_of_the_alert_is_deleted() {
    let Some(stage) = stage(&["pods"]).await else { return };
    let container = "3ad0bd5e9c1f2b7a6d4e8f901234567890abcdef1234567890abcdef12345678";
    let mut run = stage.run();
    let delete = |annotations: serde_json::Value| {
        let metadata = json!({"name": "web", "annotations": annotations});
        spec(Action::Delete, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata}))
    };
    let uid = stage.pod("web", container).await;
    let refused = [
        (json!({PRECONDITION_CONTAINER: "<NA>"}), "no container id"),
        (json!({PRECONDITION_CONTAINER: ""}), "no container id"),
        (json!({PRECONDITION_CONTAINER: "ffffffffffff"}), "has no container ffffffffffff"),
        (json!({PRECONDITION_UID: "00000000-0000-0000-0000-000000000000"}), "is meant"),
        (json!({PRECONDITION_UID: uid, PRECONDITION_CONTAINER: "ffffffffffff"}), "has no container"),
    ];
    for (number, (annotations, said)) in refused.into_iter().enumerate() {
        let key = run.start(&format!("refused{number}"), &delete(annotations)).await.unwrap();
        let result = run.ended(&key).await;
        assert_eq!(result.verdict, PodVerdict::Failed);
        assert!(
            result.message.contains("not deleted") && result.message.contains(said),
            "{}",
            result.message
        );
        assert_eq!(stage.get("pods", "web").await.unwrap()["metadata"]["uid"], uid);
    }
    let of_alert = delete(json!({PRECONDITION_CONTAINER: &container[..12]}));
    let key = run.start("response", &of_alert).await.unwrap();
    assert_eq!(run.ended(&key).await.message, "");
    assert!(stage.get("pods", "web").await.is_none());
    // Another came under the same name.
    let second = stage.pod("web", "feed0bd5e9c1f2b7a6d4e8f901234567890abcdef1234567890abcdef1234567").await;
    let key = run.start("response-again", &of_alert).await.unwrap();
    assert_eq!(run.ended(&key).await.verdict, PodVerdict::Failed);
    let key = run.start("by-uid", &delete(json!({PRECONDITION_UID: uid}))).await.unwrap();
    assert_eq!(run.ended(&key).await.verdict, PodVerdict::Failed);
    assert_eq!(stage.get("pods", "web").await.unwrap()["metadata"]["uid"], second);
}

#[tokio::test]
async fn a_step_is_stopped_and_runs_out_of_time() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    let spec = ResourceSpec { success_condition: "data.state == done".into(), ..created(config_map("long")) };
    let mut run = stage.run();
    let key = run.start("stopped", &spec).await.unwrap();
    run.launcher.stop(&key).await.unwrap();
    let result = run.ended(&key).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(143)));
    let key = run
        .start_until("late", &ResourceSpec { action: Action::Apply, ..spec }, Duration::from_millis(300))
        .await;
    let result = run.ended(&key).await;
    assert_eq!(result.message, "Pod was active on the node longer than the specified deadline");
}

#[tokio::test]
async fn an_api_server_that_is_away_is_waited_for() {
    // Of its own: it is killed.
    let Some(cluster) = tiphys_servers::kubernetes() else { return };
    let stage = Stage::on(Box::leak(Box::new(cluster)), &["configmaps"], stage::ALL).await;
    let spec =
        ResourceSpec { success_condition: "data.state == done".into(), ..created(config_map("waits")) };
    let mut run = stage.run();
    let before = run.start("before", &spec).await.unwrap();
    stage.only("configmaps").await;
    stage.cluster.kill(tiphys_servers::kubernetes::Part::ApiServer);
    let during = run.start("during", &created(config_map("made-later"))).await.unwrap();
    assert!(!run.has_ended(&during).await);
    stage.cluster.start(tiphys_servers::kubernetes::Part::ApiServer);
    stage.merge("configmaps", "waits", json!({"data": {"state": "done"}})).await;
    assert_eq!(run.ended(&before).await.message, "");
    assert_eq!(run.ended(&during).await.message, "");
    assert!(stage.get("configmaps", "made-later").await.is_some());
}
