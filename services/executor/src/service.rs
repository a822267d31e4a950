//! The shell around the planner: it follows the journals, keeps the live workflows in memory, writes down what
//! the planner decides, and carries it out.
//!
//! One executor at a time owns all workflows, by a claim that it renews; another waits for it. Each append is
//! fenced by compare-and-set besides, so that an owner that has lost its claim unknowingly can write nothing.

mod driver;
mod follower;
mod keeper;
mod launch;
mod registry;
mod secrets;

use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Bus, Claim};
use tiphys_catalog::Catalog;
use tiphys_core::{Clock, chain};
use tiphys_kit::{CancellationToken, Health, Tasks};
use tokio::sync::Semaphore;
use tracing::{info, warn};

use crate::error::Error;
use crate::launcher::{ArtifactStore, Launcher};
use registry::Registry;

/// Name of the part in health.
const PART: &str = "executor";
/// What is claimed.
const CLAIM: &str = "executor";

/// How the executor works.
#[derive(Clone)]
pub struct Config {
    /// Who claims the workflows. A process that starts again under the same name has them at once; two that
    /// run at once must have different names.
    pub owner: String,
    /// A claim that is not renewed for so long passes on.
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
            claim_time: Duration::from_secs(15),
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
    tasks: Tasks,
    planners: Semaphore,
    pods: Arc<Semaphore>,
}

/// Runs until `stop`. What runs in pods goes on after that; the next start finds it.
///
/// # Errors
/// Fails when the bus is closed or the claim cannot be used.
pub async fn run(config: Config, deps: Deps, stop: CancellationToken) -> Result<(), Error> {
    deps.health.expect(PART);
    // Taken once for the process: a wake-up between two claims is not lost.
    let mut changes = deps.launcher.changes();
    while !stop.is_cancelled() {
        let Some(claim) = claim(&config, &deps, &stop).await? else {
            return Ok(());
        };
        let owned = stop.child_token();
        let service = Arc::new(Service {
            planners: Semaphore::new(config.planners.max(1)),
            pods: Arc::new(Semaphore::new(config.pods.max(1))),
            registry: Registry::default(),
            tasks: Tasks::new(owned.clone()),
            config: config.clone(),
            deps: deps.clone(),
        });
        info!(owner = config.owner, "owns the workflows");
        let outcome = tokio::select! {
            outcome = service.clone().own(&mut changes) => outcome,
            () = service.renew() => {
                warn!("the claim on the workflows is lost, waiting to have it again");
                Ok(())
            }
            () = stop.cancelled() => Ok(()),
        };
        owned.cancel();
        service.tasks.drain(Duration::from_secs(5)).await;
        outcome?;
        if stop.is_cancelled() {
            deps.bus.release(&claim).await?;
        }
    }
    Ok(())
}

/// Waits until the claim is ours. `None`: told to stop.
async fn claim(config: &Config, deps: &Deps, stop: &CancellationToken) -> Result<Option<Claim>, Error> {
    let pause = config.claim_time / 5;
    loop {
        let claimed = deps.bus.claim(CLAIM, &config.owner, config.claim_time).await;
        match claimed {
            Ok(Some(claim)) => return Ok(Some(claim)),
            Ok(None) => deps.health.failing(PART, "another executor owns the workflows"),
            Err(tiphys_bus::BusError::Closed) => return Err(tiphys_bus::BusError::Closed.into()),
            Err(error) => warn!(error = chain(&error), "the workflows cannot be claimed"),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Service {
    /// Renews the claim; returns once it is lost.
    async fn renew(&self) {
        let mut failing = Duration::ZERO;
        let pause = self.config.claim_time / 3;
        loop {
            tokio::time::sleep(pause).await;
            let claim = self.deps.bus.claim(CLAIM, &self.config.owner, self.config.claim_time);
            match claim.await {
                Ok(Some(_)) => failing = Duration::ZERO,
                Ok(None) => return,
                Err(error) => {
                    failing += pause;
                    warn!(error = chain(&error), "the claim on the workflows cannot be renewed");
                    if failing >= self.config.claim_time {
                        return;
                    }
                }
            }
        }
    }

    /// Loads what is there, then follows what comes.
    async fn own(
        self: Arc<Self>,
        changes: &mut Option<tokio::sync::mpsc::Receiver<tiphys_core::PodKey>>,
    ) -> Result<(), Error> {
        let position = self.load().await?;
        self.deps.health.ready(PART);
        let keeper = self.clone();
        self.tasks.spawn("keeper", async move { keeper.keep().await });
        tokio::select! {
            outcome = self.follow(position) => outcome,
            () = self.route(changes) => Ok(()),
        }
    }
}
