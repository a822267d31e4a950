//! Steps as containers of a Docker engine.
//!
//! All that is to be known of a step stands in its main container: whose it is in its labels, what became of it in its
//! state, what the runner reports in its files. So a step goes on when Tiphys ends, and is found again when it comes back.
//!
//! The name of the main container is the pod's key, which the engine gives once. Who made the container starts it; one that was made
//! and not started belongs to its maker for ten seconds, then it is taken away and made anew (its maker, should it go on,
//! finds it gone). While images are pulled and `initContainers` run there is nothing but that: after a crash `start` is
//! called again, as the step was never seen to run.
//!
//! Nothing is asked for again and again: the engine's event stream says what ended. When the stream breaks, all containers are
//! listed once it is there again.

mod claim;
mod end;
mod engine;
mod environment;
mod files;
mod image;
mod labels;
mod limits;
mod logs;
mod network;
mod part;
mod pause;
mod plan;
mod pull;
mod ready;
mod security;
mod start;
mod stop;
mod volumes;
mod watch;
mod whole;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::Docker;
use bytes::Bytes;
use tiphys_core::{Clock, PodKey, Timestamp};
use tiphys_kit::{CancellationToken, Health, Tasks};
use tokio::sync::{Semaphore, mpsc};

use super::{
    ArtifactStore, Ended, LaunchError, Launcher, LogLine, PodResult, PodSpec, PodState, PodVerdict, Secrets,
};
use crate::scratch::Scratch;

/// The name under which it is told whether the engine answers; it does not count.
pub const PART: &str = "executor/docker";
/// How many wake-ups may wait.
const CHANGES: usize = 1024;
/// Locks that calls for the same key share; more than calls that run at once.
const LOCKS: usize = 64;
/// How many ended containers are looked at, or taken away, at the same time.
const TIDIES: usize = 16;

/// How steps are run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the engine listens: `unix:///PATH`, `tcp://HOST:PORT` (see [`Config::host`]).
    pub host: String,
    /// The static runner. Empty: steps that need it are refused, and each has a network of its own.
    pub runner: Bytes,
    /// Folder of the logs of containers that are gone.
    pub folder: PathBuf,
    /// Whose containers these are. Those of other installations on the same engine are left alone.
    pub installation: String,
    /// What names at the engine begin with.
    pub prefix: String,
    /// Variables that every container gets, such as `TIPHYS_SERVER`.
    pub environment: BTreeMap<String, String>,
    /// Under which name containers find the engine's host; `None`: under none.
    pub host_name: Option<String>,
    /// The network that containers are in; `None`: the engine's usual one.
    pub network: Option<String>,
    /// Whether the pods of a workflow share one network.
    pub shared_network: bool,
    /// For all containers: a root that cannot be written, no capability, no new privileges; `/tmp` is memory.
    pub restricted: bool,
    /// Whether a manifest may mount folders of the host, use its network, and ask for `privileged`, for capabilities beyond
    /// Docker's own and for no seccomp: who may write a workflow then owns the host. Not where `restricted`.
    pub trust_manifests: bool,
    /// Processes that a container may have; 0: any number.
    pub pids: i64,
    /// Bytes of log that are kept of a container.
    pub log_limit: u64,
    /// How many containers are started at the same time.
    pub starts: usize,
    /// How often an image is tried to be pulled before the step ends.
    pub pulls: u32,
    /// Where [`PART`] is told.
    pub health: Health,
}

impl Config {
    /// The usual settings.
    #[must_use]
    pub fn new(host: String, runner: Bytes, folder: PathBuf, installation: String) -> Self {
        Self {
            host,
            runner,
            folder,
            installation,
            prefix: "tiphys-".to_owned(),
            environment: BTreeMap::new(),
            host_name: Some("host.docker.internal".to_owned()),
            network: None,
            shared_network: true,
            restricted: false,
            trust_manifests: false,
            pids: 4096,
            log_limit: 64 << 20,
            starts: 16,
            pulls: 3,
            health: Health::default(),
        }
    }

    /// Where an engine is, by the value of `DOCKER_HOST` as Docker's own client understands it.
    #[must_use]
    pub fn host(docker_host: Option<&str>) -> String {
        let usual = "unix:///var/run/docker.sock";
        docker_host.filter(|host| !host.is_empty()).unwrap_or(usual).to_owned()
    }

    /// Says what is wrong with an address that cannot be spoken to, however long it is tried.
    ///
    /// # Errors
    /// It is neither `unix://`, `tcp://` nor `http://`.
    pub fn check_host(host: &str) -> Result<(), String> {
        if ["unix://", "tcp://", "http://"].iter().any(|scheme| host.starts_with(scheme)) {
            return Ok(());
        }
        Err(format!(
            "the Docker engine is said to be at {host:?}, and only unix://PATH and tcp://HOST:PORT without TLS are spoken \
             here. To use an engine elsewhere, forward its socket (`ssh -L /tmp/docker.sock:/var/run/docker.sock HOST`) and \
             set DOCKER_HOST=unix:///tmp/docker.sock; to use none, unset DOCKER_HOST"
        ))
    }
}

/// The launcher. Several executors may have one each on the same engine.
pub struct DockerLauncher {
    shared: Arc<Shared>,
    changes: Mutex<Option<mpsc::Receiver<PodKey>>>,
}

/// What the launcher and its tasks share.
struct Shared {
    config: Config,
    docker: Docker,
    /// The engine's own id, and the name of its host.
    engine: String,
    node: String,
    store: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    scratch: Scratch,
    pods: Mutex<HashMap<PodKey, Pod>>,
    pauses: pause::Pauses,
    /// Containers that others made and have not started, and when they were first seen.
    unstarted: Mutex<HashMap<String, Instant>>,
    /// Containers whose start was not answered.
    unsure: Mutex<HashSet<String>>,
    cursors: Mutex<HashMap<PodKey, logs::Cursor>>,
    changed: mpsc::Sender<PodKey>,
    tasks: Tasks,
    starts: Semaphore,
    tidies: Semaphore,
    locks: Vec<tokio::sync::Mutex<()>>,
}

/// A pod that is known.
#[derive(Debug, Clone)]
enum Pod {
    /// Its main container was not started yet.
    Pending {
        message: String,
        cancel: CancellationToken,
    },
    Running {
        started: Timestamp,
        ready: bool,
        address: Option<String>,
    },
    Ended {
        result: Arc<PodResult>,
        parts: bool,
    },
}

impl Pod {
    fn state(&self) -> PodState {
        match self {
            Self::Pending { message, .. } => PodState::Pending { message: message.clone() },
            Self::Running { started, ready, address } => {
                PodState::Running { started: *started, ready: *ready, address: address.clone() }
            }
            Self::Ended { result, .. } => PodState::Ended(Box::new(result.as_ref().clone())),
        }
    }
}

impl DockerLauncher {
    /// Connects to the engine, and announces all containers that are there. Watching ends with `stop`; the steps do not.
    ///
    /// # Errors
    /// When no engine answers, or the folder cannot be used.
    pub async fn open(
        config: Config,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<Self, LaunchError> {
        let (changed, changes) = mpsc::channel(CHANGES);
        let docker = engine::connect(&config.host).await?;
        let info = docker.info().await.map_err(|error| LaunchError::from(engine::Trouble::from(error)))?;
        let folder = config.folder.clone();
        let scratch = blocking(move || {
            std::fs::create_dir_all(folder.join(logs::FOLDER))?;
            Scratch::open(folder.join("scratch"))
        });
        let shared = Arc::new(Shared {
            engine: info.id.unwrap_or_default(),
            node: info.name.unwrap_or_default(),
            scratch: scratch.await?,
            docker,
            store,
            clock,
            pods: Mutex::default(),
            pauses: pause::Pauses::default(),
            unstarted: Mutex::default(),
            unsure: Mutex::default(),
            cursors: Mutex::default(),
            changed,
            tasks: Tasks::new(stop),
            starts: Semaphore::new(config.starts.max(1)),
            tidies: Semaphore::new(TIDIES),
            locks: (0..LOCKS).map(|_| tokio::sync::Mutex::default()).collect(),
            config,
        });
        let watching = Arc::clone(&shared);
        shared.tasks.spawn("watch containers", async move { watching.watch().await });
        Ok(Self { shared, changes: Mutex::new(Some(changes)) })
    }

    /// Waits for the tasks to end, once `stop` was cancelled.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.shared.tasks.drain(grace).await
    }
}

impl Shared {
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

    fn drop_pod(&self, key: &PodKey) {
        self.pods().remove(key);
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[async_trait]
impl Launcher for DockerLauncher {
    fn identity(&self) -> Option<String> {
        Some(self.shared.engine.clone())
    }

    fn path_of(&self, _key: &PodKey, _on_host: bool, path: &str) -> String {
        path.to_owned()
    }

    async fn start(&self, pod: &PodSpec, secrets: Secrets) -> Result<(), LaunchError> {
        plain(&pod.key)?;
        let _lock = self.shared.lock(&pod.key).await;
        self.shared.start(pod, &secrets).await
    }

    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError> {
        if let Some(pod) = self.shared.pod(key) {
            return Ok(pod.state());
        }
        plain(key)?;
        let _lock = self.shared.lock(key).await;
        self.shared.resolve(key).await
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError> {
        plain(key)?;
        let _lock = self.shared.lock(key).await;
        self.shared.stop(key).await
    }

    async fn logs(&self, key: &PodKey, from: usize, max: usize) -> Result<Vec<LogLine>, LaunchError> {
        plain(key)?;
        self.shared.logs(key, from, max).await
    }

    async fn forget(&self, key: &PodKey) {
        let _lock = self.shared.lock(key).await;
        self.shared.forget(key).await;
    }

    async fn over(&self, workflow: &Ended) {
        self.shared.over(workflow).await;
    }

    fn leave(&self, key: &PodKey) {
        self.shared.drop_pod(key);
    }

    async fn remove(&self, key: &PodKey) {
        let _lock = self.shared.lock(key).await;
        self.shared.remove(key).await;
    }
}

/// A key becomes a name at the engine and of a file.
fn plain(key: &PodKey) -> Result<(), LaunchError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if key.0.is_empty() || !key.0.bytes().all(plain) {
        return Err(LaunchError::Missing(format!("{:?} is no key of a pod", key.0)));
    }
    Ok(())
}

/// What is said of an option that a container of Docker cannot have.
fn refused(what: &str) -> String {
    format!(
        "TIP-EXE-103: a container of Docker cannot have {what}; leave it out, or run this in pods (`--launcher \
         kubernetes`)"
    )
}

/// Runs what waits for the disk where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, LaunchError> {
    let done = tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other);
    done.flatten().map_err(|error| LaunchError::Unavailable(format!("the launcher's folder: {error}")))
}

/// Something around the step failed.
fn error(started: Option<Timestamp>, finished: Timestamp, message: String) -> PodResult {
    PodResult {
        started,
        finished,
        exit_code: None,
        verdict: PodVerdict::Error,
        message,
        result: None,
        parameters: BTreeMap::new(),
        artifacts: Vec::new(),
        host: None,
    }
}
