//! A topic of Kafka, read by a consumer group.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use tiphys_servers::{free_port, kafka_behind};
use tokio::runtime::Runtime;

use super::{Queue, killed_at_each_point};
use crate::tap::{Tap, Trap};
use crate::wire::Wire;

struct Kafka {
    _server: tiphys_servers::Kafka,
    runtime: Runtime,
    producer: FutureProducer,
    /// Of the source's group, without being a member.
    looker: BaseConsumer,
    tap: Tap,
    sent: usize,
}

const TOPIC: &str = "messages";
const GROUP: &str = "tiphys";
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(20);

impl Kafka {
    fn start(trap: &Arc<Trap>) -> Option<Self> {
        let port = free_port();
        let tap = Tap::to(port, Wire::Kafka, trap);
        let server = kafka_behind(tap.port, port)?;
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", server.url());
        let runtime = Runtime::new().unwrap();
        let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
        let topic = [NewTopic::new(TOPIC, PARTITIONS, TopicReplication::Fixed(1))];
        let made = runtime.block_on(admin.create_topics(&topic, &AdminOptions::new())).unwrap();
        assert!(made.iter().all(Result::is_ok), "{made:?}");
        let producer = config.clone().set("acks", "all").create().unwrap();
        let looker = config.set("group.id", GROUP).create().unwrap();
        Some(Self { _server: server, runtime, producer, looker, tap, sent: 0 })
    }
}

impl Queue for Kafka {
    fn spec(&self) -> Value {
        json!({"kafka": {"e": {
            "url": format!("127.0.0.1:{}", self.tap.port), "topic": TOPIC, "jsonBody": true,
            "consumerGroup": {"groupName": GROUP, "oldest": true},
        }}})
    }

    fn send(&mut self, numbers: Range<usize>) -> Vec<String> {
        self.sent += numbers.len();
        let producer = &self.producer;
        let sending = numbers.map(|n| async move {
            let body = format!(r#"{{"n":{n}}}"#);
            let key = n.to_string();
            let record = FutureRecord::to(TOPIC).key(&key).payload(&body);
            let delivered = producer.send(record, PATIENCE).await.unwrap();
            format!("{}/{}", delivered.partition, delivered.offset)
        });
        self.runtime.block_on(futures::future::join_all(sending))
    }

    /// Cluster, topic, partition, offset, time.
    fn id(native: &str) -> String {
        native.split('/').skip(2).take(2).collect::<Vec<_>>().join("/")
    }

    fn unacked(&mut self) -> Option<usize> {
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(TOPIC, 0, PARTITIONS - 1);
        let committed = self.looker.committed_offsets(partitions, PATIENCE).unwrap();
        let offsets = committed.elements().into_iter().map(|partition| match partition.offset() {
            Offset::Offset(offset) => usize::try_from(offset).unwrap(),
            _ => 0,
        });
        Some(self.sent - offsets.sum::<usize>())
    }
}

#[test]
fn kafka_killed_at_each_point() {
    let trap = Arc::new(Trap::default());
    let Some(queue) = Kafka::start(&trap) else { return };
    killed_at_each_point(queue, &trap);
}
