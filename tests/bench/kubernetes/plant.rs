//! An executor that launches pods, a control plane, and a kubelet that ends them.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::ensure;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::Client;
use tiphys_bus::streams;
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::Launcher;
use tiphys_executor::launcher::kubernetes::{Config, KubernetesLauncher};
use tiphys_servers::kubernetes::{Part, Setup};
use tiphys_servers::{Fate, Kubelet, Kubernetes, Stub};
use tokio::runtime::Runtime;

use crate::stage::{self, DEADLINE, Stage};
use crate::steps::{Ends, follow, submit_one, workflow};

/// Who the executor is at the API server.
pub(super) const EXECUTOR: &str = "executor";
/// Who the bare client is.
pub(super) const BARE: &str = "bare";

/// All that a bench needs.
pub(super) struct Plant {
    pub(super) runtime: Runtime,
    pub(super) bare: Client,
    /// Who looks on.
    pub(super) onlooker: Client,
    stage: Stage,
    launcher: Arc<KubernetesLauncher>,
    submitted: usize,
    _kubelet: Kubelet,
    _folder: tempfile::TempDir,
    pub(super) cluster: Kubernetes,
}

impl Plant {
    /// Starts it; none where Kubernetes is missing.
    pub(super) fn open(audited: bool) -> anyhow::Result<Option<Self>> {
        let setup = if audited { Setup::new().audited() } else { Setup::new() };
        let Some(cluster) = setup.start() else { return Ok(None) };
        // The stub takes every pod at once.
        cluster.kill(Part::Scheduler);
        let kubelet = Stub::new("stub").binding().start(&cluster, |_| Fate::exits(0));
        let folder = tempfile::tempdir()?;
        let runtime = stage::runtime()?;
        let (stage, launcher) =
            runtime.block_on(async { start(cluster.config_as(EXECUTOR).await, folder.path()).await })?;
        let (bare, onlooker) = runtime.block_on(async {
            let bare = Client::try_from(cluster.config_as(BARE).await)?;
            anyhow::Ok((bare, cluster.client().await))
        })?;
        Ok(Some(Self {
            runtime,
            bare,
            onlooker,
            stage,
            launcher,
            submitted: 0,
            _kubelet: kubelet,
            _folder: folder,
            cluster,
        }))
    }

    /// A number that was not yet given.
    pub(super) const fn next(&mut self) -> usize {
        self.submitted += 1;
        self.submitted
    }

    /// Runs so many workflows of so many pods, all submitted together; gives seconds.
    pub(super) fn through(&mut self, steps: usize, count: usize) -> anyhow::Result<f64> {
        let first = self.submitted + 1;
        self.submitted += count;
        let bus = self.stage.bus.clone();
        self.runtime.block_on(async {
            let after = bus.info(streams::WORKFLOWS).await?.last;
            let ends = Ends::default();
            let document = workflow(steps);
            let begin = Instant::now();
            let submitting = stream::iter(first..first + count)
                .map(|number| submit_one(&bus, &ends, &document, number))
                .buffer_unordered(count)
                .try_collect::<Vec<()>>();
            let following = follow(&bus, &ends, after, count);
            let both = async { tokio::try_join!(submitting, following) };
            stage::within("the end of all workflows", both).await??;
            Ok(begin.elapsed().as_secs_f64())
        })
    }

    /// Stops it.
    pub(super) fn close(self) -> anyhow::Result<()> {
        let Self { runtime, stage, launcher, .. } = self;
        runtime.block_on(async {
            stage.close().await?;
            ensure!(launcher.drain(DEADLINE).await, "the launcher does not end");
            Ok(())
        })
    }
}

/// An executor in a folder, and what it launches pods by.
pub(super) async fn start(
    server: kube::Config,
    folder: &Path,
) -> anyhow::Result<(Stage, Arc<KubernetesLauncher>)> {
    let mut stage = Stage::open(stage::durable(&folder.join("bus"))?, "").await?;
    let store = Arc::new(LocalStore::open(&folder.join("artifacts"))?);
    let client = Client::try_from(server)?;
    let config = Config::new("bench".into(), "of a bench".to_owned().into(), folder.join("scratch"));
    let (clock, stop) = (stage.clock.clone(), stage.stop());
    let launcher = Arc::new(KubernetesLauncher::open(config, client, store, clock, stop).await?);
    let deps = tiphys_executor::Deps {
        bus: stage.bus.clone(),
        catalog: stage.catalog.clone(),
        launcher: Arc::clone(&launcher) as Arc<dyn Launcher>,
        clock: stage.clock.clone(),
        health: stage.health.clone(),
    };
    let config = tiphys_executor::Config {
        // What waits for a place is not what is measured, and taking away what ended is other work than running it.
        pods: usize::MAX,
        finished_max: usize::MAX,
        ..tiphys_executor::Config::default()
    };
    stage.group.spawn("executor", move |stop| tiphys_executor::run(config, deps, stop));
    stage.ready("executor").await?;
    Ok((stage, launcher))
}
