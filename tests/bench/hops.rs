//! From an event, and from a request, to what a trigger sends, at a calm rate, with a NATS server between all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::jetstream::consumer::PullConsumer;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::Value;
use tiphys_bus::{Bus, Publish, streams};
use tiphys_kit::{CancellationToken, Tasks};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::alerts::{self, alert};
use crate::effort::Effort;
use crate::ingest::serve;
use crate::line::{Better, Pairs, Words, percentile};
use crate::nats::{self, Bare, Server, Sync};
use crate::rooms::{self, Door};
use crate::stage::{self, DEADLINE, Stage};

const START: Words = Words {
    name: "event published to trigger's request at the sink, JetStream, default sync, 100/s",
    unit: "ms, p50",
    aim: "ratio <= 3",
    against: "a bare client: published to delivered",
    better: Better::Lower,
};
const MIDDLE: Words = Words {
    name: "webhook's request sent to trigger's request at the sink, JetStream, default sync, 100/s",
    aim: "ours <= 1.2 ms",
    ..START
};
const TAIL: Words = Words { unit: "ms, p99", aim: "ours <= 4 ms", ..MIDDLE };
const EVERY: Duration = Duration::from_millis(10);
const EVENTS: usize = 400;

/// Requests of the trigger: when each came, and its body.
type Arrivals = Arc<Mutex<Vec<(Instant, Bytes)>>>;

/// All that lies between.
struct Course {
    door: Door,
    sensor: Stage,
    trigger: Stage,
    outside: Arc<dyn Bus>,
    client: reqwest::Client,
    bare: Bare,
    delivered: PullConsumer,
    arrivals: Arrivals,
    tasks: Tasks,
    sent: usize,
}

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    if !nats::is_there() {
        return Ok(());
    }
    let server = Server::start(Sync::Default)?;
    stage::runtime()?.block_on(measure(&server, effort))
}

async fn measure(server: &Server, effort: Effort) -> anyhow::Result<()> {
    let mut course = Course::open(server).await?;
    let count = effort.count(EVENTS);
    // Warm.
    course.requests(count / 4).await?;
    course.bare(count / 4).await?;
    let (mut start, mut middle, mut tail) = (Pairs::default(), Pairs::default(), Pairs::default());
    for _ in 0..effort.rounds {
        let mut event = course.events(count).await?;
        let mut bare = course.bare(count).await?;
        let mut request = course.requests(count).await?;
        let bare_middle = percentile(&mut bare, 50);
        start.extend(Pairs::of(percentile(&mut event, 50), bare_middle));
        middle.extend(Pairs::of(percentile(&mut request, 50), bare_middle));
        tail.extend(Pairs::of(percentile(&mut request, 99), percentile(&mut bare, 99)));
    }
    course.close().await?;
    start.print(START)?;
    middle.print(MIDDLE)?;
    tail.print(TAIL)
}

impl Course {
    async fn open(server: &Server) -> anyhow::Result<Self> {
        let (arrivals, tasks) = (Arrivals::default(), Tasks::new(CancellationToken::new()));
        let routes = Router::new().route("/", post(arrive)).with_state(arrivals.clone());
        let manifest = alerts::posting(&format!("http://{}/", serve(&tasks, routes).await?));
        let door = Door::open(server.bus("eventsource").await?).await?;
        let sensor = rooms::sensor(server.bus("sensor").await?, &manifest).await?;
        sensor.ready("sensor").await?;
        let trigger = rooms::trigger(server.bus("trigger").await?, &manifest).await?;
        trigger.ready("trigger").await?;
        let bare = server.bare().await?;
        Ok(Self {
            delivered: server.bare_again().await?.consumer().await?,
            outside: server.bus("outside").await?,
            client: reqwest::Client::new(),
            door,
            sensor,
            trigger,
            bare,
            arrivals,
            tasks,
            sent: 0,
        })
    }

    /// The numbers of the next events.
    fn next(&mut self, count: usize) -> std::ops::Range<usize> {
        let first = self.sent;
        self.sent += count;
        first..self.sent
    }

    /// Milliseconds from the publication of an event to the trigger's request, of each.
    async fn events(&mut self, count: usize) -> anyhow::Result<Vec<f64>> {
        let subject = streams::subject(streams::EVENTS, &["default", "bench", "alerts"]);
        let (mut sent, mut every) = (Vec::with_capacity(count), calmly());
        for number in self.next(count) {
            let event = alert("alerts", number);
            let message = Publish::new(subject.clone(), event.encode()?).id(event.id.0);
            every.tick().await;
            sent.push((number, Instant::now()));
            self.outside.publish(message).await?;
        }
        self.arrived(&sent).await
    }

    /// Milliseconds from a request to the webhook to the trigger's request, of each.
    async fn requests(&mut self, count: usize) -> anyhow::Result<Vec<f64>> {
        let url = format!("http://{}/alerts", self.door.address);
        let (mut sent, mut every) = (Vec::with_capacity(count), calmly());
        for number in self.next(count) {
            let request = self.client.post(&url).header("Content-Type", "application/json");
            let request = request.body(stage::alert(number));
            every.tick().await;
            sent.push((number, Instant::now()));
            request.send().await?.error_for_status()?;
        }
        self.arrived(&sent).await
    }

    /// Milliseconds from the publication of a record to its delivery, of each, by a client with nothing around it.
    async fn bare(&mut self, count: usize) -> anyhow::Result<Vec<f64>> {
        let numbers = self.next(count);
        let (bare, consumer) = (&self.bare, &self.delivered);
        let sending = async {
            let (mut sent, mut every) = (Vec::with_capacity(count), calmly());
            for number in numbers {
                let event = alert("alerts", number);
                let record = event.encode()?;
                every.tick().await;
                sent.push(Instant::now());
                bare.publish(&event.id.0, record).await?;
            }
            anyhow::Ok(sent)
        };
        let receiving = async {
            let mut delivered = Vec::with_capacity(count);
            let mut messages = consumer.messages().await?;
            while delivered.len() < count {
                let message = messages.next().await.context("the deliveries ended")??;
                delivered.push(Instant::now());
                message.ack().await.map_err(anyhow::Error::from_boxed)?;
            }
            anyhow::Ok(delivered)
        };
        let both = async { tokio::try_join!(sending, receiving) };
        let (sent, delivered) = stage::within("deliveries", both).await??;
        Ok(sent.iter().zip(&delivered).map(|(from, to)| millis(*from, *to)).collect())
    }

    /// Waits for the requests of the trigger, and tells how long each took to come.
    async fn arrived(&self, sent: &[(usize, Instant)]) -> anyhow::Result<Vec<f64>> {
        let all = || (self.lock().len() >= sent.len()).then_some(());
        stage::until("the trigger's requests", all).await?;
        let arrivals = std::mem::take(&mut *self.lock());
        let arrivals = arrivals.iter().map(|(at, body)| Ok((number_of(body)?, *at)));
        let arrivals = arrivals.collect::<anyhow::Result<HashMap<usize, Instant>>>()?;
        let taken = sent.iter().map(|(number, from)| {
            let at = arrivals.get(number).with_context(|| format!("event {number} came to nothing"))?;
            Ok(millis(*from, *at))
        });
        taken.collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<(Instant, Bytes)>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn close(self) -> anyhow::Result<()> {
        self.door.stage.close().await?;
        self.sensor.close().await?;
        self.trigger.close().await?;
        self.tasks.stop().cancel();
        ensure!(self.tasks.drain(DEADLINE).await, "the sink does not stop");
        Ok(())
    }
}

async fn arrive(State(arrivals): State<Arrivals>, body: Bytes) {
    let at = Instant::now();
    arrivals.lock().unwrap_or_else(PoisonError::into_inner).push((at, body));
}

/// The event's number, as the trigger sends it.
fn number_of(body: &[u8]) -> anyhow::Result<usize> {
    let body: Value = serde_json::from_slice(body)?;
    let number = body["pid"].as_str().map_or_else(|| body["pid"].to_string(), str::to_owned);
    number.parse().with_context(|| format!("{body} has no number"))
}

fn millis(from: Instant, to: Instant) -> f64 {
    to.duration_since(from).as_secs_f64() * 1000.0
}

fn calmly() -> Interval {
    let mut every = interval(EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    every
}
