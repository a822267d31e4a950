//! What the tests of Kafka share: topics, messages, manifests.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tiphys_servers::Kafka;
use tiphys_servers::kafka::USER;

use crate::stage::{Stage, body_of};

/// An event source `k` with the event `example` on this broker.
pub(super) fn manifest(url: &str, event: &Value) -> String {
    let mut event = event.clone();
    event["url"] = json!(url);
    let source = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "k"},
        "spec": {"kafka": {"example": event}},
    });
    let login = secret("login", &json!({"user": USER.0, "password": USER.1, "wrong": "not-it"}));
    format!("{source}\n---\n{login}\n")
}

pub(super) fn secret(name: &str, values: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": values})
        .to_string()
}

/// Topic `t`, JSON, by a group that begins with the oldest message.
pub(super) fn group(name: &str) -> Value {
    json!({"topic": "t", "jsonBody": true, "consumerGroup": {"groupName": name, "oldest": true}})
}

pub(super) fn admin(server: &Kafka) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", server.url()).create().unwrap()
}

pub(super) async fn topic(server: &Kafka, name: &str, partitions: i32) {
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let made = admin(server).create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

pub(super) fn producer(server: &Kafka) -> FutureProducer {
    ClientConfig::new().set("bootstrap.servers", server.url()).set("acks", "all").create().unwrap()
}

/// Sends to topic `t`, one after the other.
pub(super) async fn send(
    producer: &FutureProducer,
    partition: i32,
    bodies: impl IntoIterator<Item = String>,
) {
    for body in bodies {
        let record = FutureRecord::to("t").partition(partition).key("k").payload(&body);
        producer.send(record, Duration::from_secs(20)).await.unwrap();
    }
}

pub(super) fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|n| format!(r#"{{"n":{n}}}"#))
}

/// The bodies of all events, in the order in which they were stored.
pub(super) async fn bodies(stage: &Stage) -> Vec<String> {
    stage.events().await.iter().map(|event| String::from_utf8(body_of(event).to_vec()).unwrap()).collect()
}
