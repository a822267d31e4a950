//! Steps as processes of this machine: a folder and a runner per step.
//!
//! A step goes on when Tiphys ends, and is found again when it comes back: all that is to be known stands in
//! its folder (see `tiphys_runner`). A folder is filled aside, synced, and moved to its place before the runner is
//! spawned; the runner claims it exclusively before it does anything. So two processes that start one step start it
//! once, wherever one of them is stopped and goes on; and after a crash
//! - no folder: nothing was spawned; `start` begins anew,
//! - `spec.json` of this boot, unclaimed: nothing ran yet; `start` spawns again, and if a runner of before
//!   should still get there, one of the two finds the folder claimed,
//! - `spec.json` of an earlier boot, no `exit.json`: it may have run; the step is Error, never run again.
//!
//! Limits of `resources` are not enforced, and volumes are not mounted: this is the host.

mod environment;
mod folder;
mod input;
mod place;
mod prepare;
mod reader;
mod report;
mod sweep;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tiphys_core::{Clock, PodKey};
use tiphys_kit::{CancellationToken, Tasks};
use tokio::sync::{Semaphore, mpsc};

use super::{
    ArtifactStore, LaunchError, Launcher, LogLine, PodResult, PodSpec, PodState, SecretEnvironment, Secrets,
};
use folder::Folder;
use place::Place;
pub use reader::LogReader;
use watch::Runner;

/// How many wake-ups may wait.
const CHANGES: usize = 1024;
/// Locks that calls for the same key share; more than calls that run at once.
const LOCKS: usize = 64;

/// Which steps may run on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Those whose manifest says so (`tiphys.dev/launcher: process`).
    #[default]
    Auto,
    /// All.
    Process,
}

/// How steps are run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the step folders.
    pub root: PathBuf,
    /// Which steps may run.
    pub policy: Policy,
    /// Program and arguments that run `tiphys_runner::main` for a folder given as last argument.
    pub runner: Vec<String>,
    /// PATH of the steps.
    pub path: String,
    /// HOME of the steps.
    pub home: String,
    /// A folder in front of PATH.
    pub extra_path: Option<PathBuf>,
    /// Variables that every step gets, such as `TIPHYS_SERVER`.
    pub environment: BTreeMap<String, String>,
    /// Variables of the server that a template may name by `tiphys.dev/inherit-env`. They may be secret, and are
    /// handed over as secrets are.
    pub inheritable: SecretEnvironment,
    /// Bytes of log that are kept of a step.
    pub log_limit: u64,
    /// How many steps are started at the same time.
    pub starts: usize,
    /// How long after a step's grace its runner counts as stuck.
    pub stuck: Duration,
    /// Identity of this boot of the machine, as `tiphys_runner::proc::boot_id` tells it.
    pub boot: String,
}

impl Config {
    /// The usual settings.
    #[must_use]
    pub fn new(root: PathBuf, runner: Vec<String>, path: String, home: String, boot: String) -> Self {
        Self {
            root,
            policy: Policy::Auto,
            runner,
            path,
            home,
            extra_path: None,
            environment: BTreeMap::new(),
            inheritable: SecretEnvironment::new(),
            log_limit: 64 << 20,
            starts: 16,
            stuck: Duration::from_secs(15),
            boot,
        }
    }
}

/// The launcher. Several processes of a machine may have one each on the same folder.
pub struct ProcessLauncher {
    shared: Arc<Shared>,
    changes: Mutex<Option<mpsc::Receiver<PodKey>>>,
}

/// What the launcher and its watchers share.
struct Shared {
    config: Arc<Config>,
    place: Arc<Place>,
    store: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    pods: Mutex<HashMap<PodKey, Pod>>,
    /// Where reading a log stopped: line and byte.
    cursors: Mutex<HashMap<PodKey, (usize, u64)>>,
    changed: mpsc::Sender<PodKey>,
    tasks: Tasks,
    starts: Semaphore,
    locks: Vec<tokio::sync::Mutex<()>>,
}

/// A pod that is known.
#[derive(Clone)]
enum Pod {
    Running { runner: Arc<Runner>, stopping: bool },
    Ended(Arc<PodResult>),
}

impl Pod {
    fn state(&self) -> PodState {
        match self {
            Self::Running { runner, .. } => {
                PodState::Running { started: runner.started, ready: true, address: None }
            }
            Self::Ended(result) => PodState::Ended(Box::new(result.as_ref().clone())),
        }
    }
}

impl ProcessLauncher {
    /// Opens the folder, and announces all that is there; who is asked about a step watches it from then on.
    /// Watching ends with `stop`; the steps do not.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub async fn open(
        config: Config,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<Self, LaunchError> {
        let (changed, changes) = mpsc::channel(CHANGES);
        let (root, boot) = (config.root.clone(), config.boot.clone());
        let place = Arc::new(blocking(move || Place::open(&root, &boot)).await?);
        let shared = Arc::new(Shared {
            starts: Semaphore::new(config.starts.max(1)),
            config: Arc::new(config),
            place,
            store,
            clock,
            pods: Mutex::default(),
            cursors: Mutex::default(),
            changed,
            tasks: Tasks::new(stop),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
        });
        let root = shared.config.root.clone();
        let found = blocking(move || folder::scan(&root)).await?;
        let recovering = Arc::clone(&shared);
        shared.tasks.spawn("announce steps", async move {
            for key in found {
                recovering.announce(&key).await;
            }
        });
        Ok(Self { shared, changes: Mutex::new(Some(changes)) })
    }

    /// Waits for the watchers to end, once `stop` was cancelled.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.shared.tasks.drain(grace).await
    }
}

impl Shared {
    fn folder(&self, key: &PodKey) -> Result<Folder, LaunchError> {
        Folder::new(&self.config.root, key)
    }

    fn pods(&self) -> MutexGuard<'_, HashMap<PodKey, Pod>> {
        self.pods.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pod(&self, key: &PodKey) -> Option<Pod> {
        self.pods().get(key).cloned()
    }

    /// Calls for one key come one after another.
    async fn lock(&self, key: &PodKey) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        let sum = key.0.bytes().fold(0_usize, |sum, byte| sum.wrapping_mul(31) + usize::from(byte));
        match self.locks.get(sum % LOCKS) {
            Some(lock) => Some(lock.lock().await),
            None => None,
        }
    }

    async fn announce(&self, key: &PodKey) {
        tokio::select! {
            _ = self.changed.send(key.clone()) => {}
            () = self.tasks.stop().cancelled() => {}
        }
    }

    /// Starts a pod whose key nobody else is working on.
    async fn start(self: &Arc<Self>, pod: &PodSpec, secrets: SecretEnvironment) -> Result<(), LaunchError> {
        let folder = self.folder(&pod.key)?;
        if self.pod(&pod.key).is_some() {
            return Ok(());
        }
        if folder.path.exists()
            && (self.resolve(&pod.key).await? != PodState::Unknown || folder.was_started())
        {
            return Ok(());
        }
        prepare::allowed(self.config.policy, pod)?;
        let secrets = environment::with_inherited(&self.config, pod, secrets);
        let contents = input::fetch(&*self.store, pod, self.place.drafts.next()).await?;
        let _permit = self.starts.acquire().await.ok();
        let key = pod.key.clone();
        let (config, clock, pod) = (Arc::clone(&self.config), Arc::clone(&self.clock), pod.clone());
        let place = Arc::clone(&self.place);
        let (child, written) = blocking(move || {
            let written =
                prepare::folder(&config, (&folder, &place.drafts), &pod, &secrets, contents, clock.now())?;
            let child = prepare::spawn(&config, &folder, &pod, &secrets)?;
            Ok((child, written))
        })
        .await?;
        let runner = Runner::of_child(child, written)?;
        self.watch_pod(&key, runner);
        Ok(())
    }
}

#[async_trait]
impl Launcher for ProcessLauncher {
    fn identity(&self) -> Option<String> {
        Some(self.shared.place.identity.clone())
    }

    fn path_of(&self, key: &PodKey, _on_host: bool, path: &str) -> String {
        folder::path_of(&self.shared.config.root, key, path)
    }

    async fn start(&self, pod: &PodSpec, secrets: Secrets) -> Result<(), LaunchError> {
        let _lock = self.shared.lock(&pod.key).await;
        self.shared.start(pod, secrets.into_main()).await
    }

    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError> {
        if let Some(pod) = self.shared.pod(key) {
            return Ok(pod.state());
        }
        let _lock = self.shared.lock(key).await;
        self.shared.resolve(key).await
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError> {
        let _lock = self.shared.lock(key).await;
        self.shared.resolve(key).await?;
        self.shared.stop(key)
    }

    async fn logs(&self, key: &PodKey, from: usize, max: usize) -> Result<Vec<LogLine>, LaunchError> {
        let folder = self.shared.folder(key)?;
        let cursors = || self.shared.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cursors().get(key).copied().filter(|(line, _)| *line <= from);
        let read = blocking(move || folder.log(known.unwrap_or_default(), from, max)).await?;
        cursors().insert(key.clone(), read.cursor);
        Ok(read.lines)
    }

    async fn forget(&self, key: &PodKey) {
        let _lock = self.shared.lock(key).await;
        if matches!(self.shared.resolve(key).await, Ok(PodState::Running { .. })) {
            return;
        }
        self.shared.drop_pod(key);
        self.shared.tidy(key, Folder::tidy).await;
    }

    fn leave(&self, key: &PodKey) {
        self.shared.drop_pod(key);
    }

    async fn remove(&self, key: &PodKey) {
        let _lock = self.shared.lock(key).await;
        let _ = self.shared.resolve(key).await;
        if let Some(Pod::Running { runner, .. }) = self.shared.pod(key) {
            runner.kill();
            runner.ended().await;
            let (key, session) = (key.clone(), runner.pid);
            let swept = blocking(move || {
                sweep::end(&key, Some(session));
                Ok(())
            });
            let _ = swept.await;
        }
        self.shared.drop_pod(key);
        self.shared.tidy(key, Folder::remove).await;
    }
}

impl Shared {
    fn drop_pod(&self, key: &PodKey) {
        self.pods().remove(key);
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    async fn tidy(&self, key: &PodKey, how: fn(&Folder) -> std::io::Result<()>) {
        let Ok(folder) = self.folder(key) else { return };
        let tidied = blocking(move || how(&folder).map_err(|error| unavailable(&error)));
        if let Err(error) = tidied.await {
            tracing::warn!(%key, %error, "a step folder could not be tidied up");
        }
    }
}

/// Runs what waits for the disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LaunchError> + Send + 'static,
) -> Result<T, LaunchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(panic) => Err(unavailable(&std::io::Error::other(panic))),
    }
}

fn unavailable(error: &std::io::Error) -> LaunchError {
    LaunchError::Unavailable(format!("the step's folder: {error}"))
}
