//! From an event to its firing, through the sensor service, at a calm rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tiphys_bus::{Bus, Consumer, ConsumerConfig, Message, Publish, Start, streams};
use tiphys_core::{Event, EventId, Firing};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval};

use crate::alerts::{SENSOR, alert};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words, median};
use crate::rooms;
use crate::stage::{self, Stage};

const WORDS: Words = Words {
    name: "event to firing, p50 at 100/s",
    unit: "ms",
    aim: "ours <= 2 ms, ratio <= 2",
    against: "published to delivered on the same bus",
    better: Better::Lower,
};
const EVERY: Duration = Duration::from_millis(10);
const EVENTS: usize = 100;
/// Short rounds, and so many more of them: a disk is slow for seconds, and both sides must meet that.
const ROUNDS: usize = 3;

struct Probe {
    runtime: Runtime,
    stage: Stage,
    firings: Box<dyn Consumer>,
    events: Box<dyn Consumer>,
    sent: usize,
}

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let runtime = stage::runtime()?;
    let (stage, firings, events) = runtime.block_on(open(folder.path()))?;
    let mut probe = Probe { runtime, stage, firings, events, sent: 0 };
    let count = effort.count(EVENTS);
    // Warm.
    probe.through("alerts", count / 5)?;
    let pairs = Pairs::measure(
        effort.rounds * ROUNDS,
        &mut probe,
        |probe| probe.through("alerts", count),
        |probe| probe.through("unwatched", count),
    )?;
    let Probe { runtime, stage, .. } = probe;
    runtime.block_on(stage.close())?;
    pairs.print(WORDS)
}

type Opened = (Stage, Box<dyn Consumer>, Box<dyn Consumer>);

async fn open(folder: &std::path::Path) -> anyhow::Result<Opened> {
    let stage = rooms::sensor(stage::durable(folder)?, SENSOR).await?;
    stage.ready("sensor").await?;
    let firings = consumer(&stage.bus, streams::FIRINGS, "firings.>").await?;
    let unwatched = streams::subject(streams::EVENTS, &["default", "bench", "unwatched"]);
    let events = consumer(&stage.bus, streams::EVENTS, &unwatched).await?;
    Ok((stage, firings, events))
}

async fn consumer(bus: &Arc<dyn Bus>, stream: &str, filter: &str) -> anyhow::Result<Box<dyn Consumer>> {
    let config = ConsumerConfig {
        name: "bench".into(),
        filters: vec![filter.into()],
        start: Start::New,
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 512,
    };
    Ok(bus.consumer(stream, config).await?)
}

impl Probe {
    /// Publishes so many events, and gives the median of the times until what comes of them is
    /// delivered, in milliseconds.
    fn through(&mut self, event: &str, count: usize) -> anyhow::Result<f64> {
        let watched = event == "alerts";
        let consumer = if watched { &self.firings } else { &self.events };
        let first = self.sent;
        self.sent += count;
        let bus = self.stage.bus.clone();
        let sending = send(&bus, event, first, count);
        let receiving = receive(&**consumer, watched, count);
        let both = async { tokio::try_join!(sending, receiving) };
        let both = self.runtime.block_on(stage::within("deliveries", both));
        let (sent, received) = both??;
        let mut taken = Vec::with_capacity(count);
        for (id, at) in &sent {
            let end = received.iter().find(|(other, _)| other == id);
            let (_, end) = end.with_context(|| format!("event {id} came to nothing"))?;
            taken.push(end.duration_since(*at).as_secs_f64() * 1000.0);
        }
        Ok(median(taken.into_iter()))
    }
}

type Times = Vec<(EventId, Instant)>;

async fn send(bus: &Arc<dyn Bus>, event: &str, first: usize, count: usize) -> anyhow::Result<Times> {
    let subject = streams::subject(streams::EVENTS, &["default", "bench", event]);
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut times = Times::with_capacity(count);
    for number in first..first + count {
        let event = alert(event, number);
        let record = event.encode()?;
        every.tick().await;
        times.push((event.id.clone(), Instant::now()));
        let message = Publish::new(subject.clone(), record).id(event.id.0);
        bus.publish(message).await?;
    }
    Ok(times)
}

async fn receive(consumer: &dyn Consumer, firings: bool, count: usize) -> anyhow::Result<Times> {
    let mut times = Times::with_capacity(count);
    while times.len() < count {
        for delivery in consumer.fetch(64, Duration::from_secs(1)).await? {
            let at = Instant::now();
            times.push((event_of(delivery.message(), firings)?, at));
            delivery.ack().await?;
        }
    }
    Ok(times)
}

fn event_of(message: &Message, firing: bool) -> anyhow::Result<EventId> {
    if !firing {
        return Ok(Event::decode(&message.payload)?.id);
    }
    let firing: Firing = serde_json::from_slice(&message.payload)?;
    let event = firing.events.into_iter().next();
    Ok(event.context("a firing without event")?.id)
}
