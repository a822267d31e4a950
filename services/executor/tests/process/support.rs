//! A launcher in a folder of its own, and pods for it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tiphys_core::{PodKey, SystemClock};
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::process::{Config, ProcessLauncher};
use tiphys_executor::launcher::{
    ArtifactStore, LaunchError, Launcher, PodResult, PodSpec, PodState, Secrets,
};
use tiphys_kit::CancellationToken;
use tokio::sync::mpsc;

/// Longer than anything takes, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Config,
}

/// A launcher as one run of Tiphys has it.
pub(crate) struct Run {
    pub(crate) launcher: Arc<ProcessLauncher>,
    pub(crate) store: Arc<LocalStore>,
    pub(crate) changes: mpsc::Receiver<PodKey>,
    stop: CancellationToken,
}

impl Host {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
        let runner = [own.as_str(), "--exact", "be_the_runner", "--nocapture"];
        let config = Config::new(
            dir.path().join("steps"),
            runner.map(String::from).into(),
            "/usr/local/bin:/usr/bin:/bin".into(),
            "/home/step".into(),
            tiphys_runner::proc::boot_id().unwrap(),
        );
        Self { dir, config }
    }

    pub(crate) async fn run(&self) -> Run {
        let store = Arc::new(LocalStore::open(&self.dir.path().join("artifacts")).unwrap());
        let stop = CancellationToken::new();
        let launcher = Arc::new(self.launcher(store.clone(), stop.clone()).await.unwrap());
        let changes = launcher.changes().unwrap();
        assert!(launcher.changes().is_none());
        Run { launcher, store, changes, stop }
    }

    /// Whether the folder can be opened.
    pub(crate) async fn open(&self) -> Result<ProcessLauncher, LaunchError> {
        let store = Arc::new(LocalStore::open(&self.dir.path().join("artifacts")).unwrap());
        self.launcher(store, CancellationToken::new()).await
    }

    async fn launcher(
        &self,
        store: Arc<LocalStore>,
        stop: CancellationToken,
    ) -> Result<ProcessLauncher, LaunchError> {
        let store = store as Arc<dyn ArtifactStore>;
        ProcessLauncher::open(self.config.clone(), store, Arc::new(SystemClock), stop).await
    }

    /// The folder of a pod.
    pub(crate) fn folder(&self, key: &PodKey) -> PathBuf {
        self.config.root.join(&key.0)
    }
}

impl Run {
    /// Starts a pod and waits for what comes of it.
    pub(crate) async fn through(&mut self, pod: &PodSpec) -> PodResult {
        self.launcher.start(pod, Secrets::default()).await.unwrap();
        self.end_of(&pod.key).await
    }

    /// Waits for the end of a pod.
    pub(crate) async fn end_of(&mut self, key: &PodKey) -> PodResult {
        loop {
            if let PodState::Ended(result) = self.launcher.observe(key).await.unwrap() {
                return *result;
            }
            tokio::time::timeout(PATIENCE, self.changes.recv()).await.unwrap().unwrap();
        }
    }

    /// What Tiphys does when it ends; the steps go on.
    pub(crate) async fn end(self) {
        self.stop.cancel();
        assert!(self.launcher.drain(PATIENCE).await);
    }

    pub(crate) async fn texts(&self, key: &PodKey) -> Vec<String> {
        let lines = self.launcher.logs(key, 0, usize::MAX).await.unwrap();
        lines.into_iter().map(|line| line.text).collect()
    }
}

/// A pod that runs a shell script.
pub(crate) fn pod(name: &str, script: &str) -> PodSpec {
    let container = json!({ "image": "busybox", "command": ["sh", "-c"], "args": [script] });
    pod_of(name, container)
}

pub(crate) fn pod_of(name: &str, container: serde_json::Value) -> PodSpec {
    PodSpec {
        key: PodKey::derive("uid", name, 0),
        name: format!("wf-{name}-1"),
        namespace: "default".into(),
        workflow: "wf".into(),
        workflow_uid: "uid".into(),
        node_id: "wf-1".into(),
        template: name.into(),
        labels: BTreeMap::from([("app".into(), "scan".into())]),
        container,
        capture_result: true,
        grace: Duration::from_secs(30),
        process_allowed: true,
        ..PodSpec::default()
    }
}

/// Waits for something on disk.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look() {
                return found;
            }
            tokio::task::yield_now().await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

/// The number in a file, once it is there.
pub(crate) async fn number(path: PathBuf) -> i32 {
    until("a number is written", || std::fs::read_to_string(&path).ok()?.strip_suffix('\n')?.parse().ok())
        .await
}

pub(crate) fn runs(pid: i32) -> bool {
    tiphys_runner::proc::stat(pid).is_some_and(|stat| stat.state != 'Z')
}

pub(crate) fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
}
