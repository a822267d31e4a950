//! What the roles are made of: the same pieces whether they share a process or have one each.

mod certificate;
mod contained;
pub(crate) mod objects;
mod place;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tiphys_bus::Bus;
use tiphys_catalog::{BusFeeder, Catalog, Directory};
use tiphys_core::Clock;
use tiphys_executor::artifact::{Settings, Stores};
use tiphys_executor::launcher::ArtifactStore;
use tiphys_executor::logs::KeptLogs;
use tiphys_kit::kubernetes::Cluster;
use tiphys_kit::{Backoff, CancellationToken, Group, Health};
use tracing::warn;

use crate::data::DataFolder;
pub(crate) use contained::RunnerRoutes;
pub(crate) use place::{Launchers, Surroundings, cluster, runner_certificate, where_steps_run};

/// How long the roles may take until they are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What an owner holds that does not renew it passes on after this.
const CLAIM_TIME: Duration = Duration::from_secs(4);

/// The folder of manifests.
pub(crate) struct Manifests<'a> {
    /// Where it is.
    pub(crate) folder: &'a Path,
    /// Namespace of objects that name none.
    pub(crate) namespace: &'a str,
}

impl Manifests<'_> {
    /// Fills the catalog from it, and keeps it filled.
    pub(crate) async fn follow(
        &self,
        group: &mut Group,
        catalog: &Catalog,
        health: &Health,
    ) -> anyhow::Result<()> {
        let check = tiphys_executor::lint::check;
        let (feeder, health) = (catalog.feeder(), health.clone());
        let directory = Directory::open_checked(self.folder, self.namespace, check, feeder, health).await?;
        group.spawn("catalog-directory", move |stop| directory.watch(None, stop));
        Ok(())
    }
}

/// Reads the objects given by the API, however long the bus takes. `None`: told to stop.
pub(crate) async fn given(
    bus: &Arc<dyn Bus>,
    catalog: &Catalog,
    health: &Health,
    stop: &CancellationToken,
) -> Option<BusFeeder> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        match BusFeeder::open(bus.clone(), catalog.feeder(), health.clone()).await {
            Ok(feeder) => return Some(feeder),
            Err(error) => warn!(error = tiphys_core::chain(&error), "the catalog waits for the bus"),
        }
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}

/// The artifact stores: a folder of the data folder, and those that manifests name.
pub(crate) fn artifacts(
    data: &DataFolder,
    catalog: &Catalog,
    own_identity: bool,
) -> anyhow::Result<Arc<dyn ArtifactStore>> {
    let path = std::env::var("PATH").unwrap_or_else(|_| "/usr/local/bin:/usr/bin:/bin".into());
    let settings = Settings { path, own_identity, ..Settings::default() };
    Ok(Arc::new(Stores::open(&data.artifacts(), catalog.clone(), settings)?))
}

/// Reads the logs that were kept in these stores.
pub(crate) fn kept_logs(data: &DataFolder, store: Arc<dyn ArtifactStore>) -> anyhow::Result<Arc<KeptLogs>> {
    // With a dot, as no part of a key has one.
    Ok(Arc::new(KeptLogs::open(store, data.artifacts().join(".reading"))?))
}

/// What a room works with. A room that was begun is expected at once, not when its task first runs.
pub(crate) struct Room {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Health,
    /// Who it is to others of its kind: two that run at once have two names.
    pub(crate) owner: String,
    /// The cluster, where one is used.
    pub(crate) cluster: Option<Cluster>,
}

impl Room {
    /// The executor, and the schedules of CronWorkflows.
    pub(crate) fn executor(&self, group: &mut Group, launchers: &Launchers, store: Arc<dyn ArtifactStore>) {
        self.health.expect("executor");
        let deps = tiphys_executor::Deps {
            bus: self.bus.clone(),
            catalog: self.catalog.clone(),
            launcher: launchers.launcher.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
        };
        let config = tiphys_executor::Config {
            owner: self.owner.clone(),
            claim_time: CLAIM_TIME,
            pods: launchers.at_once,
            artifacts: Some(store),
            ..tiphys_executor::Config::default()
        };
        group.spawn("executor", move |stop| tiphys_executor::run(config, deps, stop));
    }

    /// The trigger service.
    pub(crate) fn trigger(&self, group: &mut Group) {
        self.health.expect("trigger");
        let deps = tiphys_trigger::Deps {
            bus: self.bus.clone(),
            catalog: self.catalog.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
            cluster: self.cluster.clone(),
        };
        group
            .spawn("trigger", move |stop| tiphys_trigger::run(tiphys_trigger::Config::default(), deps, stop));
    }

    /// The sensor service.
    pub(crate) fn sensor(&self, group: &mut Group) {
        self.health.expect("sensor");
        let deps = tiphys_sensor::Deps {
            bus: self.bus.clone(),
            catalog: self.catalog.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
        };
        let config = tiphys_sensor::Config { owner: self.owner.clone(), ..tiphys_sensor::Config::default() };
        group.spawn("sensor", move |stop| tiphys_sensor::run(config, deps, stop));
    }
}

/// Waits until every part is ready. A sensor whose manifest is wrong is reported, not waited for: it must not
/// keep the others from work.
pub(crate) async fn wait_until_ready(group: &mut Group, health: &Health) -> anyhow::Result<()> {
    let starting = |health: &Health| health.problems().values().any(|why| why == "starting");
    let ready = async {
        while starting(health) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        waited = tokio::time::timeout(READY_WITHIN, ready) => {
            waited.map_err(|_| anyhow!("not ready within {READY_WITHIN:?}: {:?}", health.problems()))
        }
        failure = group.failed() => Err(anyhow!(failure)),
    }
}
