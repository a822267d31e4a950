//! The service: a worker for each Sensor of the catalog.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Bus, BusError, streams};
use tiphys_catalog::{Catalog, Snapshot};
use tiphys_core::Clock;
use tiphys_kit::{Backoff, CancellationToken, Health, Tasks};
use tiphys_manifest::{Kind, Object};
use tracing::{error, info, warn};

use crate::compile::{Compiled, compile};

mod metric;
mod outlet;
mod registry;
mod round;
mod store;
mod worker;

#[cfg(test)]
mod tests;

use registry::Registry;
use worker::Worker;

/// How the service works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names this instance where one of several must own a sensor's conditions. The same after a restart, so that
    /// a restarted instance goes on at once.
    pub owner: String,
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
    let mut service = Service { config, deps, registry, stop: stop.clone(), running: BTreeMap::new() };
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
            moved = changed.changed() => if moved.is_err() { stop.cancelled().await },
            () = tokio::time::sleep(wait) => {}
        }
    }
    service.shut_down().await;
    Ok(())
}

/// Namespace and name.
type Key = (String, String);

struct Running {
    revision: String,
    /// Absent where the revision does not compile.
    tasks: Option<Tasks>,
}

struct Service {
    config: Config,
    deps: Deps,
    registry: Registry,
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
                self.running.insert(key, Running { revision, tasks: None });
                return Ok(());
            }
        };
        for warning in &compiled.warnings {
            warn!(namespace = key.0, sensor = key.1, path = warning.path, "{}", warning.message);
        }
        self.deps.health.expect(&part);
        let worker = self.open(compiled).await?;
        let tasks = Tasks::new(self.stop.child_token());
        let stop = tasks.stop().clone();
        tasks.spawn("sensor", async move { worker.run(stop).await });
        info!(namespace = key.0, sensor = key.1, "the sensor runs");
        self.running.insert(key, Running { revision, tasks: Some(tasks) });
        Ok(())
    }

    /// Makes the consumer, so that no event from here on is missed.
    async fn open(&self, compiled: Compiled) -> Result<Worker, BusError> {
        let worker = Worker::open(compiled, &self.config, &self.deps).await?;
        self.registry.note(worker.namespace(), worker.name()).await?;
        Ok(worker)
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
