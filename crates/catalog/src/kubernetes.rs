//! Objects in a Kubernetes cluster: manifests that the catalog holds, Workflows that are submitted, and their status
//! that is written back.
//!
//! ```text
//! EventSources, Sensors, templates … ──▶ list and watch ──▶ the catalog
//! Secrets and ConfigMaps they name   ──▶ read, and again ──▶ the catalog
//! Workflows ──▶ list and watch ──▶ WORKFLOWS: submitted once (uid), stopped, suspended, deleted
//!     ▲                                │
//!     └── status, labels ◀── at most once a second, and at the end
//! ```
//!
//! Where a controller of Argo's runs, what is its own is left to it ([`argo`]).

mod argo;
pub mod crd;
mod intake;
mod kind;
mod named;
mod patch;
mod status;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tiphys_bus::Bus;
use tiphys_core::Clock;
use tiphys_kit::kubernetes::{Cluster, Failure};
use tiphys_kit::{CancellationToken, Health, Tasks};
use tiphys_manifest::{Diagnostic, Kind, Object};
use tokio::sync::Notify;
use tracing::info;

use crate::change::between;
use crate::error::CatalogError;
use crate::handle::Feeder;
pub use status::{Look, StatusWriter};

/// The name under which readiness is told.
const PART: &str = "catalog-kubernetes";
/// The name under which it is told which kinds cannot be read; it does not count.
const UNREAD: &str = "catalog-kubernetes/kinds";
/// The name under which it is told that Argo is left to its own; it does not count.
const ARGO: &str = "catalog-kubernetes/argo";
/// Changes come in swarms; after the first so long nothing is handed on.
const SETTLE: Duration = Duration::from_millis(20);
/// How long tasks get to end.
const GRACE: Duration = Duration::from_secs(5);

/// The kinds that the catalog holds.
const KINDS: [Kind; 6] = [
    Kind::EventBus,
    Kind::EventSource,
    Kind::Sensor,
    Kind::WorkflowTemplate,
    Kind::ClusterWorkflowTemplate,
    Kind::CronWorkflow,
];

/// What is read of the cluster.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Only this namespace; none: all of them.
    pub namespace: Option<String>,
    /// Whether also what a running controller of Argo's works on is driven.
    pub argo_too: bool,
}

/// A cluster that feeds the catalog.
pub struct KubernetesFeeder {
    shared: Arc<Shared>,
    feeder: Feeder,
}

/// What the tasks share.
struct Shared {
    cluster: Cluster,
    config: Config,
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    health: Health,
    found: Mutex<Found>,
    /// Something that the catalog holds changed.
    changed: Notify,
    workflows: intake::Workflows,
    argo: argo::Argo,
}

/// What was found.
#[derive(Default)]
struct Found {
    /// By kind, then namespace and name.
    kinds: BTreeMap<Kind, BTreeMap<(String, String), Read>>,
    /// Secrets and ConfigMaps that those name.
    named: BTreeMap<(Kind, String, String), Read>,
    /// Why a kind cannot be read: it is not there, or may not be seen.
    unread: BTreeMap<Kind, String>,
    /// Why a kind cannot be followed for the moment.
    away: BTreeMap<Kind, String>,
}

/// An object as it was read, with what was said of it.
#[derive(Clone)]
struct Read {
    object: Option<Arc<Object>>,
    diagnostics: Vec<Diagnostic>,
}

impl std::fmt::Debug for KubernetesFeeder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubernetesFeeder").field("cluster", &self.shared.cluster).finish_non_exhaustive()
    }
}

impl KubernetesFeeder {
    /// Reads all objects for the first time. When this returns, they are in the catalog. A kind that the cluster does
    /// not know, or that may not be read, is told in health and tried again.
    ///
    /// # Errors
    /// Fails where the cluster does not answer at all.
    pub async fn open(
        cluster: Cluster,
        config: Config,
        feeder: Feeder,
        bus: Arc<dyn Bus>,
        clock: Arc<dyn Clock>,
        health: Health,
    ) -> Result<Self, CatalogError> {
        health.expect(PART);
        health.only_tell(ARGO);
        health.only_tell(UNREAD);
        let shared = Arc::new(Shared {
            argo: argo::Argo::default(),
            workflows: intake::Workflows::default(),
            changed: Notify::new(),
            found: Mutex::default(),
            cluster,
            config,
            bus,
            clock,
            health,
        });
        shared.look_for_argo().await?;
        for kind in KINDS {
            // Followed from a later list on; this one is for whoever reads the catalog next.
            shared.read_kind(kind).await.or_else(|failure| shared.trouble(kind, failure))?;
        }
        shared.read_named().await;
        let mut this = Self { shared, feeder };
        let mut before = Vec::new();
        this.tell(&mut before);
        Ok(this)
    }

    /// Writes the status of the Workflows that are found here back. `look` gives a Workflow with its status, as it is now.
    #[must_use]
    pub fn statuses(&self, look: Look) -> StatusWriter {
        StatusWriter::new(self.shared.clone(), look)
    }

    /// Follows the cluster until `stop`. One that is away is waited for; what was read stays in force.
    ///
    /// # Errors
    /// Never by itself.
    pub async fn follow(mut self, stop: CancellationToken) -> Result<(), CatalogError> {
        let tasks = Tasks::new(stop.child_token());
        for kind in KINDS {
            tasks.spawn("cluster-kind", self.shared.clone().follow_kind(kind, tasks.stop().clone()));
        }
        tasks.spawn("cluster-named", self.shared.clone().follow_named(tasks.stop().clone()));
        tasks.spawn("cluster-argo", self.shared.clone().watch_argo(tasks.stop().clone()));
        tasks.spawn("cluster-workflows", self.shared.clone().take_in(tasks.stop().clone()));
        let mut before = self.objects();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.shared.changed.notified() => {}
            }
            tokio::time::sleep(SETTLE).await;
            self.tell(&mut before);
        }
        tasks.stop().cancel();
        tasks.drain(GRACE).await;
        Ok(())
    }

    fn objects(&self) -> Vec<Arc<Object>> {
        let found = self.shared.found();
        let kinds = found.kinds.iter().filter(|(kind, _)| !self.shared.is_argos(**kind));
        let read = kinds.flat_map(|(_, objects)| objects.values()).chain(found.named.values());
        read.filter_map(|read| read.object.clone()).collect()
    }

    /// Hands what was found to the catalog.
    fn tell(&mut self, before: &mut Vec<Arc<Object>>) {
        let objects = self.objects();
        let diagnostics = {
            let found = self.shared.found();
            let read = found.kinds.values().flat_map(BTreeMap::values).chain(found.named.values());
            read.flat_map(|read| read.diagnostics.iter().cloned()).collect()
        };
        for change in between(before, &objects) {
            info!(file = change.file, "{change}");
        }
        self.feeder.replace(objects.clone(), diagnostics);
        *before = objects;
        self.shared.tell_health();
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn namespace(&self) -> &str {
        self.config.namespace.as_deref().unwrap_or_default()
    }

    /// Notes why a kind cannot be read, and goes on with the others; unless nothing answers.
    fn trouble(&self, kind: Kind, failure: Failure) -> Result<(), CatalogError> {
        if matches!(failure, Failure::Unavailable(_)) {
            return Err(CatalogError::Cluster(failure));
        }
        self.note(kind, &failure);
        Ok(())
    }

    /// Notes why a kind cannot be read.
    fn note(&self, kind: Kind, failure: &Failure) {
        let mut found = self.found();
        match failure {
            Failure::Missing(_) => {
                found.unread.insert(kind, format!("the cluster has no kind {kind}: apply deploy/crds"));
            }
            Failure::Unavailable(why) => {
                found.away.insert(kind, why.clone());
            }
            other => {
                found.unread.insert(kind, other.to_string());
            }
        }
    }

    /// A kind is read.
    fn is_read(&self, kind: Kind) {
        let mut found = self.found();
        found.unread.remove(&kind);
        found.away.remove(&kind);
    }

    /// Says whether everything is read. A kind that is not there, or may not be seen, is told and does not count.
    fn tell_health(&self) {
        let found = self.found();
        for (part, troubles) in [(PART, &found.away), (UNREAD, &found.unread)] {
            let troubles: Vec<&str> = troubles.values().map(String::as_str).collect();
            match troubles.is_empty() {
                true => self.health.ready(part),
                false => self.health.failing(part, troubles.join("; ")),
            }
        }
    }
}
