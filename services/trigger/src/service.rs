//! The service: a worker for each trigger, found by the catalog and by the firings themselves.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value as Json;
use tiphys_bus::{Bus, BusError, ConsumerConfig, Delivery, Start, streams};
use tiphys_catalog::Catalog;
use tiphys_core::{Clock, chain};
use tiphys_kit::{Backoff, CancellationToken, Health, Tasks};
use tiphys_manifest::{Kind, Spec};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::control;
use crate::kind;
use crate::ledger::Ledger;
use crate::rate::Pace;
use crate::work::{ACK_WAIT, HEARTBEAT, Shared};

/// How much is done at once.
#[derive(Debug, Clone)]
pub struct Config {
    /// Firings of one trigger under way at once.
    pub concurrency: usize,
    /// How long firings under way may take to finish at shutdown; the others come again at the next start.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { concurrency: 64, grace: Duration::from_secs(10) }
    }
}

/// What the service works with.
#[derive(Clone)]
pub struct Deps {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The objects that exist.
    pub catalog: Catalog,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Readiness.
    pub health: Health,
    /// The cluster that `k8s` triggers act on, where there is one.
    #[cfg(feature = "kubernetes")]
    pub cluster: Option<tiphys_kit::kubernetes::Cluster>,
}

/// A trigger that has less than this part of its slots free waits a moment for more, rather than ask for one firing at a
/// time: each question is two to the bus.
const FEW: usize = 4;
const MOMENT: Duration = Duration::from_millis(1);
/// How long it is waited for what comes.
const WAIT: Duration = Duration::from_secs(30);

/// Namespace, sensor, trigger.
type Name = (String, String, String);

/// Runs until `stop`.
///
/// # Errors
/// Fails when the bus cannot be used at all.
pub async fn run(config: Config, deps: Deps, stop: CancellationToken) -> Result<(), BusError> {
    deps.health.expect("trigger");
    // Redirects are refused: an address is checked before it is called, and another is another.
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tiphys/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| BusError::Invalid { reason: format!("http client: {}", chain(&error)) })?;
    let shared = Arc::new(Shared {
        bus: deps.bus.clone(),
        catalog: deps.catalog.clone(),
        clock: deps.clock.clone(),
        kinds: kind::builtin(),
        client,
        ledger: Ledger::new(deps.bus.clone()),
        #[cfg(feature = "kubernetes")]
        cluster: deps.cluster.clone(),
    });
    let mut workers = Workers {
        shared,
        config: config.clone(),
        tasks: Tasks::new(stop.clone()),
        running: HashSet::new(),
        noted: HashSet::new(),
        read: 0,
    };
    workers.start_known().await?;
    let router = deps.bus.consumer(streams::FIRINGS, router()).await?;
    let mut changed = deps.catalog.changed();
    deps.health.ready("trigger");
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let routed = tokio::select! {
            () = stop.cancelled() => break,
            moved = changed.changed() => {
                if moved.is_err() {
                    break;
                }
                workers.start_from_catalog();
                continue;
            }
            // Noted by another process, which may be dead before it works it off.
            noted = deps.bus.wait_for(streams::CONTROL, workers.read, WAIT) => match noted {
                Ok(_) => workers.start_known().await,
                Err(error) => Err(error),
            },
            fetched = router.fetch(256, WAIT) => match fetched {
                Ok(firings) => route(&mut workers, firings).await,
                Err(error) => Err(error),
            },
        };
        match routed {
            Ok(()) => backoff.reset(),
            Err(BusError::Closed) => break,
            Err(error) => {
                warn!(%error, "the trigger service waits for the bus");
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = tokio::time::sleep(backoff.next_wait()) => {}
                }
            }
        }
    }
    workers.tasks.drain(config.grace).await;
    Ok(())
}

/// The consumer of those that look for triggers without a worker.
fn router() -> ConsumerConfig {
    ConsumerConfig {
        name: "trigger-router".into(),
        filters: Vec::new(),
        start: Start::All,
        ack_wait: ACK_WAIT,
        max_ack_pending: 1024,
    }
}

/// Makes sure that each firing seen has a worker. The worker's own consumer delivers it.
async fn route(workers: &mut Workers, firings: Vec<Box<dyn Delivery>>) -> Result<(), BusError> {
    for delivery in firings {
        if let Some(name) = control::trigger_of(&delivery.message().subject) {
            workers.note(&name).await?;
            workers.start(name);
        }
        delivery.ack().await?;
    }
    Ok(())
}

struct Workers {
    shared: Arc<Shared>,
    config: Config,
    tasks: Tasks,
    running: HashSet<Name>,
    /// Triggers that stand on the CONTROL stream.
    noted: HashSet<Name>,
    /// Up to where that stream was read.
    read: u64,
}

impl Workers {
    /// Starts the workers of every trigger that was ever seen, and of those in the catalog.
    async fn start_known(&mut self) -> Result<(), BusError> {
        let end = self.shared.bus.info(streams::CONTROL).await?.last;
        loop {
            let known = self.shared.bus.read(streams::CONTROL, "", self.read + 1, 500).await?;
            let Some(last) = known.last() else { break };
            self.read = last.sequence;
            for message in &known {
                if let Some(name) = control::trigger_of(&message.subject) {
                    self.start(name);
                }
            }
        }
        // What was replaced or removed since is not read.
        self.read = self.read.max(end);
        self.start_from_catalog();
        Ok(())
    }

    fn start_from_catalog(&mut self) {
        let snapshot = self.shared.catalog.snapshot();
        for sensor in snapshot.of_kind(Kind::Sensor) {
            if !matches!(sensor.spec, Spec::Sensor(_)) {
                continue;
            }
            let triggers = sensor.document.pointer("/spec/triggers").and_then(Json::as_array);
            for trigger in triggers.into_iter().flatten() {
                let name = trigger.pointer("/template/name").and_then(Json::as_str).unwrap_or_default();
                self.start((sensor.namespace.clone(), sensor.name.clone(), name.to_owned()));
            }
        }
    }

    /// Remembers a trigger that fired, so that its firings are found after a restart even if its sensor is
    /// gone by then.
    async fn note(&mut self, name: &Name) -> Result<(), BusError> {
        if self.noted.contains(name) {
            return Ok(());
        }
        let bus = &self.shared.bus;
        if control::read(bus, &name.0, &name.1, &name.2).await?.is_none() {
            let first = control::Control {
                paused: false,
                at: self.shared.clock.now(),
                by: "trigger".into(),
                reason: "first firing".into(),
            };
            control::write_first(bus, (&name.0, &name.1, &name.2), &first).await?;
        }
        self.noted.insert(name.clone());
        Ok(())
    }

    fn start(&mut self, name: Name) {
        if !self.running.insert(name.clone()) {
            return;
        }
        let worker = Worker {
            shared: self.shared.clone(),
            name,
            slots: Arc::new(Semaphore::new(self.config.concurrency)),
            concurrency: self.config.concurrency,
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn("trigger-worker", worker.run());
    }
}

/// Works off the firings of one trigger.
struct Worker {
    shared: Arc<Shared>,
    name: Name,
    slots: Arc<Semaphore>,
    concurrency: usize,
    tasks: Tasks,
}

impl Worker {
    async fn run(self) {
        let stop = self.tasks.stop().clone();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.work() => outcome,
            };
            match outcome {
                Ok(()) | Err(BusError::Closed) => return,
                Err(error) => {
                    warn!(sensor = self.name.1, trigger = self.name.2, %error, "a trigger waits for the bus");
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
            }
        }
    }

    async fn work(&self) -> Result<(), BusError> {
        let (namespace, sensor, trigger) = &self.name;
        let names = [namespace.as_str(), sensor, trigger];
        let config = ConsumerConfig {
            name: format!("trigger-{}", streams::token(&names.join("/"))),
            filters: vec![streams::subject(streams::FIRINGS, &names)],
            start: Start::All,
            ack_wait: ACK_WAIT,
            max_ack_pending: self.concurrency * 4,
        };
        let consumer = self.shared.bus.consumer(streams::FIRINGS, config).await?;
        let (mut pace, mut limited) = (Pace::default(), false);
        self.wait_while_paused().await?;
        loop {
            let Ok(slot) = self.slots.acquire().await else { return Ok(()) };
            drop(slot);
            if self.slots.available_permits() * FEW < self.concurrency {
                tokio::time::sleep(MOMENT).await;
            }
            // Under a rate limit one at a time, so that none grows stale while it waits for its turn.
            let most = if limited { 1 } else { self.slots.available_permits().max(1) };
            let deliveries = consumer.fetch(most, Duration::from_secs(30)).await?;
            limited |= deliveries.iter().any(|delivery| !rate_limited(delivery.as_ref()).is_null());
            if deliveries.is_empty() {
                continue;
            }
            // Asked once a batch, and after it came: a fetch may stand for long.
            if self.paused().await? {
                for delivery in deliveries {
                    delivery.nack(Duration::ZERO).await?;
                }
                self.wait_while_paused().await?;
                continue;
            }
            self.dispatch(deliveries, &mut pace).await?;
        }
    }

    async fn dispatch(&self, deliveries: Vec<Box<dyn Delivery>>, pace: &mut Pace) -> Result<(), BusError> {
        for delivery in deliveries {
            let wait = pace.take(&rate_limited(delivery.as_ref()), tokio::time::Instant::now());
            if !wait.is_zero() {
                debug!(trigger = self.name.2, ?wait, "rate limit");
                // A long wait must not look like a dead worker.
                keep_alive(delivery.as_ref(), wait).await?;
            }
            let Ok(slot) = self.slots.clone().acquire_owned().await else { return Ok(()) };
            let shared = self.shared.clone();
            self.tasks.spawn("firing", async move {
                shared.handle(delivery.as_ref()).await;
                drop(slot);
            });
        }
        Ok(())
    }

    async fn paused(&self) -> Result<bool, BusError> {
        let (namespace, sensor, trigger) = &self.name;
        let control = control::read(&self.shared.bus, namespace, sensor, trigger).await?;
        Ok(control.is_some_and(|control| control.paused))
    }

    async fn wait_while_paused(&self) -> Result<(), BusError> {
        let bus = &self.shared.bus;
        loop {
            let seen = bus.info(streams::CONTROL).await?.last;
            if !self.paused().await? {
                return Ok(());
            }
            bus.wait_for(streams::CONTROL, seen, Duration::from_secs(30)).await?;
        }
    }
}

async fn keep_alive(delivery: &dyn Delivery, wait: Duration) -> Result<(), BusError> {
    let mut left = wait;
    while !left.is_zero() {
        let step = left.min(HEARTBEAT);
        tokio::time::sleep(step).await;
        delivery.progress().await?;
        left -= step;
    }
    Ok(())
}

/// The trigger's spec where it has a `rateLimit`; cheap for those that have none.
fn rate_limited(delivery: &dyn Delivery) -> Json {
    let payload = &delivery.message().payload;
    if !payload.windows(11).any(|window| window == b"\"rateLimit\"") {
        return Json::Null;
    }
    serde_json::from_slice::<Json>(payload)
        .ok()
        .and_then(|mut firing| firing.get_mut("triggerSpec").map(Json::take))
        .unwrap_or(Json::Null)
}
