//! The service: a worker for each Sensor of the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::members::{self, Members};
use tiphys_bus::{Bus, BusError, streams};
use tiphys_catalog::{Catalog, Snapshot};
use tiphys_core::Clock;
use tiphys_kit::{Backoff, CancellationToken, Health, Tasks};
use tiphys_manifest::{Kind, Object};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::compile::{Compiled, compile};

mod metric;
mod outlet;
mod registry;
mod round;
mod seat;
mod store;
mod worker;

#[cfg(test)]
mod tests;

use registry::Registry;
use worker::Worker;

/// How the service works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which of the instances this is. One that starts again under the same name goes on at once; two that run at
    /// once must have different names.
    pub owner: String,
    /// The sensors of an instance that died are another's within this time.
    pub claim_time: Duration,
    /// Events taken at once.
    pub batch: usize,
    /// How long the position of a Sensor that is gone is kept, in case it comes back. Until then its
    /// events are kept too.
    pub retire_after: Duration,
    /// How long a worker may take to finish its batch.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            owner: "sensor".into(),
            claim_time: Duration::from_secs(4),
            batch: 256,
            retire_after: Duration::from_secs(3600),
            grace: Duration::from_secs(10),
        }
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
}

/// How often it is looked for Sensors to be retired.
const SWEEP: Duration = Duration::from_secs(60);

/// Name of the durable consumer of a Sensor on EVENTS.
#[must_use]
pub fn consumer_name(namespace: &str, sensor: &str) -> String {
    streams::token(&format!("sensor/{namespace}/{sensor}"))
}

/// The name of a Sensor's part in [`Health`].
fn part(namespace: &str, sensor: &str) -> String {
    format!("sensor {namespace}/{sensor}")
}

/// Runs until `stop`.
///
/// # Errors
/// Never by itself: a bus that is away is waited for.
pub async fn run(config: Config, deps: Deps, stop: CancellationToken) -> Result<(), BusError> {
    deps.health.expect("sensor");
    let mut changed = deps.catalog.changed();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    let registry = Registry::new(deps.bus.clone());
    let members = Arc::new(Members::new(
        deps.bus.clone(),
        members::Config {
            work: "sensor".into(),
            name: config.owner.clone(),
            group: String::new(),
            passes_within: config.claim_time,
        },
    ));
    // The place is kept until all is let go.
    let membership = Tasks::new(CancellationToken::new());
    let (member, until) = (members.clone(), membership.stop().clone());
    membership.spawn("members", async move {
        // A bus that is closed is met by everybody here.
        let _ = member.run(&until).await;
    });
    let mut views = members.watch();
    views.mark_changed();
    let mut service =
        Service { config, deps, registry, members, stop: stop.clone(), running: BTreeMap::new() };
    while !stop.is_cancelled() {
        let snapshot = changed.borrow_and_update().clone();
        let wait = match service.fit(&snapshot).await {
            Ok(()) => {
                service.deps.health.ready("sensor");
                backoff.reset();
                SWEEP
            }
            Err(BusError::Closed) => break,
            Err(error) => {
                warn!(%error, "the sensor service waits for the bus");
                service.deps.health.failing("sensor", error.to_string());
                backoff.next_wait()
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            Ok(()) = views.changed() => {
                let turn = views.borrow_and_update().turn();
                service.let_go(turn).await;
            }
            moved = changed.changed() => if moved.is_err() { stop.cancelled().await },
            () = tokio::time::sleep(wait) => {}
        }
    }
    service.shut_down().await;
    membership.stop().cancel();
    membership.drain(service.config.grace).await;
    service.members.leave().await;
    Ok(())
}

/// Namespace and name.
type Key = (String, String);

struct Running {
    revision: String,
    /// Absent where the revision does not compile.
    tasks: Option<Tasks>,
    /// The view of the members that its worker has taken note of.
    noted: watch::Receiver<u64>,
}

struct Service {
    config: Config,
    deps: Deps,
    registry: Registry,
    members: Arc<Members>,
    stop: CancellationToken,
    running: BTreeMap<Key, Running>,
}

impl Service {
    /// Makes what runs fit the catalog.
    async fn fit(&mut self, snapshot: &Snapshot) -> Result<(), BusError> {
        let mut failed = None;
        for object in snapshot.of_kind(Kind::Sensor) {
            let key = (object.namespace.clone(), object.name.clone());
            if self.running.get(&key).is_some_and(|one| one.revision == object.revision) {
                continue;
            }
            // One sensor that cannot be started does not hold the others.
            if let Err(error) = self.start(key, object).await {
                failed = Some(error);
            }
        }
        let gone: Vec<Key> = (self.running.keys())
            .filter(|(namespace, name)| snapshot.get(Kind::Sensor, namespace, name).is_none())
            .cloned()
            .collect();
        for key in gone {
            info!(namespace = key.0, sensor = key.1, "the sensor is gone, its worker stops");
            self.end(&key).await;
            self.deps.health.forget(&part(&key.0, &key.1));
        }
        let exists = |namespace: &str, name: &str| snapshot.get(Kind::Sensor, namespace, name).is_some();
        self.registry.sweep(exists, self.deps.clock.now(), self.config.retire_after).await?;
        failed.map_or(Ok(()), Err)
    }

    async fn start(&mut self, key: Key, object: &Object) -> Result<(), BusError> {
        self.end(&key).await;
        let part = part(&key.0, &key.1);
        let revision = object.revision.clone();
        let compiled = match compile(object) {
            Ok(compiled) => compiled,
            Err(diagnostics) => {
                // Its consumer, where there is one, keeps its position: after an edit nothing is lost.
                let first = diagnostics.first();
                let reason = first.map_or_else(String::new, |d| format!("{}: {}", d.path, d.message));
                error!(namespace = key.0, sensor = key.1, reason, "the sensor is not run until it is mended");
                self.deps.health.failing(&part, reason);
                let noted = watch::Sender::new(0).subscribe();
                self.running.insert(key, Running { revision, tasks: None, noted });
                return Ok(());
            }
        };
        for warning in &compiled.warnings {
            warn!(namespace = key.0, sensor = key.1, path = warning.path, "{}", warning.message);
        }
        self.deps.health.expect(&part);
        let worker = self.open(compiled).await?;
        let (tasks, noted) = (Tasks::new(self.stop.child_token()), worker.noted());
        let stop = tasks.stop().clone();
        tasks.spawn("sensor", async move { worker.run(stop).await });
        info!(namespace = key.0, sensor = key.1, "the sensor runs");
        self.running.insert(key, Running { revision, tasks: Some(tasks), noted });
        Ok(())
    }

    /// Makes the consumer, so that no event from here on is missed.
    async fn open(&self, mut compiled: Compiled) -> Result<Worker, BusError> {
        compiled.traced = tiphys_kit::trace::tracer().is_some();
        let worker = Worker::open(compiled, &self.config, &self.deps, &self.members).await?;
        self.registry.note(worker.namespace(), worker.name()).await?;
        Ok(worker)
    }

    /// Waits until no worker is at what is another instance's, and says so to the others.
    async fn let_go(&mut self, turn: u64) {
        for running in self.running.values_mut() {
            // A worker that has ended has let go.
            let _ = running.noted.wait_for(|noted| *noted >= turn).await;
        }
        self.members.let_go(turn);
    }

    /// Stops a worker; it finishes its batch first.
    async fn end(&mut self, key: &Key) {
        let Some(tasks) = self.running.remove(key).and_then(|running| running.tasks) else {
            return;
        };
        tasks.stop().cancel();
        if !tasks.drain(self.config.grace).await {
            warn!(namespace = key.0, sensor = key.1, "the sensor's worker is slow to stop");
        }
    }

    async fn shut_down(&mut self) {
        let keys: Vec<Key> = self.running.keys().cloned().collect();
        for key in keys {
            self.end(&key).await;
        }
    }
}
