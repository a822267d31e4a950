//! What the roles are made of: the same pieces whether they share a process or have one each.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tiphys_bus::Bus;
use tiphys_catalog::{BusFeeder, Catalog, Directory};
use tiphys_core::Clock;
use tiphys_executor::launcher::process::{self, ProcessLauncher};
use tiphys_executor::launcher::{ArtifactStore, Launcher};
use tiphys_kit::{CancellationToken, Group, Health};

use crate::cli::LauncherChoice;
use crate::data::DataFolder;

/// How long the roles may take until they are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// What an owner holds that does not renew it passes on after this.
const CLAIM_TIME: Duration = Duration::from_secs(4);

/// Where the catalog is filled from.
pub(crate) struct Feed<'a> {
    /// Folder of manifests.
    pub(crate) manifests: &'a Path,
    /// Namespace of those that name none.
    pub(crate) namespace: &'a str,
    /// The bus, for objects given by the API.
    pub(crate) bus: &'a Arc<dyn Bus>,
}

impl Feed<'_> {
    /// Fills the catalog, and keeps it filled.
    pub(crate) async fn start(
        &self,
        group: &mut Group,
        catalog: &Catalog,
        health: &Health,
    ) -> anyhow::Result<()> {
        let check = tiphys_executor::lint::check;
        let (feeder, health_of) = (catalog.feeder(), health.clone());
        let directory =
            Directory::open_checked(self.manifests, self.namespace, check, feeder, health_of).await?;
        let given = BusFeeder::open(self.bus.clone(), catalog.feeder(), health.clone()).await?;
        group.spawn("catalog-directory", move |stop| directory.watch(None, stop));
        group.spawn("catalog-bus", move |stop| given.follow(stop));
        Ok(())
    }
}

/// What steps find around them.
pub(crate) struct Surroundings<'a> {
    /// The data folder.
    pub(crate) data: &'a DataFolder,
    /// Folder of manifests.
    pub(crate) manifests: &'a Path,
    /// Address of the API.
    pub(crate) server: String,
    /// Address of the webhooks.
    pub(crate) webhooks: String,
    /// Where steps may run.
    pub(crate) choice: LauncherChoice,
}

impl Surroundings<'_> {
    /// The launcher of processes.
    pub(crate) async fn launcher(
        &self,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<ProcessLauncher>> {
        let shared = self.data.path().join("shared");
        std::fs::create_dir_all(&shared)?;
        let own = |name: &str, value: String| (name.to_owned(), value);
        let variable =
            |name: &str, otherwise: &str| std::env::var(name).unwrap_or_else(|_| otherwise.to_owned());
        let exe = std::env::current_exe()?;
        let exe = exe.to_str().ok_or_else(|| anyhow!("the path of this program is not UTF-8"))?;
        let config = process::Config {
            policy: match self.choice {
                LauncherChoice::Auto => process::Policy::Auto,
                LauncherChoice::Process => process::Policy::Process,
            },
            extra_path: Some(self.data.bin()?),
            environment: [
                own("TIPHYS_SERVER", self.server.clone()),
                own("TIPHYS_WEBHOOKS", self.webhooks.clone()),
                own("TIPHYS_MANIFESTS", self.manifests.display().to_string()),
                own("TIPHYS_SHARED", shared.display().to_string()),
            ]
            .into(),
            inheritable: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?.into()))
                })
                .collect(),
            ..process::Config::new(
                self.data.steps(),
                vec![exe.to_owned(), "runner".to_owned()],
                variable("PATH", "/usr/local/bin:/usr/bin:/bin"),
                variable("HOME", "/"),
                tiphys_runner::proc::boot_id()?,
            )
        };
        Ok(Arc::new(ProcessLauncher::open(config, store, clock, stop).await?))
    }
}

/// What a room works with.
pub(crate) struct Room {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Health,
    /// Who it is to others of its kind: two that run at once have two names.
    pub(crate) owner: String,
}

impl Room {
    /// The executor, and the schedules of CronWorkflows.
    pub(crate) fn executor(
        &self,
        group: &mut Group,
        launcher: Arc<dyn Launcher>,
        store: Arc<dyn ArtifactStore>,
    ) {
        let deps = tiphys_executor::Deps {
            bus: self.bus.clone(),
            catalog: self.catalog.clone(),
            launcher,
            clock: self.clock.clone(),
            health: self.health.clone(),
        };
        let config = tiphys_executor::Config {
            owner: self.owner.clone(),
            claim_time: CLAIM_TIME,
            artifacts: Some(store),
            ..tiphys_executor::Config::default()
        };
        group.spawn("executor", move |stop| tiphys_executor::run(config, deps, stop));
    }

    /// The trigger service.
    pub(crate) fn trigger(&self, group: &mut Group) {
        let deps = tiphys_trigger::Deps {
            bus: self.bus.clone(),
            catalog: self.catalog.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
        };
        group
            .spawn("trigger", move |stop| tiphys_trigger::run(tiphys_trigger::Config::default(), deps, stop));
    }

    /// The sensor service.
    pub(crate) fn sensor(&self, group: &mut Group) {
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
