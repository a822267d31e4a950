//! What is stored and waits, through the sensor service: how fast, and for how much of a processor.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures::StreamExt as _;
use tiphys_bus::{Bus, ConsumerConfig, Start, streams};

use crate::alerts::{self, SENSOR};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words, in_turn};
use crate::nats::{self, Server, Sync};
use crate::{processor, rooms, stage};

const COST: Words = Words {
    name: "sensor service on JetStream, one filter, two parameters, 2 KiB",
    unit: "events per core-second",
    aim: "ours >= 50000",
    against: "a bare client that pulls 256 at once and acks each",
    better: Better::Higher,
};
const RATE: Words = Words { unit: "events/s", aim: "printed", ..COST };
const EVENTS: usize = 50_000;
const BATCH: usize = 256;

/// What it took to work off what waited.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) per_second: f64,
    pub(crate) per_core_second: f64,
}

/// Measures from here on.
pub(crate) struct Watch(Instant, f64);

impl Watch {
    pub(crate) fn start() -> Self {
        Self(Instant::now(), processor::of_process())
    }

    pub(crate) fn stop(&self, count: usize) -> Taken {
        let (seconds, core_seconds) = (self.0.elapsed().as_secs_f64(), processor::of_process() - self.1);
        Taken { per_second: count as f64 / seconds, per_core_second: count as f64 / core_seconds }
    }
}

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    if !nats::is_there() {
        return Ok(());
    }
    let count = effort.count(EVENTS);
    let pairs = in_turn(effort.rounds, &mut (), |()| ours(count), |()| bare(count))?;
    Pairs::pick(&pairs, |taken| taken.per_core_second).print(COST)?;
    Pairs::pick(&pairs, |taken| taken.per_second).print(RATE)
}

fn ours(count: usize) -> anyhow::Result<Taken> {
    let (server, runtime) = (Server::start(Sync::Default)?, stage::runtime()?);
    runtime.block_on(async {
        let outside = server.bus("outside").await?;
        prefill(&outside, count).await?;
        let bus = server.bus("sensor").await?;
        let watch = Watch::start();
        let stage = rooms::sensor(bus, SENSOR).await?;
        stage::within("the end of the events", emptied(&outside)).await??;
        let taken = watch.stop(count);
        let firings = outside.info(streams::FIRINGS).await?.messages;
        ensure!(firings == count as u64, "{firings} firings of {count} events");
        stage.close().await?;
        Ok(taken)
    })
}

fn bare(count: usize) -> anyhow::Result<Taken> {
    let (server, runtime) = (Server::start(Sync::Default)?, stage::runtime()?);
    runtime.block_on(async {
        let bare = server.bare().await?;
        bare.store(count).await?;
        let watch = Watch::start();
        let consumer = bare.consumer().await?;
        let mut taken = 0;
        while taken < count {
            let mut batch = consumer.fetch().max_messages(BATCH).messages().await?;
            while let Some(message) = batch.next().await {
                let message = message.map_err(anyhow::Error::from_boxed)?;
                message.ack().await.map_err(anyhow::Error::from_boxed)?;
                taken += 1;
            }
        }
        bare.all_acked().await?;
        Ok(watch.stop(count))
    })
}

/// The sensor's consumer.
fn consumer() -> String {
    tiphys_sensor::consumer_name("default", "bench")
}

/// Stores events for a sensor that does not run yet. Its consumer is made before them, or they would be none of its
/// business.
pub(crate) async fn prefill(bus: &Arc<dyn Bus>, count: usize) -> anyhow::Result<()> {
    stage::make_streams(bus).await?;
    let config = ConsumerConfig {
        name: consumer(),
        filters: vec![streams::subject(streams::EVENTS, &["default", "bench", "alerts"])],
        start: Start::New,
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 512,
    };
    bus.consumer(streams::EVENTS, config).await?;
    alerts::store(bus, count).await
}

/// Waits until the sensor has acked all there is.
async fn emptied(bus: &Arc<dyn Bus>) -> anyhow::Result<()> {
    let name = consumer();
    loop {
        let info = bus.consumer_info(streams::EVENTS, &name).await?;
        if info.is_some_and(|info| info.pending == 0 && info.outstanding == 0) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
