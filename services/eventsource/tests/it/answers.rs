//! What a sender is told, and what is stored.

use std::time::Duration;

use axum::body::Body;
use http::StatusCode;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tiphys_bus::{memory, streams};
use tiphys_eventsource::{Config, Ingress};
use tokio::io::AsyncWriteExt as _;
use tower::ServiceExt as _;

use crate::faulty::Faulty;
use crate::stage::{DEADLINE, Stage, body_of, until};

const PLAIN: &str = "
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: hooks}
spec:
  webhook:
    any: {port: '0', endpoint: /any, metadata: {team: red}}
    put: {method: PUT}
    get: {method: GET}
    closed: {authSecret: {name: absent, key: token}}
    only-high: {filter: {expression: 'body.level > 3'}}
";

#[tokio::test]
async fn a_stored_event_is_answered_with_its_id_and_nothing_else() {
    let stage = Stage::start(PLAIN).await;
    let url = stage.canonical("hooks", "any");
    let response = stage.post(&url, r#"{"n": 1795348800123456789}"#).await;
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-event-id"].to_str().unwrap().to_owned();
    assert_eq!(response.bytes().await.unwrap(), "");

    let own = stage.port(0).unwrap();
    let again = stage.post(&format!("http://{own}/any"), "[]").await;
    assert_eq!(again.status(), 200);
    let health = reqwest::get(format!("http://{own}/health")).await.unwrap();
    assert_eq!(health.status(), 200);

    let messages = stage.messages().await;
    assert_eq!(messages[0].subject, "events.default.hooks.any");
    let events = stage.events().await;
    assert_eq!(events.len(), 2);
    assert_eq!(events[0].id.0, id);
    assert_eq!(events[0].kind, "webhook");
    assert_eq!(body_of(&events[0]), r#"{"n":1795348800123456789}"#);
    let payload: Value = serde_json::from_slice(&events[0].data).unwrap();
    assert_eq!(payload["metadata"], json!({"team": "red"}));
    assert_eq!(payload["header"]["Content-Length"], json!(["26"]));
    assert_eq!(payload["header"]["Host"], Value::Null);
    let members: Vec<_> = payload.as_object().unwrap().keys().collect();
    assert_eq!(members, ["header", "body", "metadata"]);
    stage.end().await;
}

#[tokio::test]
async fn each_fault_has_its_answer() {
    let stage = Stage::start(PLAIN).await;
    let url = |event: &str| stage.canonical("hooks", event);
    let post = |event: &str, body: &'static str| stage.client.post(url(event)).body(body);
    let cases = [
        (post("any", "{"), 400),
        (post("any", ""), 400),
        (post("any", "{}{}"), 400),
        (post("any", "a=1").header("content-type", "text/plain"), 400),
        (post("absent", "{}"), 404),
        (stage.client.get(url("any")), 405),
        (post("put", "{}"), 405),
        (stage.client.put(url("put")).body("{}"), 200),
        (stage.client.get(url("get") + "?a=1&a=2"), 200),
        (post("closed", "{}"), 500),
    ];
    for (request, status) in cases {
        let request = request.build().unwrap();
        let shown = format!("{} {}", request.method(), request.url());
        let response = stage.client.execute(request).await.unwrap();
        assert_eq!(response.status(), status, "{shown}");
        assert_eq!(response.headers().contains_key("x-event-id"), status == 200, "{shown}");
        if status == 405 {
            assert!(response.headers().contains_key("allow"));
        }
    }
    let events = stage.events().await;
    assert_eq!(events.len(), 2);
    assert_eq!(body_of(&events[1]), r#"{"a":["1","2"]}"#);
    assert_eq!(stage.codes(), ["TIP-SRC-002"]);
    stage.end().await;
}

#[tokio::test]
async fn a_secret_that_appears_opens_the_door() {
    let stage = Stage::start(PLAIN).await;
    let secret = "
---
apiVersion: v1
kind: Secret
metadata: {name: absent}
stringData: {token: \"t0ken\\n\"}
";
    stage.put(&format!("{PLAIN}{secret}"));
    until("the secret is read", || stage.codes().is_empty()).await;
    let request = stage.client.post(stage.canonical("hooks", "closed")).body("{}");
    let response = request.bearer_auth("t0ken").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let payload: Value = serde_json::from_slice(&stage.events().await[0].data).unwrap();
    assert_eq!(payload["header"]["Authorization"], json!(["*** Masked Auth Secret ***"]));
    stage.end().await;
}

#[tokio::test]
async fn what_the_filter_refuses_is_answered_but_not_stored() {
    let stage = Stage::start(PLAIN).await;
    let url = stage.canonical("hooks", "only-high");
    for (body, is_event) in [(r#"{"level":3}"#, false), (r#"{"level":4}"#, true), ("{}", false)] {
        let response = stage.post(&url, body).await;
        assert_eq!(response.status(), 200, "{body}");
        assert_eq!(response.headers().contains_key("x-event-id"), is_event, "{body}");
    }
    assert_eq!(stage.events().await.len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_full_bus_tells_senders_to_come_again() {
    let bus = memory();
    let stage = Stage::with(PLAIN, bus.clone(), Config::default()).await;
    let mut small = streams::all().into_iter().find(|s| s.name == streams::EVENTS).unwrap();
    (small.max_messages, small.trim_acked) = (1, false);
    bus.ensure_stream(&small).await.unwrap();
    let url = stage.canonical("hooks", "any");
    assert_eq!(stage.post(&url, "{}").await.status(), 200);
    let refused = stage.post(&url, "{}").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(stage.events().await.len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_bus_that_is_away_is_tried_until_patience_ends() {
    let bus = Faulty::new();
    let config = Config { publish_patience: Duration::from_millis(200), ..Config::default() };
    let stage = Stage::with(PLAIN, bus.clone(), config).await;
    bus.away(true);
    let url = stage.canonical("hooks", "any");
    let refused = stage.post(&url, "{}").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    bus.away(false);
    assert_eq!(stage.post(&url, "{}").await.status(), 200);
    assert_eq!(stage.events().await.len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_lost_answer_of_the_bus_makes_no_second_event() {
    let bus = Faulty::new();
    let stage = Stage::with(PLAIN, bus.clone(), Config::default()).await;
    bus.lose_answers(2);
    let response = stage.post(&stage.canonical("hooks", "any"), "{}").await;
    assert_eq!(response.status(), 200);
    let events = stage.events().await;
    assert_eq!(events.len(), 1);
    assert_eq!(response.headers()["x-event-id"], events[0].id.0.as_str());
    stage.end().await;
}

#[tokio::test]
async fn what_is_being_stored_is_stored_though_the_sender_hangs_up() {
    let bus = Faulty::new();
    let stage = Stage::with(PLAIN, bus.clone(), Config::default()).await;
    let gate = bus.shut().await;
    let own = stage.port(0).unwrap();
    let mut stream = tokio::net::TcpStream::connect(own).await.unwrap();
    let request = b"POST /any HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(request).await.unwrap();
    until("the event is on its way", || bus.waiting() == 1).await;
    drop(stream);
    until("the connection is gone", || stage.ingress.open_connections() == 0).await;
    drop(gate);
    let last = stage.bus.wait_for(streams::EVENTS, 0, DEADLINE).await;
    assert_eq!(last, Ok(1));
    stage.end().await;
}

#[tokio::test]
async fn too_much_at_once_is_told_to_come_again() {
    let bus = Faulty::new();
    let config = Config { max_in_flight: 2, ..Config::default() };
    let stage = Stage::with(PLAIN, bus.clone(), config).await;
    let gate = bus.shut().await;
    let url = stage.canonical("hooks", "any");
    let two = futures::future::join(stage.post(&url, "1"), stage.post(&url, "2"));
    let third = async {
        until("two are on their way", || bus.waiting() == 2).await;
        let refused = stage.post(&url, "3").await;
        drop(gate);
        refused
    };
    let ((first, second), third) = futures::future::join(two, third).await;
    assert_eq!(third.status(), 503);
    assert!(third.headers().contains_key("retry-after"));
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(stage.events().await.len(), 2);
    stage.end().await;
}

#[tokio::test]
async fn what_happens_is_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::start(PLAIN).await;
    let post = |event: &str, body: &'static str| {
        stage.client.post(stage.canonical("hooks", event)).body(body).send()
    };
    for (event, body) in [("any", "{}"), ("any", "{}"), ("any", "{"), ("only-high", "{\"level\":1}")] {
        post(event, body).await.unwrap();
    }
    let text = handle.render();
    let labels =
        |event: &str| format!("{{namespace=\"default\",eventsource_name=\"hooks\",event_name=\"{event}\"}}");
    for line in [
        format!("argo_events_events_sent_total{} 2", labels("any")),
        format!("argo_events_event_processing_duration_milliseconds_count{} 2", labels("any")),
        format!("tiphys_events_filtered_total{} 1", labels("only-high")),
        "argo_events_event_service_running_total{namespace=\"default\",eventsource_name=\"hooks\"} 5".into(),
        "tiphys_webhook_rejected_total{reason=\"malformed\"} 1".into(),
    ] {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    stage.end().await;
}

#[tokio::test]
async fn before_it_runs_and_after_the_door_is_shut() {
    let ingress = Ingress::new(Config::default());
    let request = || {
        let request = http::Request::post("/events/default/hooks/any");
        request.body(Body::from("{}")).unwrap()
    };
    let response = ingress.router().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 503);
    let stage = Stage::start(PLAIN).await;
    let ingress = stage.ingress.clone();
    let own = stage.port(0).unwrap();
    stage.end().await;
    let response = ingress.router().oneshot(request()).await.unwrap();
    assert_eq!(response.status(), 503);
    assert!(std::net::TcpStream::connect(own).is_err());
}
