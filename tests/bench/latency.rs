//! From an event to its firing, through the sensor service, at a calm rate.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use tiphys_bus::{Bus, Consumer, ConsumerConfig, Message, Publish, Start, streams};
use tiphys_core::{Event, EventId, Firing, Origin, Timestamp};
use tokio::runtime::Runtime;
use tokio::time::{MissedTickBehavior, interval};

use crate::effort::Effort;
use crate::line::{Better, Pairs, Words, median};
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

/// A sensor with one filter and two parameters.
pub(crate) const SENSOR: &str = r"
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: bench}
spec:
  dependencies:
    - name: alert
      eventSourceName: bench
      eventName: alerts
      filters:
        data: [{path: body.priority, type: string, value: [Critical, Emergency]}]
  triggers:
    - template:
        name: respond
        argoWorkflow:
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {generateName: respond-}
              spec:
                workflowTemplateRef: {name: respond}
                arguments: {parameters: [{name: pid}, {name: rule}]}
          parameters:
            - {src: {dependencyName: alert, dataKey: body.output_fields.proc\.pid}, dest: spec.arguments.parameters.0.value}
            - {src: {dependencyName: alert, dataKey: body.rule}, dest: spec.arguments.parameters.1.value}
";

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
    let mut stage = Stage::open(stage::durable(folder)?, SENSOR).await?;
    let deps = tiphys_sensor::Deps {
        bus: stage.bus.clone(),
        catalog: stage.catalog.clone(),
        clock: stage.clock.clone(),
        health: stage.health.clone(),
    };
    stage.group.spawn("sensor", move |stop| tiphys_sensor::run(tiphys_sensor::Config::default(), deps, stop));
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

/// An event as the webhook makes it.
pub(crate) fn alert(event: &str, number: usize) -> Event {
    let data =
        format!(r#"{{"header":{{"Content-Type":["application/json"]}},"body":{}}}"#, stage::alert(number));
    Event {
        id: EventId::derive("default", "bench", event, &number.to_string()),
        origin: Origin { namespace: "default".into(), source: "bench".into(), event: event.into() },
        kind: "webhook".into(),
        occurred: None,
        received: Timestamp::now(),
        attributes: std::collections::BTreeMap::new(),
        data: Bytes::from(data),
    }
}
