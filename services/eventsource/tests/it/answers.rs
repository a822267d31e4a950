//! What a sender is told, and what is stored.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tiphys_bus::{
    Acked, Bus, BusError, Claim, Consumer, ConsumerConfig, Message, Publish, StreamConfig,
    StreamInfo, memory, streams,
};
use tiphys_eventsource::Config;

use crate::stage::{Stage, body_of, until};

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
    let id = response.headers()["x-event-id"]
        .to_str()
        .unwrap()
        .to_owned();
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
        assert_eq!(
            response.headers().contains_key("x-event-id"),
            status == 200,
            "{shown}"
        );
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
    let request = stage
        .client
        .post(stage.canonical("hooks", "closed"))
        .body("{}");
    let response = request.bearer_auth("t0ken").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let payload: Value = serde_json::from_slice(&stage.events().await[0].data).unwrap();
    assert_eq!(
        payload["header"]["Authorization"],
        json!(["*** Masked Auth Secret ***"])
    );
    stage.end().await;
}

#[tokio::test]
async fn what_the_filter_refuses_is_answered_but_not_stored() {
    let stage = Stage::start(PLAIN).await;
    let url = stage.canonical("hooks", "only-high");
    for (body, is_event) in [
        (r#"{"level":3}"#, false),
        (r#"{"level":4}"#, true),
        ("{}", false),
    ] {
        let response = stage.post(&url, body).await;
        assert_eq!(response.status(), 200, "{body}");
        assert_eq!(
            response.headers().contains_key("x-event-id"),
            is_event,
            "{body}"
        );
    }
    assert_eq!(stage.events().await.len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_full_bus_tells_senders_to_come_again() {
    let bus = memory();
    let stage = Stage::with(PLAIN, bus.clone(), Config::default()).await;
    let mut small = streams::all()
        .into_iter()
        .find(|s| s.name == streams::EVENTS)
        .unwrap();
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
    let away = Arc::new(Away(memory()));
    let config = Config {
        publish_patience: std::time::Duration::from_millis(200),
        ..Config::default()
    };
    let stage = Stage::with(PLAIN, away, config).await;
    let refused = stage.post(&stage.canonical("hooks", "any"), "{}").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    stage.end().await;
}

/// A bus on which events cannot be published.
struct Away(Arc<dyn Bus>);

#[async_trait]
impl Bus for Away {
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        self.0.ensure_stream(config).await
    }
    async fn publish(&self, _: Publish) -> Result<Acked, BusError> {
        let reason = "on purpose".into();
        Err(BusError::Unavailable { reason })
    }
    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        self.0.last(subject).await
    }
    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        self.0.get(stream, sequence).await
    }
    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        self.0.read(stream, filter, from, max).await
    }
    async fn wait_for(
        &self,
        stream: &str,
        after: u64,
        wait: std::time::Duration,
    ) -> Result<u64, BusError> {
        self.0.wait_for(stream, after, wait).await
    }
    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        self.0.purge(stream, filter, up_to).await
    }
    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.0.info(stream).await
    }
    async fn consumer(
        &self,
        stream: &str,
        config: ConsumerConfig,
    ) -> Result<Box<dyn Consumer>, BusError> {
        self.0.consumer(stream, config).await
    }
    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        self.0.delete_consumer(stream, name).await
    }
    async fn claim(
        &self,
        key: &str,
        owner: &str,
        for_time: std::time::Duration,
    ) -> Result<Option<Claim>, BusError> {
        self.0.claim(key, owner, for_time).await
    }
    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        self.0.release(claim).await
    }
    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        self.0.put_blob(content).await
    }
    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.0.get_blob(reference).await
    }
    async fn close(&self) {
        self.0.close().await;
    }
}
