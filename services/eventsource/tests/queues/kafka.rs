//! Kafka on a real broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tiphys_bus::memory;
use tiphys_eventsource::Config;
use tiphys_servers::kafka::USER;
use tiphys_servers::{Kafka, kafka};

use crate::faulty::Faulty;
use crate::stage::{Stage, body_of};
use crate::wait::{down, events, letters, until, up, within};

/// An event source `k` with the event `example` on this topic.
fn manifest(url: &str, event: Value) -> String {
    let mut event = event;
    event["url"] = json!(url);
    let source = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "k"},
        "spec": {"kafka": {"example": event}},
    });
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"},
        "stringData": {"user": USER.0, "password": USER.1, "wrong": "not-it"},
    });
    format!("{source}\n---\n{secret}\n")
}

fn group(name: &str) -> Value {
    json!({"topic": "t", "jsonBody": true, "consumerGroup": {"groupName": name, "oldest": true}})
}

async fn topic(server: &Kafka, name: &str, partitions: i32) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", server.url()).create().unwrap();
    let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

fn producer(server: &Kafka) -> FutureProducer {
    ClientConfig::new().set("bootstrap.servers", server.url()).set("acks", "all").create().unwrap()
}

async fn send(producer: &FutureProducer, partition: i32, bodies: impl IntoIterator<Item = String>) {
    for body in bodies {
        let record = FutureRecord::to("t").partition(partition).key("k").payload(&body);
        producer.send(record, Duration::from_secs(20)).await.unwrap();
    }
}

fn numbers(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|n| format!(r#"{{"n":{n}}}"#))
}

/// The bodies of all events, each once, in the order in which they were stored.
async fn bodies(stage: &Stage) -> Vec<String> {
    stage.events().await.iter().map(|event| String::from_utf8(body_of(event).to_vec()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_reads_each_partition_in_order_and_goes_on_where_it_was() {
    let Some(mut server) = kafka() else { return };
    topic(&server, "t", 2).await;
    let sender = producer(&server);
    send(&sender, 0, numbers(0..200)).await;
    let bus = memory();
    let stage = Stage::with(&manifest(&server.url(), group("g")), bus.clone(), Config::default()).await;
    let first = events(&stage, 200).await;
    assert_eq!(bodies(&stage).await, numbers(0..200).collect::<Vec<_>>(), "in the order of the partition");
    assert_eq!(first[0].kind, "kafka");
    let payload: Value = serde_json::from_slice(&first[0].data).unwrap();
    assert_eq!(
        (&payload["topic"], &payload["key"], &payload["partition"]),
        (&json!("t"), &json!("k"), &json!(0))
    );
    assert!(payload["timestamp"].as_str().unwrap().ends_with(" +0000 UTC"), "{payload}");
    stage.end().await;
    send(&sender, 1, numbers(200..300)).await;
    // Another run of the same group, on the same bus: it has committed, and nothing comes again.
    let stage = Stage::with(&manifest(&server.url(), group("g")), bus, Config::default()).await;
    events(&stage, 300).await;
    // The broker dies and comes back; the source finds it by itself.
    server.kill();
    server.restart();
    send(&producer(&server), 0, numbers(300..400)).await;
    events(&stage, 400).await;
    let all = bodies(&stage).await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 400);
    assert_eq!(all.len(), 400, "none twice");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_and_not_committed_comes_again_as_the_same_event() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    send(&producer(&server), 0, numbers(0..50)).await;
    let bus = memory();
    // A group that has no position, twice: all messages are delivered twice.
    let stage = Stage::with(&manifest(&server.url(), group("one")), bus.clone(), Config::default()).await;
    events(&stage, 50).await;
    stage.end().await;
    let stage = Stage::with(&manifest(&server.url(), group("two")), bus, Config::default()).await;
    up(&stage).await;
    send(&producer(&server), 0, numbers(50..51)).await;
    events(&stage, 51).await;
    assert_eq!(bodies(&stage).await, numbers(0..51).collect::<Vec<_>>(), "the first fifty are known");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_while_the_bus_is_away() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let bus = Faulty::new();
    let config = || Config { publish_patience: Duration::from_millis(200), ..Config::default() };
    let stage = Stage::with(&manifest(&server.url(), group("g")), bus.clone(), config()).await;
    up(&stage).await;
    bus.away(true);
    send(&producer(&server), 0, numbers(0..1500)).await;
    // Ended while all of it waits.
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.end().await;
    bus.away(false);
    bus.lose_answers(3);
    let stage = Stage::with(&manifest(&server.url(), group("g")), bus.clone(), config()).await;
    events(&stage, 1500).await;
    let all = bodies(&stage).await;
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 1500);
    assert_eq!(all.len(), 1500, "none twice");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_message_becomes_a_dead_letter_and_the_next_goes_on() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let poison = ["{\"n\":0}".to_owned(), "no json".to_owned(), "{\"n\":2}".to_owned()];
    send(&producer(&server), 0, poison).await;
    let stage = Stage::start(&manifest(&server.url(), group("g"))).await;
    events(&stage, 2).await;
    let letters = letters(&stage, 1).await;
    assert_eq!((letters[0].stage.as_str(), letters[0].raw.as_deref()), ("eventsource", Some("bm8ganNvbg==")));
    assert_eq!(bodies(&stage).await, [r#"{"n":0}"#, r#"{"n":2}"#]);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_partition_is_read_from_its_end_and_then_from_where_it_was() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 2).await;
    let sender = producer(&server);
    send(&sender, 1, numbers(0..5)).await;
    let event = json!({"topic": "t", "partition": "1", "jsonBody": true});
    let bus = memory();
    let stage = Stage::with(&manifest(&server.url(), event.clone()), bus.clone(), Config::default()).await;
    up(&stage).await;
    // The position of a partition without one is found a moment after the connection.
    let mut n = 5;
    while stage.events().await.is_empty() {
        send(&sender, 1, numbers(n..n + 1)).await;
        n += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    send(&sender, 0, numbers(1000..1001)).await;
    send(&sender, 1, numbers(n..n + 1)).await;
    let last = format!(r#"{{"n":{n}}}"#);
    let stage = Arc::new(stage);
    let seen = stage.clone();
    until("the last message", || {
        let (seen, last) = (seen.clone(), last.clone());
        async move { bodies(&seen).await.contains(&last) }
    })
    .await;
    drop(seen);
    let all = bodies(&stage).await;
    assert!(!all.contains(&r#"{"n":0}"#.to_owned()) && !all.contains(&r#"{"n":1000}"#.to_owned()), "{all:?}");
    Arc::into_inner(stage).unwrap().end().await;
    // What comes while it is away is read when it is back.
    send(&sender, 1, numbers(n + 1..n + 2)).await;
    let stage = Stage::with(&manifest(&server.url(), event), bus, Config::default()).await;
    events(&stage, all.len() + 1).await;
    stage.end().await;
}

/// Waits until the source reports a reason with these words; gives it.
async fn told(stage: &Stage, words: &str) -> String {
    within(words, async {
        loop {
            let why = down(stage, "TIP-SRC-008").await;
            if why.contains(words) {
                return why;
            }
            eprintln!("told: {why}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_and_mends_itself() {
    let Some(mut server) = kafka() else { return };
    // No such topic; then there is.
    let stage = Stage::start(&manifest(&server.url(), group("g"))).await;
    told(&stage, "nknown topic").await;
    topic(&server, "t", 1).await;
    up(&stage).await;
    // No broker; then there is.
    server.kill();
    down(&stage, "TIP-SRC-008").await;
    server.restart();
    send(&producer(&server), 0, numbers(0..1)).await;
    events(&stage, 1).await;
    stage.end().await;
    // A wrong password is told, and does not appear; the right one works.
    let login = |password: &str, mechanism: &str| {
        let key = |key: &str| json!({"name": "login", "key": key});
        let mut event = group("g2");
        event["sasl"] =
            json!({"mechanism": mechanism, "userSecret": key("user"), "passwordSecret": key(password)});
        manifest(&server.asking(), event)
    };
    let stage = Stage::start(&login("wrong", "SCRAM-SHA-512")).await;
    let why = told(&stage, "uthentication").await;
    assert!(!why.contains("not-it"), "{why}");
    for mechanism in ["SCRAM-SHA-512", "PLAIN"] {
        stage.put(&login("password", mechanism));
        events(&stage, 1).await;
        up(&stage).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_of_a_group_share_and_nothing_is_lost_or_doubled_when_one_leaves() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 4).await;
    let bus = memory();
    let one = Stage::with(&manifest(&server.url(), group("g")), bus.clone(), Config::default()).await;
    up(&one).await;
    let sender = producer(&server);
    for partition in 0..4 {
        send(&sender, partition, numbers(partition as u32 * 1000..partition as u32 * 1000 + 100)).await;
    }
    let two = Stage::with(&manifest(&server.url(), group("g")), bus.clone(), Config::default()).await;
    for partition in 0..4 {
        send(&sender, partition, numbers(partition as u32 * 1000 + 100..partition as u32 * 1000 + 200)).await;
    }
    one.end().await;
    for partition in 0..4 {
        send(&sender, partition, numbers(partition as u32 * 1000 + 200..partition as u32 * 1000 + 300)).await;
    }
    events(&two, 1200).await;
    let all = bodies(&two).await;
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (1200, 1200));
    two.end().await;
}
