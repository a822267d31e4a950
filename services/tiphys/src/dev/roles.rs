//! The roles of one process, started and stopped in order.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tiphys_bus::Bus;
use tiphys_catalog::{BusFeeder, Catalog, Directory};
use tiphys_core::Clock;
use tiphys_eventsource::Ingress;
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::process::{self, ProcessLauncher};
use tiphys_executor::launcher::{ArtifactStore, Launcher};
use tiphys_kit::{CancellationToken, Group, Health};
use tiphys_server::{Followers, Shared};
use tokio::net::TcpListener;
use tracing::info;

use super::banner::Banner;
use super::data::DataFolder;
use crate::cli::LauncherChoice;
use crate::client::ServerFile;

/// How long a stage may take to drain.
const GRACE: Duration = Duration::from_secs(15);
/// How long the roles may take until they are ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// What the roles are made of.
pub(super) struct Roles {
    pub(super) dir: PathBuf,
    pub(super) data: DataFolder,
    pub(super) namespace: String,
    pub(super) address: SocketAddr,
    pub(super) launcher: LauncherChoice,
    pub(super) memory: bool,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Groups of tasks that stop one after the other, in the direction of the data.
struct Stages {
    sources: Group,
    rooms: Group,
    api: Group,
    background: Group,
}

impl Roles {
    /// Runs until a signal or the first failure.
    pub(super) async fn run(self, listener: TcpListener) -> anyhow::Result<()> {
        let metrics = tiphys_kit::metric::install().context("metrics")?;
        let (stop, health, catalog) = (CancellationToken::new(), Health::default(), Catalog::new());
        let mut stages = Stages {
            sources: Group::new(CancellationToken::new()),
            rooms: Group::new(CancellationToken::new()),
            api: Group::new(CancellationToken::new()),
            background: Group::new(CancellationToken::new()),
        };
        self.feed(&mut stages.background, &catalog, &health).await?;
        let watching = CancellationToken::new();
        let store: Arc<dyn ArtifactStore> = Arc::new(LocalStore::open(&self.data.artifacts())?);
        let process = self.launcher(store.clone(), watching.clone()).await?;
        let launcher: Arc<dyn Launcher> = process.clone();
        self.rooms(&mut stages.rooms, &catalog, &health, &launcher, store);
        self.wait_until_ready(&mut stages.rooms, &health).await?;

        let config =
            tiphys_eventsource::Config { host: self.address.ip(), ..tiphys_eventsource::Config::default() };
        let ingress = Ingress::new(config.clone());
        let deps = tiphys_eventsource::Deps {
            bus: self.bus.clone(),
            spool: None,
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
        };
        let door = ingress.clone();
        stages.sources.spawn("eventsource", move |stop| tiphys_eventsource::run(config, deps, door, stop));
        let samples = metrics.clone();
        stages.background.spawn("metrics", move |stop| tiphys_kit::metric::upkeep(samples, stop));
        let (shared, followers) = self.shared(&catalog, &health, &launcher, &ingress, metrics).await?;
        let guard = tiphys_server::Guard::new(self.data.token()?.into(), vec![self.address.ip().to_string()]);
        shared.follow(followers, &mut stages.api);
        let router = tiphys_server::router(shared, guard).merge(ingress.router());
        stages.api.spawn("http", move |stop| super::http::serve(listener, router, stop));
        self.wait_until_ready(&mut stages.sources, &health).await?;
        // Before anybody knows that it runs: a signal right after that drains, too.
        let signalled = stop.clone();
        stages.background.spawn("signals", move |until| tiphys_kit::signal::watch(signalled, until));
        self.announce(&catalog)?;
        let outcome = self.until_stopped(stages, stop).await;
        watching.cancel();
        process.drain(GRACE).await;
        self.data.withdraw();
        outcome
    }

    /// Fills the catalog, and keeps it filled.
    async fn feed(&self, group: &mut Group, catalog: &Catalog, health: &Health) -> anyhow::Result<()> {
        let directory = Directory::open(&self.dir, &self.namespace, catalog.feeder(), health.clone()).await?;
        let given = BusFeeder::open(self.bus.clone(), catalog.feeder(), health.clone()).await?;
        group.spawn("catalog-directory", move |stop| directory.watch(None, stop));
        group.spawn("catalog-bus", move |stop| given.follow(stop));
        Ok(())
    }

    async fn launcher(
        &self,
        store: Arc<dyn ArtifactStore>,
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
            policy: match self.launcher {
                LauncherChoice::Auto => process::Policy::Auto,
                LauncherChoice::Process => process::Policy::Process,
            },
            extra_path: Some(self.data.bin()?),
            environment: [
                own("TIPHYS_SERVER", format!("http://{}", self.address)),
                own("TIPHYS_MANIFESTS", self.dir.display().to_string()),
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
        Ok(Arc::new(ProcessLauncher::open(config, store, self.clock.clone(), stop).await?))
    }

    fn rooms(
        &self,
        group: &mut Group,
        catalog: &Catalog,
        health: &Health,
        launcher: &Arc<dyn Launcher>,
        store: Arc<dyn ArtifactStore>,
    ) {
        let executor = tiphys_executor::Deps {
            bus: self.bus.clone(),
            catalog: catalog.clone(),
            launcher: launcher.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
        };
        let config = tiphys_executor::Config { artifacts: Some(store), ..tiphys_executor::Config::default() };
        group.spawn("executor", move |stop| tiphys_executor::run(config, executor, stop));
        let trigger = tiphys_trigger::Deps {
            bus: self.bus.clone(),
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
        };
        group.spawn("trigger", move |stop| {
            tiphys_trigger::run(tiphys_trigger::Config::default(), trigger, stop)
        });
        let sensor = tiphys_sensor::Deps {
            bus: self.bus.clone(),
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
        };
        // One process at a time has the data folder: its claims are its own after a restart, too.
        let config = tiphys_sensor::Config { owner: "dev".into(), ..tiphys_sensor::Config::default() };
        group.spawn("sensor", move |stop| tiphys_sensor::run(config, sensor, stop));
        let (bus, catalog, clock) = (self.bus.clone(), catalog.clone(), self.clock.clone());
        group.spawn("cron", move |stop| tiphys_executor::cron::run(bus, catalog, clock, stop));
    }

    async fn shared(
        &self,
        catalog: &Catalog,
        health: &Health,
        launcher: &Arc<dyn Launcher>,
        ingress: &Ingress,
        metrics: metrics_exporter_prometheus::PrometheusHandle,
    ) -> anyhow::Result<(Shared, Followers)> {
        let door = ingress.clone();
        let shared = Shared::open(tiphys_server::Parts {
            bus: self.bus.clone(),
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
            launcher: launcher.clone(),
            metrics: Arc::new(move || metrics.render()),
            diagnostics: Arc::new(move || door.diagnostics()),
            namespace: self.namespace.clone(),
        });
        Ok(shared.await?)
    }

    /// Waits until every part is ready. A sensor whose manifest is wrong is reported, not waited for: it must not
    /// keep the others from work.
    async fn wait_until_ready(&self, group: &mut Group, health: &Health) -> anyhow::Result<()> {
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

    fn announce(&self, catalog: &Catalog) -> anyhow::Result<()> {
        let base = format!("http://{}", self.address);
        let banner = Banner {
            base: &base,
            data: &self.data.path().display().to_string(),
            everything_on_host: self.launcher == LauncherChoice::Process,
            memory: self.memory,
            exposed: !self.address.ip().is_loopback(),
            snapshot: &catalog.snapshot(),
            now: self.clock.now(),
        };
        let text = banner.render();
        // First the file: whoever sees the banner finds the server.
        self.data.announce(&ServerFile { address: base.clone(), pid: std::process::id() })?;
        println!("{text}");
        Ok(())
    }

    /// Waits for a signal or a failure, then drains stage by stage.
    async fn until_stopped(&self, mut stages: Stages, stop: CancellationToken) -> anyhow::Result<()> {
        let failure = tokio::select! {
            () = stop.cancelled() => None,
            failure = stages.sources.failed() => Some(failure),
            failure = stages.rooms.failed() => Some(failure),
            failure = stages.api.failed() => Some(failure),
            failure = stages.background.failed() => Some(failure),
        };
        for (name, group) in [
            ("sources", stages.sources),
            ("rooms", stages.rooms),
            ("api", stages.api),
            ("background", stages.background),
        ] {
            group.stop();
            if let Err(error) = group.join(GRACE).await {
                info!(stage = name, error, "while stopping");
            }
        }
        match failure {
            None => {
                info!("stopped; steps that run go on, and are taken up at the next start");
                Ok(())
            }
            Some(failure) => Err(anyhow!(failure)),
        }
    }
}
