//! CloudEvents in each mode.

use tiphys_core::Event;

use crate::stage::{Stage, body_of};

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
    known: {auth: {apiKey: {secrets: [{name: keys, key: one}]}}}
    trusted: {idHeader: ce-id}
    open: {}
";

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn send(stage: &Stage, event: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let mut request = stage.client.post(stage.canonical("s", event)).body(body.to_owned());
    request = request.header("x-api-key", "secret");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let ids = response.headers().get("x-event-id").map(|id| id.to_str().unwrap().to_owned());
    (response.status().as_u16(), ids.unwrap_or_default())
}

fn binary(id: &'static str) -> Vec<(&'static str, &'static str)> {
    vec![
        ("ce-specversion", "1.0"),
        ("ce-id", id),
        ("ce-source", "https://falco.org"),
        ("ce-type", "falco.rule.output.v1"),
        ("ce-time", "2026-11-22T16:31:56.746609046Z"),
        ("ce-traceparent", TRACE),
        ("content-type", "application/json"),
    ]
}

fn texts(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| String::from_utf8(body_of(event).to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn a_binary_event_is_named_by_source_and_id() {
    let stage = Stage::start(SOURCE).await;
    let body = r#"{"rule":"r","evt.time":1795451516746609046}"#;
    for event in ["known", "trusted"] {
        let (status, first) = send(&stage, event, &binary("1"), body).await;
        assert_eq!(status, 200);
        assert_eq!(send(&stage, event, &binary("1"), body).await, (200, first.clone()));
        assert_ne!(send(&stage, event, &binary("2"), body).await.1, first);
    }
    let open = send(&stage, "open", &binary("1"), body).await;
    assert_ne!(send(&stage, "open", &binary("1"), body).await, open, "nobody may choose an id unasked");
    let events = stage.events().await;
    assert_eq!(events.len(), 6);
    assert_eq!(texts(&events)[0], body);
    let first = &events[0];
    assert_eq!(first.attributes["nativeid"], "https://falco.org 1");
    assert_eq!(first.attributes["cetype"], "falco.rule.output.v1");
    assert_eq!(first.attributes["traceparent"], TRACE);
    assert_eq!(first.occurred.unwrap().to_string(), "2026-11-22T16:31:56.746609046Z");
    stage.end().await;
}

#[tokio::test]
async fn a_structured_event_keeps_its_envelope() {
    let stage = Stage::start(SOURCE).await;
    let kind = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let body = r#"{"specversion":"1.0","id":"7","source":"/s","type":"t","subject":"pod","data":{"a":1}}"#;
    let first = send(&stage, "known", &kind, body).await;
    assert_eq!(send(&stage, "known", &kind, body).await, first);
    let events = stage.events().await;
    assert_eq!(texts(&events), [body]);
    assert_eq!(events[0].attributes["nativeid"], "/s 7");
    assert_eq!(events[0].attributes["cesubject"], "pod");
    stage.end().await;
}

#[tokio::test]
async fn a_batch_is_an_event_for_each_in_order() {
    let stage = Stage::start(SOURCE).await;
    let kind = [("content-type", "application/cloudevents-batch+json")];
    let one = |n: u32| format!(r#"{{"specversion":"1.0","id":"{n}","source":"/s","type":"t","data":{n}}}"#);
    let all: Vec<String> = (0..100).map(one).collect();
    let (status, ids) = send(&stage, "known", &kind, &format!("[{}]", all.join(" ,\n"))).await;
    assert_eq!((status, ids.split(", ").count()), (200, 50));
    assert_eq!(texts(&stage.events().await), all);
    // Half of it again: the same events.
    send(&stage, "known", &kind, &format!("[{}]", all[50..].join(","))).await;
    assert_eq!(stage.events().await.len(), 100);
    for (bad, status) in [("{}", 400), ("[1]", 400), ("[", 400), ("[{]", 400)] {
        assert_eq!(send(&stage, "known", &kind, bad).await.0, status, "{bad}");
    }
    let many = format!("[{}]", vec!["{}"; 1001].join(","));
    assert_eq!(send(&stage, "known", &kind, &many).await.0, 413);
    assert_eq!(send(&stage, "known", &kind, "[]").await, (200, String::new()));
    assert_eq!(stage.events().await.len(), 100);
    stage.end().await;
}
