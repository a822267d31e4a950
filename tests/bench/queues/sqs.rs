//! Amazon SQS.

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{AIM, Pace, sourced};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::stage;

const WORDS: Words = Words {
    name: "sqs source, ElasticMQ, 2 KiB, durable before the deletion",
    unit: "events/s",
    aim: AIM,
    against: "a bare client that receives ten and deletes ten, in turn, and keeps nothing",
    better: Better::Higher,
};
const MESSAGES: usize = 5000;
/// The most that one request may carry.
const BATCH: usize = 10;

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let Some(server) = tiphys_servers::elasticmq() else { return Ok(()) };
    let (endpoint, count, runtime) = (server.url(), effort.count(MESSAGES), stage::runtime()?);
    let client = client(&endpoint);
    let mut pairs = Pairs::default();
    for round in 0..effort.rounds {
        let pair = runtime.block_on(async {
            let name = format!("ours-{round}");
            fill(&client, &name, count).await?;
            let ours = sourced(&manifest(&endpoint, &name), count).await?;
            let url = fill(&client, &format!("bare-{round}"), count).await?;
            let bare = stage::within("the queue", bare(&client, &url, count)).await??;
            anyhow::Ok((ours, bare))
        })?;
        pairs.extend(Pairs::of(pair.0, pair.1));
    }
    pairs.print(WORDS)
}

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("bench", "bench", None, None, "bench"));
    Client::from_conf(config.build())
}

/// Makes a queue, and sends so many messages; gives its address.
async fn fill(client: &Client, name: &str, count: usize) -> anyhow::Result<String> {
    let made = client.create_queue().queue_name(name).send().await?;
    let url = made.queue_url.context("a queue without an address")?;
    let send = |first: usize| {
        let url = &url;
        async move {
            let numbers = first..count.min(first + BATCH);
            let entries = numbers.map(|number| {
                let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
                entry.message_body(stage::alert(number)).build()
            });
            let entries = entries.collect::<Result<Vec<_>, _>>()?;
            let sent = client.send_message_batch().queue_url(url).set_entries(Some(entries)).send().await?;
            ensure!(sent.failed().is_empty(), "{:?}", sent.failed());
            anyhow::Ok(())
        }
    };
    let all = stream::iter((0..count).step_by(BATCH)).map(send).buffer_unordered(8);
    all.try_collect::<Vec<()>>().await?;
    Ok(url)
}

fn manifest(endpoint: &str, queue: &str) -> String {
    format!(
        "
apiVersion: v1
kind: Secret
metadata: {{name: aws}}
stringData: {{access: bench, secret: bench}}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {{name: bench}}
spec:
  sqs:
    alerts:
      region: eu-west-1
      queue: {queue}
      endpoint: {endpoint}
      waitTimeSeconds: 1
      jsonBody: true
      accessKey: {{name: aws, key: access}}
      secretKey: {{name: aws, key: secret}}
"
    )
}

async fn bare(client: &Client, url: &str, count: usize) -> anyhow::Result<f64> {
    let (mut pace, mut deleted) = (Pace::default(), 0);
    while deleted < count {
        let received = client.receive_message().queue_url(url).max_number_of_messages(10).send().await?;
        let receipts = received.messages().iter().filter_map(|message| message.receipt_handle());
        let entries = receipts.enumerate().map(|(at, receipt)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(at.to_string());
            entry.receipt_handle(receipt).build()
        });
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        if entries.is_empty() {
            continue;
        }
        let asked = client.delete_message_batch().queue_url(url).set_entries(Some(entries));
        deleted += asked.send().await?.successful().len();
        pace.note(deleted);
    }
    Ok(pace.end(count))
}
