//! `tiphys bus|eventsource|sensor|trigger|executor|server`: one service, one process, on NATS JetStream.
//!
//! Each may be killed at any moment and started again; what it was doing stands on the bus. Its probes answer from the
//! start: not ready while the bus is away, and why.

mod api;
mod beat;
mod connect;
mod door;
mod keeper;
mod late;
mod passage;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use serde_json::json;
use tiphys_bus::Bus;
use tiphys_bus::jetstream::JetStreamConfig;
use tiphys_catalog::kubernetes::KubernetesFeeder;
use tiphys_catalog::{Catalog, CatalogError};
use tiphys_core::{Clock, SystemClock};
use tiphys_kit::kubernetes::Cluster;
use tiphys_kit::{CancellationToken, Group, Health};
use tiphys_manifest::{Diagnostic, Kind};
use tokio::net::TcpListener;
use tracing::info;

use crate::assembly::{self, Launchers, Manifests, Room, RunnerRoutes, Surroundings, objects};
use crate::cli::{Connection, RoleArgs};
use crate::data::DataFolder;
use crate::exit::Failure;

use connect::Plan;
use keeper::Keeper;

/// How long a stage may take to drain.
const GRACE: Duration = Duration::from_secs(15);

/// Which service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Bus,
    Eventsource,
    Sensor,
    Trigger,
    Executor,
    Server,
}

impl Role {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Bus => "bus",
            Self::Eventsource => "eventsource",
            Self::Sensor => "sensor",
            Self::Trigger => "trigger",
            Self::Executor => "executor",
            Self::Server => "server",
        }
    }

    /// What it reads of a cluster.
    const fn kinds(self) -> &'static [(Kind, bool)] {
        match self {
            Self::Bus => objects::BUS,
            Self::Eventsource => objects::EVENTSOURCE,
            Self::Sensor => objects::SENSOR,
            Self::Trigger => objects::TRIGGER,
            Self::Executor => objects::EXECUTOR,
            Self::Server => objects::SERVER,
        }
    }
}

/// What every service has.
struct Service<'a> {
    role: Role,
    args: &'a RoleArgs,
    data: DataFolder,
    namespace: String,
    /// The namespace, where it was asked to have a bus of its own.
    own: Option<String>,
    /// Unlike that of any other process.
    instance: String,
    clock: Arc<dyn Clock>,
    health: Health,
    metrics: metrics_exporter_prometheus::PrometheusHandle,
    /// The cluster, where one is used.
    cluster: Option<Cluster>,
    /// Its objects, where they are the manifests.
    objects: Option<KubernetesFeeder>,
    /// What runs until the end.
    background: Group,
    stop: CancellationToken,
}

/// Findings of the process, for `tiphys status`.
type Findings = Arc<dyn Fn() -> Vec<Diagnostic> + Send + Sync>;

/// Runs until a signal.
pub(crate) fn run(role: Role, args: &RoleArgs, connection: &Connection) -> Result<(), Failure> {
    crate::dev::log(args.log_format);
    if matches!(role, Role::Executor | Role::Server) {
        args.launch.check()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(serve(role, args, connection))?)
}

/// A user of a NATS server for each service.
pub(crate) fn users(prefix: String, namespace: Option<String>) -> String {
    let config = JetStreamConfig { namespace, ..JetStreamConfig::new("", prefix) };
    tiphys_bus::jetstream::users(&config)
}

async fn serve(role: Role, args: &RoleArgs, connection: &Connection) -> anyhow::Result<()> {
    let usual = || crate::dev::data_folder(&args.manifests, args.objects.of_cluster());
    let data = DataFolder::open(connection.data.clone().unwrap_or_else(usual))?;
    let mut service = Service {
        role,
        args,
        data,
        namespace: connection.namespace.clone().unwrap_or_else(|| "default".into()),
        own: connection.namespace.clone(),
        instance: instance()?,
        clock: Arc::new(SystemClock),
        health: Health::default(),
        metrics: tiphys_kit::metric::install().context("metrics")?,
        cluster: assembly::cluster(&args.launch, args.objects.of_cluster()).await?,
        objects: None,
        background: Group::new(CancellationToken::new()),
        stop: CancellationToken::new(),
    };
    service.trace();
    let admin = service.open_admin().await?;
    let (signalled, samples) = (service.stop.clone(), service.metrics.clone());
    service.background.spawn("signals", move |until| tiphys_kit::signal::watch(signalled, until));
    service.background.spawn("metrics", move |stop| tiphys_kit::metric::upkeep(samples, stop));
    info!(role = role.as_str(), %admin, "started");
    let catalog = Catalog::new();
    if !service.fill(&catalog).await? {
        return Ok(());
    }
    let own = service.own.as_deref();
    let plan = connect::plan(role.as_str(), args, own, &service.namespace, &catalog.snapshot())?;
    let plan = Arc::new(plan);
    let Some(bus) = service.bus(plan.clone(), &catalog).await? else { return Ok(()) };
    let outcome = service.work(&plan, bus.clone(), &catalog, admin).await;
    service.data.withdraw_role(role.as_str());
    bus.close().await;
    tiphys_kit::trace::flush().await;
    outcome
}

/// A name that no other process has, also none that had this number before.
pub(crate) fn instance() -> anyhow::Result<String> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).map_err(|error| anyhow!("no randomness: {error}"))?;
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(format!("{host}-{}-{}", std::process::id(), hex::encode(bytes)))
}

impl Service<'_> {
    /// Traces what the role does with events, firings and workflows.
    fn trace(&self) {
        if !matches!(self.role, Role::Bus | Role::Server) {
            tiphys_kit::trace::install(self.role.as_str(), &self.instance, |name| std::env::var(name).ok());
        }
    }

    /// Probes and metrics, on a port of their own.
    async fn open_admin(&mut self) -> anyhow::Result<std::net::SocketAddr> {
        let listener = TcpListener::bind(self.args.admin).await;
        let listener = listener.with_context(|| format!("the admin port {}", self.args.admin))?;
        let admin = listener.local_addr()?;
        let metrics = self.metrics.clone();
        let router = tiphys_kit::probe::router(self.health.clone(), Arc::new(move || metrics.render()));
        self.background.spawn("admin", move |stop| crate::http::serve(listener, router, stop));
        Ok(admin)
    }

    /// Fills the catalog, and keeps it filled. False: told to stop.
    async fn fill(&mut self, catalog: &Catalog) -> anyhow::Result<bool> {
        let health = self.health.clone();
        let Some(cluster) = self.cluster.clone().filter(|_| self.args.objects.of_cluster()) else {
            let manifests = Manifests { folder: &self.args.manifests, namespace: &self.namespace };
            manifests.follow(&mut self.background, catalog, &health).await?;
            return Ok(true);
        };
        let config = objects::config(self.role.kinds(), self.own.clone(), self.args.objects.argo_too);
        let feeder = KubernetesFeeder::new(cluster, config, catalog, self.clock.clone(), health.clone());
        if !objects::read_patiently(&feeder, &health, &self.stop).await {
            return Ok(false);
        }
        let following = feeder.clone();
        self.background.spawn("catalog-kubernetes", move |stop| following.follow(stop));
        self.objects = Some(feeder);
        Ok(true)
    }

    /// The bus, and what was given by the API. `None`: told to stop. Who has a spool does not wait.
    async fn bus(&mut self, plan: Arc<Plan>, catalog: &Catalog) -> anyhow::Result<Option<Arc<dyn Bus>>> {
        let (health, stop) = (self.health.clone(), self.stop.clone());
        if self.role != Role::Eventsource || self.args.no_spool {
            let Some(bus) = connect::open(&plan, self.role == Role::Bus, &health, &stop).await? else {
                return Ok(None);
            };
            let Some(given) = assembly::given(&bus, catalog, &health, &stop).await else { return Ok(None) };
            self.background.spawn("catalog-bus", move |stop| given.follow(stop));
            return Ok(Some(bus));
        }
        for part in [connect::PART, "catalog-bus"] {
            health.only_tell(part);
        }
        let (late, catalog) = (Arc::new(late::Late::default()), catalog.clone());
        let bus: Arc<dyn Bus> = late.clone();
        self.background.spawn("catalog-bus", move |stop| async move {
            let Some(bus) = connect::open(&plan, false, &health, &stop).await? else { return Ok(()) };
            late.arrive(bus.clone());
            if let Some(given) = assembly::given(&bus, &catalog, &health, &stop).await {
                given.follow(stop).await?;
            }
            Ok::<_, CatalogError>(())
        });
        Ok(Some(bus))
    }

    /// What the role is for.
    async fn work(
        &mut self,
        plan: &Plan,
        bus: Arc<dyn Bus>,
        catalog: &Catalog,
        admin: std::net::SocketAddr,
    ) -> anyhow::Result<()> {
        let mut rooms = Group::new(CancellationToken::new());
        let mut address = None;
        let mut findings: Findings = Arc::new(Vec::new);
        let mut launchers = None;
        match self.role {
            Role::Bus => {
                let (streams, of_object) = (plan.streams.clone(), plan.diagnostics.clone());
                let (keeper, found) = Keeper::new(bus.clone(), streams, of_object, self.health.clone());
                rooms.spawn("streams", move |stop| keeper.run(stop));
                findings = Arc::new(move || found.diagnostics());
            }
            Role::Eventsource => {
                let open = self.eventsource(&mut rooms, &bus, catalog).await?;
                (address, findings) = (Some(open.0), open.1);
            }
            Role::Sensor => self.room(&bus, catalog).sensor(&mut rooms),
            Role::Trigger => self.room(&bus, catalog).trigger(&mut rooms),
            Role::Executor => launchers = Some(self.executor(&mut rooms, &bus, catalog).await?),
            Role::Server => address = Some(self.api(&mut rooms, &bus, catalog).await?),
        }
        let beat = beat::Beat {
            role: self.role.as_str(),
            instance: self.instance.clone(),
            bus: bus.clone(),
            health: self.health.clone(),
            findings,
        };
        self.background.spawn("beat", move |stop| beat.run(stop));
        let said = json!({
            "role": self.role.as_str(),
            "pid": std::process::id(),
            "admin": crate::http::base(admin),
            "address": address.map(crate::http::base),
        });
        self.data.announce_role(self.role.as_str(), &said)?;
        let outcome = self.until_stopped(rooms).await;
        if let Some(launchers) = launchers {
            launchers.drain(GRACE).await;
        }
        outcome
    }

    fn room(&self, bus: &Arc<dyn Bus>, catalog: &Catalog) -> Room {
        Room {
            bus: bus.clone(),
            catalog: catalog.clone(),
            clock: self.clock.clone(),
            health: self.health.clone(),
            owner: self.instance.clone(),
            cluster: self.cluster.clone(),
        }
    }

    async fn executor(
        &self,
        rooms: &mut Group,
        bus: &Arc<dyn Bus>,
        catalog: &Catalog,
    ) -> anyhow::Result<Launchers> {
        let store = assembly::artifacts(&self.data, catalog, self.args.artifact_identity)?;
        let said = |given: &Option<String>, role: &str| {
            let known = given.clone().or_else(|| Some(self.data.role(role)?["address"].as_str()?.to_owned()));
            known.unwrap_or_default()
        };
        let manifests = self.args.manifests.canonicalize()?;
        let surroundings = Surroundings {
            data: &self.data,
            manifests: &manifests,
            server: said(&self.args.api, "server"),
            webhooks: said(&self.args.webhooks, "eventsource"),
            args: &self.args.launch,
            cluster: self.cluster.as_ref(),
            installation: self.args.prefix.clone(),
            namespace: self.own.as_deref(),
            preferred: None,
            routes: self.runners(rooms).await?,
            health: self.health.clone(),
        };
        let launchers = surroundings.launchers(store.clone(), self.clock.clone()).await?;
        self.room(bus, catalog).executor(rooms, &launchers, store);
        Ok(launchers)
    }

    /// Where the runners of pods ask, if they are to ask here.
    async fn runners(&self, rooms: &mut Group) -> anyhow::Result<RunnerRoutes> {
        let routes = RunnerRoutes::default();
        if self.args.launch.pods_reach.is_some() {
            let (host, port) = (self.args.host.as_str(), self.args.port);
            let listener = TcpListener::bind((host, port)).await.with_context(|| format!("{host}:{port}"))?;
            let router = routes.router();
            let tls = assembly::runner_certificate(&self.data, &self.args.launch)?;
            let tls = tls.map(|certificate| certificate.server);
            rooms.spawn("runners", move |stop| crate::http::serve_with(listener, router, tls, stop));
        }
        Ok(routes)
    }

    async fn until_stopped(&mut self, mut rooms: Group) -> anyhow::Result<()> {
        let failure = tokio::select! {
            () = self.stop.cancelled() => None,
            failure = rooms.failed() => Some(failure),
            failure = self.background.failed() => Some(failure),
        };
        let background = std::mem::replace(&mut self.background, Group::new(CancellationToken::new()));
        for (name, group) in [("rooms", rooms), ("background", background)] {
            group.stop();
            if let Err(error) = group.join(GRACE).await {
                info!(stage = name, error, "while stopping");
            }
        }
        match failure {
            None => Ok(()),
            Some(failure) => Err(anyhow!(failure)),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_users_in_the_repository_are_those_of_this_version() {
        let kept = include_str!("../../../deploy/nats/users.conf");
        let made = super::users("tiphys".into(), None);
        assert_eq!(kept, made, "tiphys bus permissions > deploy/nats/users.conf");
    }
}
