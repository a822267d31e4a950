//! Google Pub/Sub.

use anyhow::{Context as _, anyhow};
use futures::future::try_join_all;
use google_cloud_pubsub::client::{BasePublisher, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::Message;
use serde_json::json;
use tiphys_kit::google::Access;

use super::{AIM, Pace, sourced};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::stage;

const WORDS: Words = Words {
    name: "pubSub source, Google's emulator, 2 KiB, durable before the ack",
    unit: "events/s",
    aim: AIM,
    against: "a bare client that receives and acks, and keeps nothing",
    better: Better::Higher,
};
const MESSAGES: usize = 10_000;
/// Published at once.
const BATCH: usize = 500;
const TOPIC: &str = "projects/bench/topics/alerts";

macro_rules! client {
    ($kind:ty, $url:expr) => {{
        let access = Access::new(None, $url, || anyhow::Ok(None))?;
        let builder = <$kind>::builder().with_endpoint(access.endpoint.context("an endpoint")?);
        builder.with_credentials(access.credentials.context("credentials")?).build().await?
    }};
}

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let Some(server) = tiphys_servers::pubsub() else { return Ok(()) };
    let (url, count, runtime) = (server.url(), effort.count(MESSAGES), stage::runtime()?);
    runtime.block_on(make(&url))?;
    let mut pairs = Pairs::default();
    for round in 0..effort.rounds {
        let pair = runtime.block_on(async {
            let name = format!("ours-{round}");
            fill(&url, &name, count).await?;
            let ours = sourced(&manifest(&url, &name), count).await?;
            let name = format!("bare-{round}");
            fill(&url, &name, count).await?;
            let bare = stage::within("the subscription", bare(&url, &name, count)).await??;
            anyhow::Ok((ours, bare))
        })?;
        pairs.extend(Pairs::of(pair.0, pair.1));
    }
    pairs.print(WORDS)
}

async fn make(url: &str) -> anyhow::Result<()> {
    client!(TopicAdmin, url).create_topic().set_name(TOPIC).send().await?;
    Ok(())
}

/// Makes a subscription, and publishes so many messages, which only it gets.
async fn fill(url: &str, name: &str, count: usize) -> anyhow::Result<()> {
    let subscriptions = client!(SubscriptionAdmin, url);
    subscriptions.create_subscription().set_name(subscription(name)).set_topic(TOPIC).send().await?;
    let publisher = client!(BasePublisher, url).publisher(TOPIC).build();
    for first in (0..count).step_by(BATCH) {
        let numbers = first..count.min(first + BATCH);
        let messages = numbers.map(|number| Message::new().set_data(stage::alert(number)));
        try_join_all(messages.map(|message| publisher.publish(message))).await.map_err(|e| anyhow!("{e}"))?;
    }
    Ok(())
}

fn subscription(name: &str) -> String {
    format!("projects/bench/subscriptions/{name}")
}

/// It deletes its subscription at the end, so that what is published for the next is not kept for it.
fn manifest(url: &str, subscription: &str) -> String {
    let source = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "bench"},
        "spec": {"pubSub": {"alerts": {
            "projectID": "bench", "topic": "alerts", "subscriptionID": subscription, "jsonBody": true,
            "endpoint": url, "deleteSubscriptionOnFinish": true,
        }}},
    });
    source.to_string()
}

async fn bare(url: &str, name: &str, count: usize) -> anyhow::Result<f64> {
    let mut messages = client!(Subscriber, url).subscribe(subscription(name)).build();
    let mut pace = Pace::default();
    for number in 1..=count {
        let (_, handler) = messages.next().await.context("the messages ended")??;
        handler.ack();
        pace.note(number);
    }
    drop(messages);
    let subscriptions = client!(SubscriptionAdmin, url);
    subscriptions.delete_subscription().set_subscription(subscription(name)).send().await?;
    Ok(pace.end(count))
}
