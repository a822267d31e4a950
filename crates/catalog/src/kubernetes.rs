//! Objects in a Kubernetes cluster: manifests that the catalog holds, Workflows that are submitted, and what becomes of
//! workflows, written back.
//!
//! ```text
//! EventSources, Sensors, templates … ──▶ list and watch ──▶ the catalog          (every process, its own kinds)
//! Secrets and ConfigMaps they name   ──▶ read, and again ──▶ the catalog
//! Workflows ──▶ list and watch ──▶ WORKFLOWS: submitted once, stopped, deleted   (one process at a time)
//!     ▲                                │
//!     └── objects of all workflows, their status ◀── at most once a second, and at the end
//! ```
//!
//! Where a controller of Argo's runs, what is its own is left to it ([`argo`]).

mod argo;
pub mod crd;
mod kind;
mod named;
mod workflows;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tiphys_bus::Bus;
use tiphys_core::Clock;
use tiphys_kit::kubernetes::{Cluster, Failure, Objects};
use tiphys_kit::{CancellationToken, Health, Tasks};
use tiphys_manifest::{Diagnostic, Kind, Object};
use tokio::sync::Notify;
use tracing::info;

use crate::change::between;
use crate::error::CatalogError;
use crate::handle::{Catalog, Feeder};
pub use workflows::{Brief, Shown, WORKFLOW, WorkflowObjects, workflow_of};

/// The name under which readiness is told.
pub const PART: &str = "catalog-kubernetes";
/// The name under which it is told which kinds cannot be read; it does not count.
const UNREAD: &str = "catalog-kubernetes/kinds";
/// The name under which it is told that Argo is left to its own; it does not count.
const ARGO: &str = "catalog-kubernetes/argo";
/// Changes come in swarms; after the first so long nothing is handed on.
const SETTLE: Duration = Duration::from_millis(20);
/// How long tasks get to end.
const GRACE: Duration = Duration::from_secs(5);

/// The kinds that the catalog holds.
pub const KINDS: [Kind; 6] = [
    Kind::EventBus,
    Kind::EventSource,
    Kind::Sensor,
    Kind::WorkflowTemplate,
    Kind::ClusterWorkflowTemplate,
    Kind::CronWorkflow,
];

/// What is read of the cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// Only this namespace; none: all of them.
    pub namespace: Option<String>,
    /// Whether also what a running controller of Argo's works on is driven.
    pub argo_too: bool,
    /// The kinds that are read, of [`KINDS`].
    pub kinds: Vec<Kind>,
    /// Those of them whose Secrets and ConfigMaps are read, too.
    pub resolved: Vec<Kind>,
}

impl Default for Config {
    fn default() -> Self {
        Self { namespace: None, argo_too: false, kinds: KINDS.to_vec(), resolved: KINDS.to_vec() }
    }
}

/// A cluster that feeds the catalog.
#[derive(Clone)]
pub struct KubernetesFeeder(Arc<Shared>);

/// What the tasks share.
struct Shared {
    cluster: Cluster,
    config: Config,
    clock: Arc<dyn Clock>,
    health: Health,
    found: Mutex<Found>,
    /// Something that the catalog holds changed.
    changed: Notify,
    told: Mutex<Told>,
    argo: argo::Argo,
}

/// What was handed to the catalog.
struct Told {
    feeder: Feeder,
    objects: Vec<Arc<Object>>,
}

/// What was found.
#[derive(Default)]
struct Found {
    /// By kind, then namespace and name.
    kinds: BTreeMap<Kind, BTreeMap<(String, String), Read>>,
    /// Secrets and ConfigMaps that those name, and what is held.
    named: BTreeMap<named::Name, Read>,
    /// What workflows name that are driven here.
    held: named::Holds,
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
        f.debug_tuple("KubernetesFeeder").field(&self.0.cluster).finish()
    }
}

impl KubernetesFeeder {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        config: Config,
        catalog: &Catalog,
        clock: Arc<dyn Clock>,
        health: Health,
    ) -> Self {
        health.expect(PART);
        health.only_tell(ARGO);
        health.only_tell(UNREAD);
        let told = Mutex::new(Told { feeder: catalog.feeder(), objects: Vec::new() });
        let (argo, changed, found) = (argo::Argo::default(), Notify::new(), Mutex::default());
        let shared = Arc::new(Shared { cluster, config, clock, health, found, changed, told, argo });
        catalog.read_by(Arc::new(named::OnDemand(shared.clone())));
        Self(shared)
    }

    /// Reads all objects for the first time. When this returns, they are in the catalog. A kind that the cluster does
    /// not know, or that may not be read, is told in health and tried again.
    ///
    /// # Errors
    /// Fails where the cluster does not answer at all.
    pub async fn read(&self) -> Result<(), CatalogError> {
        let shared = &self.0;
        shared.look_for_argo().await?;
        for kind in shared.config.kinds.clone() {
            // Followed from a later list on; this one is for whoever reads the catalog next.
            shared.read_kind(kind).await.or_else(|failure| shared.trouble(kind, failure))?;
        }
        shared.read_named().await;
        shared.tell();
        Ok(())
    }

    /// Takes the Workflows of the cluster in, and writes what becomes of workflows to their objects. Of several processes
    /// with a name (`owner`) one does it at a time; without a name this is the only one.
    #[must_use]
    pub fn workflows(
        &self,
        bus: Arc<dyn Bus>,
        shown: Arc<dyn Shown>,
        owner: Option<String>,
    ) -> WorkflowObjects {
        WorkflowObjects::new(self.0.clone(), bus, shown, owner)
    }

    /// Follows the cluster until `stop`. One that is away is waited for; what was read stays in force.
    ///
    /// # Errors
    /// Never by itself.
    pub async fn follow(self, stop: CancellationToken) -> Result<(), CatalogError> {
        let (shared, tasks) = (self.0, Tasks::new(stop.child_token()));
        for kind in shared.config.kinds.clone() {
            tasks.spawn("cluster-kind", shared.clone().follow_kind(kind, tasks.stop().clone()));
        }
        tasks.spawn("cluster-named", shared.clone().follow_named(tasks.stop().clone()));
        tasks.spawn("cluster-argo", shared.clone().watch_argo(tasks.stop().clone()));
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = shared.changed.notified() => {}
            }
            tokio::time::sleep(SETTLE).await;
            shared.tell();
        }
        tasks.stop().cancel();
        tasks.drain(GRACE).await;
        Ok(())
    }
}

impl Shared {
    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands what was found to the catalog.
    fn tell(&self) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (objects, diagnostics) = self.all();
        for change in between(&told.objects, &objects) {
            info!(file = change.file, "{change}");
        }
        told.feeder.replace(objects.clone(), diagnostics);
        told.objects = objects;
        drop(told);
        self.tell_health();
    }

    fn all(&self) -> (Vec<Arc<Object>>, Vec<Diagnostic>) {
        let found = self.found();
        let ours = found.kinds.iter().filter(|(kind, _)| !self.is_argos(**kind));
        let used = ours.flat_map(|(_, objects)| objects.values()).chain(found.named.values());
        let read = found.kinds.values().flat_map(BTreeMap::values).chain(found.named.values());
        (
            used.filter_map(|read| read.object.clone()).collect(),
            read.flat_map(|read| read.diagnostics.iter().cloned()).collect(),
        )
    }

    fn namespace(&self) -> &str {
        self.config.namespace.as_deref().unwrap_or_default()
    }

    /// The objects of a kind in a namespace; in all of them where it is empty.
    async fn objects_in(&self, kind: Kind, namespace: &str) -> Result<Objects, Failure> {
        let resource = self.cluster.resource(kind.api_version(), kind.as_str()).await?;
        Ok(self.cluster.objects(&resource, namespace))
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
