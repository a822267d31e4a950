//! The same message twice is one event; one id for two bodies is two, and said.

use std::collections::BTreeSet;

use crate::stage::Stage;

const SOURCE: &str = "
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {one: secret}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: s}
spec:
  webhook:
    by-header: {idHeader: X-Message-Id}
    by-path: {idPath: meta.id}
    open: {}
    preset:
      auth:
        apiKey: {secrets: [{name: keys, key: one}]}
        preset: github
";

async fn send(stage: &Stage, event: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut request = stage.client.post(stage.canonical("s", event)).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    response.headers()["x-event-id"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_hundred_deliveries_at_once_are_one_event() {
    let stage = Stage::start(SOURCE).await;
    let all = (0..100).map(|_| send(&stage, "by-header", &[("x-message-id", "m1")], r#"{"a":1}"#));
    let ids: BTreeSet<_> = futures::future::join_all(all).await.into_iter().collect();
    assert_eq!(ids.len(), 1);
    let events = stage.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].attributes["nativeid"], "m1");
    stage.end().await;
}

#[tokio::test]
async fn one_id_for_two_bodies_is_two_events_and_reported() {
    let stage = Stage::start(SOURCE).await;
    let header = [("x-message-id", "m1")];
    let first = send(&stage, "by-header", &header, r#"{"a":1}"#).await;
    let second = send(&stage, "by-header", &header, r#"{"a":2}"#).await;
    assert_ne!(first, second);
    assert_eq!(send(&stage, "by-header", &header, r#"{"a":1}"#).await, first);
    assert_eq!(send(&stage, "by-header", &header, r#"{"a":2}"#).await, second);
    let events = stage.events().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[1].attributes["conflictswith"], first);
    assert!(!events[0].attributes.contains_key("conflictswith"));
    stage.end().await;
}

#[tokio::test]
async fn an_id_counts_where_it_may() {
    let stage = Stage::start(SOURCE).await;
    let body = r#"{"meta":{"id":"p1"},"x":1}"#;
    let same = send(&stage, "by-path", &[], body).await;
    assert_eq!(send(&stage, "by-path", &[], body).await, same);
    // No id is configured, and nobody has proved who he is.
    let github = [("x-github-delivery", "d1")];
    let open = send(&stage, "open", &github, "{}").await;
    assert_ne!(send(&stage, "open", &github, "{}").await, open);
    // The preset's id counts once the key is checked.
    let known = [("x-github-delivery", "d1"), ("x-api-key", "secret")];
    let preset = send(&stage, "preset", &known, "{}").await;
    assert_eq!(send(&stage, "preset", &known, "{}").await, preset);
    // Without id each request is an event.
    let fresh = send(&stage, "by-header", &[], "{}").await;
    assert_ne!(send(&stage, "by-header", &[("x-message-id", " ")], "{}").await, fresh);
    assert_eq!(stage.events().await.len(), 1 + 2 + 1 + 2);
    stage.end().await;
}
