//! The roles of one process, started and stopped in order.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use tiphys_bus::Bus;
use tiphys_catalog::Catalog;
use tiphys_catalog::kubernetes::{Config, KubernetesFeeder};
use tiphys_core::Clock;
use tiphys_eventsource::Ingress;
use tiphys_executor::launcher::{ArtifactStore, Launcher};
use tiphys_executor::logs::KeptLogs;
use tiphys_kit::kubernetes::Cluster;
use tiphys_kit::{CancellationToken, Group, Health};
use tiphys_server::{Followers, Shared};
use tokio::net::TcpListener;
use tracing::info;

use super::banner::Banner;
use crate::assembly::objects::shown_by;
use crate::assembly::{self, Launchers, Manifests, Room, RunnerRoutes, Surroundings};
use crate::cli::{LaunchArgs, LauncherChoice};
use crate::client::ServerFile;
use crate::data::DataFolder;

/// How long a stage may take to drain.
const GRACE: Duration = Duration::from_secs(15);

/// What the roles are made of.
pub(super) struct Roles {
    pub(super) dir: PathBuf,
    pub(super) data: DataFolder,
    pub(super) namespace: String,
    /// The namespace, where one was asked for.
    pub(super) only: Option<String>,
    pub(super) address: SocketAddr,
    pub(super) launch: LaunchArgs,
    /// Manifests are objects of the cluster; whether also what Argo works on is driven.
    pub(super) objects: Option<bool>,
    pub(super) artifact_identity: bool,
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
        let cluster = assembly::cluster(&self.launch, self.objects.is_some()).await?;
        let objects = match (self.objects, &cluster) {
            (Some(argo_too), Some(cluster)) => {
                Some(self.objects(cluster, argo_too, &catalog, &health).await?)
            }
            _ => {
                let manifests = Manifests { folder: &self.dir, namespace: &self.namespace };
                manifests.follow(&mut stages.background, &catalog, &health).await?;
                None
            }
        };
        if let Some(given) = assembly::given(&self.bus, &catalog, &health, &stop).await {
            stages.background.spawn("catalog-bus", move |stop| given.follow(stop));
        }
        let steps = assembly::where_steps_run(&self.launch, cluster.as_ref());
        let store = assembly::artifacts(&self.data, &catalog, self.artifact_identity)?;
        let routes = RunnerRoutes::default();
        let logs = assembly::kept_logs(&self.data, store.clone())?;
        let launchers = self.rooms(&mut stages.rooms, (&catalog, &health), cluster, store, &routes).await?;
        let launcher = launchers.launcher.clone();
        assembly::wait_until_ready(&mut stages.rooms, &health).await?;

        let ingress = self.sources(&mut stages.sources, &catalog, &health);
        let samples = metrics.clone();
        stages.background.spawn("metrics", move |stop| tiphys_kit::metric::upkeep(samples, stop));
        let (shared, followers) =
            self.shared((&catalog, &health), (&launcher, logs), &ingress, metrics).await?;
        let guard = tiphys_server::Guard::new(self.data.token()?.into(), vec![self.address.ip().to_string()]);
        if let Some(objects) = objects {
            // One process at a time has the data folder: nobody else does it.
            let work = objects.workflows(self.bus.clone(), shown_by(&shared), None);
            stages.background.spawn("workflow-objects", move |stop| work.run(stop));
            stages.background.spawn("catalog-kubernetes", move |stop| objects.follow(stop));
        }
        shared.follow(followers, &mut stages.api);
        let router = tiphys_server::router(shared, guard).merge(ingress.router()).merge(routes.router());
        let tls =
            assembly::runner_certificate(&self.data, &self.launch)?.map(|certificate| certificate.server);
        stages.api.spawn("http", move |stop| crate::http::serve_with(listener, router, tls, stop));
        assembly::wait_until_ready(&mut stages.sources, &health).await?;
        // Before anybody knows that it runs: a signal right after that drains, too.
        let signalled = stop.clone();
        stages.background.spawn("signals", move |until| tiphys_kit::signal::watch(signalled, until));
        self.announce(&catalog, &steps)?;
        let outcome = self.until_stopped(stages, stop).await;
        launchers.drain(GRACE).await;
        self.data.withdraw();
        outcome
    }

    /// Executor, trigger and sensor.
    async fn rooms(
        &self,
        group: &mut Group,
        (catalog, health): (&Catalog, &Health),
        cluster: Option<Cluster>,
        store: Arc<dyn ArtifactStore>,
        routes: &RunnerRoutes,
    ) -> anyhow::Result<Launchers> {
        let surroundings = Surroundings {
            data: &self.data,
            manifests: &self.dir,
            server: crate::http::base(self.address),
            webhooks: crate::http::base(self.address),
            args: &self.launch,
            cluster: cluster.as_ref(),
            // Manifests may name others than the usual one.
            namespace: None,
            // Two on one engine or in one cluster do not see each other's.
            installation: format!("dev-{}", self.data.mark()?),
            preferred: self.only.as_deref(),
            routes: routes.clone(),
            health: health.clone(),
        };
        let launchers = surroundings.launchers(store.clone(), self.clock.clone()).await?;
        let room = Room {
            bus: self.bus.clone(),
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: health.clone(),
            // One process at a time has the data folder: its claims are its own after a restart, too.
            owner: "dev".into(),
            cluster,
        };
        room.executor(group, &launchers, store);
        room.trigger(group);
        room.sensor(group);
        Ok(launchers)
    }

    /// The event source.
    fn sources(&self, group: &mut Group, catalog: &Catalog, health: &Health) -> Ingress {
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
        group.spawn("eventsource", move |stop| tiphys_eventsource::run(config, deps, door, stop));
        ingress
    }

    /// Reads the objects of the cluster.
    async fn objects(
        &self,
        cluster: &Cluster,
        argo_too: bool,
        catalog: &Catalog,
        health: &Health,
    ) -> anyhow::Result<KubernetesFeeder> {
        let config = Config { namespace: self.only.clone(), argo_too, ..Config::default() };
        let clock = self.clock.clone();
        let objects = KubernetesFeeder::new(cluster.clone(), config, catalog, clock, health.clone());
        objects.read().await.context("the objects of the cluster")?;
        Ok(objects)
    }

    async fn shared(
        &self,
        (catalog, health): (&Catalog, &Health),
        (launcher, logs): (&Arc<dyn Launcher>, Arc<KeptLogs>),
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
            logs,
            metrics: Arc::new(move || metrics.render()),
            diagnostics: Arc::new(move || door.diagnostics()),
            namespace: self.namespace.clone(),
        });
        Ok(shared.await?)
    }

    fn announce(&self, catalog: &Catalog, steps: &str) -> anyhow::Result<()> {
        let base = crate::http::base(self.address);
        // Before the hints: they are short where the command line finds the server by itself.
        self.data.announce(&ServerFile { address: base.clone(), pid: std::process::id() })?;
        let data = self.data.path();
        let found = crate::client::above(Path::new(".")).and_then(|found| found.canonicalize().ok());
        let named =
            if found.as_deref() == Some(data) { String::new() } else { crate::client::in_folder(data) };
        let namespace = self.only.clone().unwrap_or_default();
        let banner = Banner {
            base: &base,
            data: &data.display().to_string(),
            steps,
            hint: &|words| crate::client::hint(words, &namespace, &named),
            everything_on_host: self.launch.launcher == LauncherChoice::Process,
            memory: self.memory,
            exposed: !self.address.ip().is_loopback(),
            snapshot: &catalog.snapshot(),
            now: self.clock.now(),
        };
        let text = banner.render();
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
