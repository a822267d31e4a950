//! Objects given by the API. They stand on the CATALOG stream, so that they survive restarts and every process
//! on the same bus sees them.

mod record;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Bus, BusError, Message, streams};
use tiphys_core::chain;
use tiphys_kit::{Backoff, CancellationToken, Health};
use tiphys_manifest::{Diagnostic, Object};
use tracing::{info, warn};

use crate::change::between;
use crate::error::CatalogError;
use crate::handle::Feeder;
use record::Record;
pub use write::{Applied, ApplyAction, Caller, Outcome, apply, delete};

/// Records per read: a manifest has a few kilobytes.
const BATCH: usize = 256;
/// A wait for news ends after this, only to begin anew.
const WAIT: Duration = Duration::from_secs(30);
/// The name under which readiness is told.
const PART: &str = "catalog-bus";

/// The CATALOG stream as an origin of objects.
pub struct BusFeeder {
    bus: Arc<dyn Bus>,
    feeder: Feeder,
    health: Health,
    position: u64,
    /// By subject.
    entries: BTreeMap<String, (Vec<Arc<Object>>, Vec<Diagnostic>)>,
    objects: Vec<Arc<Object>>,
}

impl BusFeeder {
    /// Reads all that the stream holds now. When this returns, its objects are in the catalog.
    ///
    /// # Errors
    /// Fails when the bus does.
    pub async fn open(bus: Arc<dyn Bus>, feeder: Feeder, health: Health) -> Result<Self, CatalogError> {
        health.expect(PART);
        let mut this =
            Self { bus, feeder, health, position: 0, entries: BTreeMap::new(), objects: Vec::new() };
        let last = this.bus.info(streams::CATALOG).await?.last;
        this.catch_up(last).await?;
        Ok(this)
    }

    /// Follows the stream until `stop`.
    ///
    /// # Errors
    /// Never by itself: a bus that is away is waited for, and what was read stays in force.
    pub async fn follow(mut self, stop: CancellationToken) -> Result<(), CatalogError> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let mut failed = false;
        loop {
            let step = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                step = self.step(failed) => step,
            };
            failed = step.is_err();
            match step {
                Ok(()) => backoff.reset(),
                Err(BusError::Closed) if stop.is_cancelled() => return Ok(()),
                Err(error) => {
                    warn!(error = chain(&error), "the catalog waits for the bus");
                    self.health.failing(PART, chain(&error));
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(backoff.next_wait()) => {}
                    }
                }
            }
        }
    }

    /// Waits for news and reads it. After a failure there may be none for long, and that the bus is back is news enough.
    async fn step(&mut self, failed: bool) -> Result<(), BusError> {
        let last = if failed {
            self.bus.info(streams::CATALOG).await?.last
        } else {
            self.bus.wait_for(streams::CATALOG, self.position, WAIT).await?
        };
        self.catch_up(last).await
    }

    /// Reads on, at least to `last`.
    async fn catch_up(&mut self, last: u64) -> Result<(), BusError> {
        loop {
            let from = self.position + 1;
            let messages = self.bus.read(streams::CATALOG, "", from, BATCH).await?;
            for message in &messages {
                self.take(message);
                self.position = message.sequence;
            }
            if messages.len() < BATCH {
                break;
            }
        }
        // The last may be gone already: overwritten in between, or purged.
        self.position = self.position.max(last);
        self.tell();
        Ok(())
    }

    fn take(&mut self, message: &Message) {
        match Record::read(&message.payload) {
            Ok(Some(loaded)) => {
                let objects = loaded.objects.into_iter().map(Arc::new).collect();
                let entry = (objects, loaded.diagnostics);
                self.entries.insert(message.subject.clone(), entry);
            }
            Ok(None) => {
                self.entries.remove(&message.subject);
            }
            // What it said before stays in force.
            Err(reason) => warn!(
                subject = message.subject,
                sequence = message.sequence,
                reason,
                "a record of the catalog cannot be read"
            ),
        }
    }

    fn tell(&mut self) {
        let entries = self.entries.values();
        let objects: Vec<_> = entries.clone().flat_map(|(o, _)| o.iter().cloned()).collect();
        let diagnostics = entries.flat_map(|(_, d)| d.iter().cloned()).collect();
        for change in between(&self.objects, &objects) {
            info!(file = change.file, "{change}");
        }
        self.feeder.replace(objects.clone(), diagnostics);
        self.objects = objects;
        self.health.ready(PART);
    }
}

impl std::fmt::Debug for BusFeeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BusFeeder")
            .field("position", &self.position)
            .field("entries", &self.entries.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
