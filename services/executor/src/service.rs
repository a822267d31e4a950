//! The shell around the planner: it follows the journals, keeps the live workflows in memory, writes down what
//! the planner decides, and carries it out.
//!
//! Several executors share the workflows ([`tiphys_bus::members`]): each is one's at a time, and another's soon
//! after its death. Each append is fenced by compare-and-set besides, and a launcher starts a pod once, so that an
//! owner that was stopped and goes on later does nothing twice.

mod collect;
mod driver;
mod ended;
mod follower;
mod inbox;
mod keeper;
mod launch;
mod record;
mod registry;
mod secrets;
mod shares;
mod strays;

use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::members::{self, Members, View};
use tiphys_bus::{Bus, BusError};
use tiphys_catalog::Catalog;
use tiphys_core::{Clock, PodKey};
use tiphys_kit::{CancellationToken, Health, Tasks};
use tokio::sync::{Semaphore, mpsc};
use tracing::debug;

use crate::cron;
use crate::error::Error;
use crate::launcher::{ArtifactStore, Launcher};
use registry::Registry;

/// Name of the part in health.
const PART: &str = "executor";
/// What is shared.
const WORK: &str = "executor";
/// A launcher that is not known after this time is told of.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long tasks may take to end.
const GRACE: Duration = Duration::from_secs(5);

/// So many pods are being started at once. What is on its way takes memory, and a launcher does no more at a time.
const STARTING: usize = 128;

/// How the executor works.
#[derive(Clone)]
pub struct Config {
    /// Which of the executors this is. A process that starts again under the same name has its workflows at once;
    /// two that run at once must have different names.
    pub owner: String,
    /// What an executor had that died is another's within this time.
    pub claim_time: Duration,
    /// At most so many workflows are planned at once.
    pub planners: usize,
    /// At most so many pods run at once; others wait, Pending.
    pub pods: usize,
    /// Of finished workflows without a `ttlStrategy` so many are kept.
    pub finished_max: usize,
    /// Whether logs are kept as artifacts, whatever a workflow says.
    pub archive_logs: bool,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Where artifacts are; those of a deleted workflow are removed.
    pub artifacts: Option<Arc<dyn ArtifactStore>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            owner: "executor".into(),
            claim_time: Duration::from_secs(4),
            planners: 64,
            pods: 256,
            finished_max: 1000,
            archive_logs: false,
            grace: Duration::from_secs(30),
            artifacts: None,
        }
    }
}

/// What the executor works with.
#[derive(Clone)]
pub struct Deps {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Templates, ConfigMaps, Secrets.
    pub catalog: Catalog,
    /// Where pods run.
    pub launcher: Arc<dyn Launcher>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where readiness is told.
    pub health: Health,
}

/// What the tasks of the executor share.
struct Service {
    config: Config,
    deps: Deps,
    registry: Registry,
    members: Arc<Members>,
    /// The launcher's identity.
    launcher: Option<Arc<str>>,
    tasks: Tasks,
    planners: Semaphore,
    pods: Arc<Semaphore>,
    starting: Semaphore,
}

/// Runs until `stop`. What runs in pods goes on after that; the next start, or another executor, finds it.
///
/// # Errors
/// Fails when the bus is closed.
pub async fn run(config: Config, deps: Deps, stop: CancellationToken) -> Result<(), Error> {
    deps.health.expect(PART);
    // Without it nothing of before would be ours, and what begins would be bound to nobody.
    let known = async {
        if tokio::time::timeout(PATIENCE, deps.launcher.await_identity()).await.is_err() {
            deps.health.failing(PART, "it waits for its launcher, whose server does not answer");
            deps.launcher.await_identity().await;
        }
    };
    tokio::select! {
        () = known => deps.health.expect(PART),
        () = stop.cancelled() => return Ok(()),
    }
    let launcher: Option<Arc<str>> = deps.launcher.identity().map(Arc::from);
    let mut changes = deps.launcher.changes();
    let members = Arc::new(Members::new(
        deps.bus.clone(),
        members::Config {
            work: WORK.into(),
            name: config.owner.clone(),
            group: launcher.as_deref().unwrap_or_default().to_owned(),
            passes_within: config.claim_time,
        },
    ));
    let tasks = Tasks::new(stop.child_token());
    let service = Arc::new(Service {
        planners: Semaphore::new(config.planners.max(1)),
        pods: Arc::new(Semaphore::new(config.pods.clamp(1, Semaphore::MAX_PERMITS))),
        starting: Semaphore::new(STARTING),
        registry: Registry::new(members.clone(), tasks.stop().clone()),
        members,
        tasks,
        launcher,
        config,
        deps,
    });
    let outcome = tokio::select! {
        outcome = service.clone().work(&mut changes) => outcome,
        () = stop.cancelled() => Ok(()),
    };
    service.tasks.stop().cancel();
    service.tasks.drain(GRACE).await;
    service.members.leave().await;
    outcome
}

impl Service {
    /// Joins the others, loads what is there, then follows what comes.
    async fn work(self: Arc<Self>, changes: &mut Option<mpsc::Receiver<PodKey>>) -> Result<(), Error> {
        let member = self.clone();
        self.tasks.spawn("members", async move {
            if let Err(error) = member.members.run(member.tasks.stop()).await {
                debug!(%error, "no member any more");
                member.tasks.stop().cancel();
            }
        });
        let sharing = self.clone();
        self.tasks.spawn("shares", async move { sharing.share().await });
        let mut views = self.members.watch();
        tokio::select! {
            _ = views.wait_for(View::is_member) => {}
            () = self.tasks.stop().cancelled() => return Err(BusError::Closed.into()),
        }
        let position = self.load_patiently().await?;
        self.take_up();
        self.registry.forget_states();
        self.deps.health.ready(PART);
        let keeper = self.clone();
        self.tasks.spawn("keeper", async move { keeper.keep().await });
        let (strays, found) = mpsc::channel(strays::MOST);
        let tidying = self.clone();
        self.tasks.spawn("strays", async move { tidying.tidy_strays(found).await });
        let (deps, members, stop) = (self.deps.clone(), self.members.clone(), self.tasks.stop().clone());
        self.tasks.spawn("cron", cron::run(deps.bus, deps.catalog, deps.clock, members, stop));
        tokio::select! {
            outcome = self.follow(position) => outcome,
            () = self.route(changes, strays) => Ok(()),
        }
    }
}
