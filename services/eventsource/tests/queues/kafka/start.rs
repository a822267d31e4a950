//! Where reading begins.

use rdkafka::admin::AdminOptions;
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tiphys_bus::memory;
use tiphys_eventsource::Config;
use tiphys_servers::{Kafka, kafka};

use super::site::{admin, bodies, manifest, numbers, producer, send, topic};
use crate::stage::Stage;
use crate::wait::{events, up};

/// Ends before the first message comes, and misses none that comes meanwhile.
async fn begins_with_the_next(server: &Kafka, event: &Value, old: u32) {
    let bus = memory();
    let manifest = manifest(&server.url(), event);
    let stage = Stage::with(&manifest, bus.clone(), Config::default()).await;
    up(&stage).await;
    stage.end().await;
    send(&producer(server), 1, numbers(old..old + 3)).await;
    let stage = Stage::with(&manifest, bus, Config::default()).await;
    events(&stage, 3).await;
    assert_eq!(bodies(&stage).await, numbers(old..old + 3).collect::<Vec<_>>());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_with_the_next_message_remembers_where_that_was() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 2).await;
    send(&producer(&server), 0, numbers(1000..1003)).await;
    send(&producer(&server), 1, numbers(0..5)).await;
    let group = json!({"topic": "t", "jsonBody": true, "consumerGroup": {"groupName": "g"}});
    begins_with_the_next(&server, &group, 5).await;
    let partition = json!({"topic": "t", "jsonBody": true, "partition": "1"});
    begins_with_the_next(&server, &partition, 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_left_is_read_when_the_next_messages_were_deleted() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let event = json!({"topic": "t", "jsonBody": true, "consumerGroup": {"groupName": "g"}});
    let manifest = manifest(&server.url(), &event);
    let stage = Stage::start(&manifest).await;
    up(&stage).await;
    stage.end().await;
    send(&producer(&server), 0, numbers(0..5)).await;
    let mut old = TopicPartitionList::new();
    old.add_partition_offset("t", 0, Offset::Offset(3)).unwrap();
    admin(&server).delete_records(&old, &AdminOptions::new()).await.unwrap();
    let stage = Stage::start(&manifest).await;
    events(&stage, 2).await;
    assert_eq!(bodies(&stage).await, numbers(3..5).collect::<Vec<_>>());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_partition_is_read_alone() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 2).await;
    let stage =
        Stage::start(&manifest(&server.url(), &json!({"topic": "t", "jsonBody": true, "partition": 1})))
            .await;
    up(&stage).await;
    send(&producer(&server), 0, numbers(1000..1010)).await;
    send(&producer(&server), 1, numbers(0..10)).await;
    events(&stage, 10).await;
    assert_eq!(bodies(&stage).await, numbers(0..10).collect::<Vec<_>>());
    stage.end().await;
}
