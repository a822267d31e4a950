//! Kafka.

use std::time::Duration;

use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::json;

use super::{AIM, Pace, sourced};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::stage;

const WORDS: Words = Words {
    name: "kafka source, four partitions, 2 KiB, durable before the position moves",
    unit: "events/s",
    aim: AIM,
    against: "a bare client that receives and stores the position, and keeps nothing",
    better: Better::Higher,
};
const MESSAGES: usize = 40_000;
const PARTITIONS: i32 = 4;

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let Some(server) = tiphys_servers::kafka() else { return Ok(()) };
    let (url, count, runtime) = (server.url(), effort.count(MESSAGES), stage::runtime()?);
    runtime.block_on(fill(&url, count))?;
    let mut pairs = Pairs::default();
    for round in 0..effort.rounds {
        // A group of its own reads the topic from its beginning.
        let ours = runtime.block_on(sourced(&manifest(&url, &format!("ours-{round}")), count))?;
        let bare = runtime.block_on(async { stage::within("the topic", bare(&url, round, count)).await? })?;
        pairs.extend(Pairs::of(ours, bare));
    }
    pairs.print(WORDS)
}

async fn fill(url: &str, count: usize) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", url).create()?;
    let topic = NewTopic::new("alerts", PARTITIONS, TopicReplication::Fixed(1));
    let made = admin.create_topics([&topic], &AdminOptions::new()).await?;
    ensure!(made.iter().all(Result::is_ok), "{made:?}");
    let producer: FutureProducer = ClientConfig::new().set("bootstrap.servers", url).create()?;
    let send = |number: usize| {
        let producer = &producer;
        async move {
            let (key, body) = (number.to_string(), stage::alert(number));
            let record = FutureRecord::to("alerts").key(&key).payload(&body);
            producer.send(record, Duration::from_secs(20)).await.map_err(|(failure, _)| failure)
        }
    };
    let all = stream::iter(0..count).map(send).buffer_unordered(1000);
    all.try_for_each(|_| std::future::ready(Ok(()))).await?;
    Ok(())
}

fn manifest(url: &str, group: &str) -> String {
    let source = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "bench"},
        "spec": {"kafka": {"alerts": {
            "url": url, "topic": "alerts", "jsonBody": true,
            "consumerGroup": {"groupName": group, "oldest": true},
        }}},
    });
    source.to_string()
}

async fn bare(url: &str, round: usize, count: usize) -> anyhow::Result<f64> {
    let consumer: StreamConsumer = ClientConfig::new()
        .set("bootstrap.servers", url)
        .set("group.id", format!("bare-{round}"))
        .set("auto.offset.reset", "earliest")
        .set("enable.auto.offset.store", "false")
        .create()?;
    consumer.subscribe(&["alerts"])?;
    let mut pace = Pace::default();
    for number in 1..=count {
        let message = consumer.recv().await?;
        consumer.store_offset_from_message(&message)?;
        pace.note(number);
    }
    Ok(pace.end(count))
}
