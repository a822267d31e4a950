//! The service on the memory bus, with a real HTTP server on the other side.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "publish/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value as Json, json};
use tiphys_bus::{Publish, streams};
use tiphys_core::{FiringId, Timestamp, Value};
use tiphys_kit::{CancellationToken, Group};
use tiphys_trigger::ledger::{Effect, Ledger, State};
use tiphys_trigger::{control, dlq};

use crate::world::{World, firing, within};

fn workflow(metadata: &Json) -> Json {
    json!({"argoWorkflow": {
        // The keys of an older type: they mean nothing any more, and must not hurt.
        "group": "argoproj.io", "version": "v1alpha1", "resource": "workflows",
        "operation": "submit",
        "source": {"resource": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata,
            "spec": {"entrypoint": "main", "arguments": {"parameters": [{"name": "event", "value": "{}"}]}}}},
    }})
}

#[tokio::test]
async fn ten_deliveries_of_one_firing_make_one_workflow() {
    let world = World::start().await;
    let mut firing = firing("t", &workflow(&json!({"generateName": "scan-"})));
    let event = r#"{"context":{"id":"1"},"data":"eyJhIjoiXCIifQ==","n":1795348800123456789}"#;
    firing.parameters.push(Value {
        dest: "spec.arguments.parameters.0.value".into(),
        operation: tiphys_core::Operation::Overwrite,
        value: serde_json::to_string(event).unwrap(),
    });
    for n in 0..10 {
        world.fire(&firing, &format!("delivery-{n}")).await;
    }
    let entry = world.until(&firing.id, State::Done).await;
    let workflows = world.workflows().await;
    assert_eq!(workflows.len(), 1);
    let submission = &workflows[0];
    assert_eq!(submission.name, format!("scan-{}", &firing.id.0[..16]));
    assert_eq!(submission.workflow.pointer("/spec/arguments/parameters/0/value").unwrap(), event);
    assert_eq!(submission.workflow["metadata"]["labels"]["events.argoproj.io/sensor"], "s");
    assert!(matches!(entry.effect, Some(Effect::Workflow { name, .. }) if name == submission.name));
    world.end().await;
}

#[tokio::test]
async fn a_fixed_name_is_taken_once_and_policies_say_otherwise() {
    let world = World::start().await;
    let metadata = json!({"name": "pod-delete-trigger"});
    let first = firing("first", &workflow(&metadata));
    world.fire(&first, "1").await;
    world.until(&first.id, State::Done).await;

    let second = firing("second", &workflow(&metadata));
    world.fire(&second, "2").await;
    let dead = world.until(&second.id, State::Dead).await;
    assert_eq!(dead.attempts, 1, "a taken name is not retried");
    let letters = dlq::list(&world.bus, 1, 10).await.unwrap();
    assert!(letters[0].letter.reason.contains("exists already"), "{}", letters[0].letter.reason);
    assert_eq!(letters[0].letter.code, "TIP-TRG-005");

    for (policy, workflows) in [("skip", 1), ("suffix", 2)] {
        let metadata =
            json!({"name": "pod-delete-trigger", "annotations": {"tiphys.dev/name-policy": policy}});
        let firing = firing(policy, &workflow(&metadata));
        world.fire(&firing, policy).await;
        world.until(&firing.id, State::Done).await;
        assert_eq!(world.workflows().await.len(), workflows, "{policy}");
    }

    // The first one is deleted, and the letter retried.
    let subject = streams::subject(streams::WORKFLOWS, &["default", "pod-delete-trigger"]);
    world.bus.purge(streams::WORKFLOWS, &subject, None).await.unwrap();
    dlq::retry(&world.bus, letters[0].sequence, Timestamp::now()).await.unwrap();
    world.until(&second.id, State::Done).await;
    assert!(dlq::retry(&world.bus, letters[0].sequence, Timestamp::now()).await.is_err());
    world.end().await;
}

#[tokio::test]
async fn http_is_tried_again_with_the_same_key() {
    let calls = Arc::new(AtomicU32::new(0));
    let seen = calls.clone();
    let app = axum::Router::new().route(
        "/hook",
        axum::routing::post(move |headers: axum::http::HeaderMap, body: String| {
            let n = seen.fetch_add(1, Ordering::SeqCst);
            async move {
                assert_eq!(body, r#"{"a":{"b":1795348800123456789}}"#);
                let key = headers["idempotency-key"].to_str().unwrap().to_owned();
                assert_eq!(key.len(), 32);
                if n < 2 { axum::http::StatusCode::SERVICE_UNAVAILABLE } else { axum::http::StatusCode::OK }
            }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Group::new(CancellationToken::new());
    let mut serving = serving;
    serving.spawn("http", move |_| async move { axum::serve(listener, app).await });

    let world = World::start().await;
    let mut firing = firing("call", &json!({"http": {"url": format!("http://{address}/hook?token=s3cret")}}));
    firing.payload.push(Value {
        dest: "a.b".into(),
        operation: tiphys_core::Operation::Overwrite,
        value: "1795348800123456789".into(),
    });
    world.fire(&firing, "1").await;
    let entry = world.until(&firing.id, State::Done).await;
    assert_eq!(calls.load(Ordering::SeqCst), 3);
    assert_eq!(entry.attempts, 3);
    assert_eq!(entry.errors.len(), 2);
    assert!(!serde_json::to_string(&entry).unwrap().contains("s3cret"));
    world.end().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_a_dead_letter_that_says_why() {
    let world = World::start().await;
    let slack = firing("slack", &json!({"slack": {"channel": "x"}}));
    world.fire(&slack, "1").await;
    world.until(&slack.id, State::Dead).await;
    let gone = firing("gone", &json!({"http": {"url": "http://127.0.0.1:9/"}}));
    world.fire(&gone, "2").await;
    assert_eq!(world.until(&gone.id, State::Dead).await.attempts, 3);
    let subject = streams::subject(streams::FIRINGS, &["default", "s", "broken"]);
    world.bus.publish(Publish::new(subject, &b"\xff{"[..])).await.unwrap();
    let letters = within(async {
        loop {
            let seen = world.bus.info(streams::DEAD).await.unwrap().last;
            let letters = dlq::list(&world.bus, 1, 10).await.unwrap();
            if letters.len() == 3 {
                return letters;
            }
            world.bus.wait_for(streams::DEAD, seen, Duration::from_secs(5)).await.unwrap();
        }
    })
    .await;
    assert!(letters[0].letter.reason.contains("`slack`"));
    assert_eq!(letters[2].letter.raw.as_deref(), Some("/3s="));
    world.end().await;
}

#[tokio::test]
async fn what_is_given_up_fires_the_trigger_that_follows() {
    let world = World::start().await;
    let mut lost = firing("lost", &json!({"slack": {}}));
    let next = firing("told", &workflow(&json!({"generateName": "told-"})));
    lost.dead_letter = Some(Box::new(next.clone()));
    world.fire(&lost, "1").await;
    world.until(&next.id, State::Done).await;
    world.until(&lost.id, State::Dead).await;
    assert_eq!(world.workflows().await.len(), 1);
    world.end().await;
}

#[tokio::test]
async fn log_lines_keep_their_interval() {
    let world = World::start().await;
    let template = json!({"log": {"intervalSeconds": 3600}});
    let first = firing("log", &template);
    let mut second = first.clone();
    second.id = FiringId("another".into());
    world.fire(&first, "1").await;
    assert_eq!(world.until(&first.id, State::Done).await.effect, Some(Effect::Log));
    world.fire(&second, "2").await;
    let effect = world.until(&second.id, State::Done).await.effect;
    assert!(matches!(effect, Some(Effect::Skipped { .. })), "{effect:?}");
    world.end().await;
}

#[tokio::test]
async fn a_paused_trigger_waits_and_holds_nobody_else() {
    let world = World::start().await;
    let names = ("default", "s", "held");
    let paused =
        |paused| control::Control { paused, at: Timestamp::now(), by: "test".into(), reason: String::new() };
    control::write(&world.bus, names, &paused(true)).await.unwrap();
    let held = firing("held", &json!({"log": {}}));
    let other = firing("other", &json!({"log": {}}));
    world.fire(&held, "1").await;
    world.fire(&other, "2").await;
    world.until(&other.id, State::Done).await;
    assert_eq!(Ledger::new(world.bus.clone()).read(&held.id).await.unwrap().0, None);
    control::write(&world.bus, names, &paused(false)).await.unwrap();
    world.until(&held.id, State::Done).await;
    world.end().await;
}

#[tokio::test]
async fn two_processes_share_firings_and_both_obey_a_pause() {
    let one = World::start().await;
    let two = one.beside();
    let names = ("default", "s", "shared");
    let paused =
        |paused| control::Control { paused, at: Timestamp::now(), by: "test".into(), reason: String::new() };
    control::write(&one.bus, names, &paused(true)).await.unwrap();
    let mut firings = Vec::new();
    for index in 0..40 {
        let mut firing = firing("shared", &workflow(&json!({"generateName": "scan-"})));
        firing.id = FiringId(format!("{index:02x}").repeat(32));
        // Told twice, as after a lost answer.
        one.fire(&firing, &format!("{index}-a")).await;
        one.fire(&firing, &format!("{index}-b")).await;
        firings.push(firing.id);
    }
    let free = firing("free", &json!({"log": {}}));
    one.fire(&free, "free").await;
    one.until(&free.id, State::Done).await;
    assert!(one.workflows().await.is_empty(), "both wait");
    control::write(&one.bus, names, &paused(false)).await.unwrap();
    for id in &firings {
        one.until(id, State::Done).await;
    }
    let names: std::collections::BTreeSet<String> =
        one.workflows().await.into_iter().map(|workflow| workflow.name).collect();
    assert_eq!(one.workflows().await.len(), 40);
    assert_eq!(names.len(), 40);
    one.end().await;
    two.end().await;
}
