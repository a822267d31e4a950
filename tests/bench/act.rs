//! What is stored and waits, through sensor and trigger to a sink.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use futures::StreamExt as _;
use tiphys_bus::{Bus, streams};
use tiphys_kit::{CancellationToken, Tasks};
use tokio::sync::Semaphore;

use crate::alerts;
use crate::drain::{Taken, Watch, prefill};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words, in_turn};
use crate::nats::{self, Server, Sync};
use crate::sink::{KEY, Sink};
use crate::stage::DEADLINE;
use crate::{rooms, stage};

const RATE: Words = Words {
    name: "sensor and HTTP trigger on JetStream, the sink answers at once",
    unit: "events/s",
    aim: "ours >= 12000",
    against: "a bare client that pulls 256 at once, posts 64 at once, acks each, and keeps nothing",
    better: Better::Higher,
};
const COST: Words =
    Words { unit: "ms of a processor per event", aim: "ours <= 0.08 ms", better: Better::Lower, ..RATE };
const SLOW: Words = Words {
    name: "sensor and HTTP trigger on JetStream, the sink takes 20 ms",
    aim: "ours >= 2000, none lost",
    ..RATE
};
const EVENTS: usize = 20_000;
const SLOW_EVENTS: usize = 10_000;
const DELAY: Duration = Duration::from_millis(20);
/// Requests of the bare client at once: as many as a trigger has.
const AT_ONCE: usize = 64;

/// With a sink that answers at once.
pub(crate) fn fast(effort: Effort) -> anyhow::Result<()> {
    if !nats::is_there() {
        return Ok(());
    }
    let pairs = measure(effort.rounds, effort.count(EVENTS), Duration::ZERO)?;
    Pairs::pick(&pairs, |taken| taken.per_second).print(RATE)?;
    Pairs::pick(&pairs, |taken| 1000.0 / taken.per_core_second).print(COST)
}

/// With a sink that takes its time.
pub(crate) fn slow(effort: Effort) -> anyhow::Result<()> {
    if !nats::is_there() {
        return Ok(());
    }
    let pairs = measure(effort.rounds.min(3), effort.count(SLOW_EVENTS), DELAY)?;
    Pairs::pick(&pairs, |taken| taken.per_second).print(SLOW)
}

fn measure(rounds: usize, count: usize, delay: Duration) -> anyhow::Result<Vec<(Taken, Taken)>> {
    in_turn(rounds, &mut (), |()| ours(count, delay), |()| bare(count, delay))
}

fn ours(count: usize, delay: Duration) -> anyhow::Result<Taken> {
    let (server, sink, runtime) = (Server::start(Sync::Default)?, Sink::start(delay)?, stage::runtime()?);
    let manifest = alerts::posting(&sink.url());
    runtime.block_on(async {
        let outside = server.bus("outside").await?;
        prefill(&outside, count).await?;
        let (sensing, acting) = (server.bus("sensor").await?, server.bus("trigger").await?);
        let watch = Watch::start();
        let trigger = rooms::trigger(acting, &manifest).await?;
        let sensor = rooms::sensor(sensing, &manifest).await?;
        stage::within("the end of the firings", settled(&outside, count)).await??;
        let taken = watch.stop(count);
        all_seen(&sink, count)?;
        sensor.close().await?;
        trigger.close().await?;
        Ok(taken)
    })
}

fn bare(count: usize, delay: Duration) -> anyhow::Result<Taken> {
    let (server, sink, runtime) = (Server::start(Sync::Default)?, Sink::start(delay)?, stage::runtime()?);
    runtime.block_on(async {
        let bare = server.bare().await?;
        bare.store(count).await?;
        let watch = Watch::start();
        let (consumer, client, url) = (bare.consumer().await?, reqwest::Client::new(), sink.url());
        let (tasks, slots) = (Tasks::new(CancellationToken::new()), Arc::new(Semaphore::new(AT_ONCE)));
        let mut number = 0;
        while number < count {
            let mut batch = consumer.fetch().max_messages(256).messages().await?;
            while let Some(message) = batch.next().await {
                let message = message.map_err(anyhow::Error::from_boxed)?;
                let slot = slots.clone().acquire_owned().await?;
                let body = format!(r#"{{"pid":"{number}","rule":"Terminal shell in container"}}"#);
                let request = client.post(&url).header(KEY, number.to_string()).body(body);
                tasks.spawn("post", async move {
                    // What fails is not seen by the sink, which tells.
                    if let Ok(answer) = request.send().await {
                        let _ = answer.bytes().await;
                        let _ = message.ack().await;
                    }
                    drop(slot);
                });
                number += 1;
            }
        }
        ensure!(tasks.drain(DEADLINE).await, "the requests do not end");
        bare.all_acked().await?;
        let taken = watch.stop(count);
        all_seen(&sink, count)?;
        Ok(taken)
    })
}

fn all_seen(sink: &Sink, count: usize) -> anyhow::Result<()> {
    let seen = sink.seen()?;
    ensure!(seen == count, "the sink has seen {seen} of {count}");
    Ok(())
}

/// Waits until the ledger tells of so many firings.
async fn settled(bus: &Arc<dyn Bus>, count: usize) -> anyhow::Result<()> {
    while bus.info(streams::LEDGER).await?.messages < count as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
