//! One engine, a launcher for each test, and pods for it.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use serde_json::{Value, json};
use tiphys_core::{PodKey, SystemClock};
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::docker::{Config, DockerLauncher};
use tiphys_executor::launcher::{
    ArtifactStore, LaunchError, Launcher, PodResult, PodSpec, PodState, Secrets,
};
use tiphys_kit::CancellationToken;
use tiphys_servers::Docker;
use tokio::sync::mpsc;

/// Longer than anything takes, on the slowest machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
pub(crate) const IMAGE: &str = "busybox";

static ENGINE: Mutex<Weak<Docker>> = Mutex::new(Weak::new());
static NUMBER: AtomicU32 = AtomicU32::new(0);

/// An engine with an image. The tests that run at the same time have it together; the last one ends it.
fn engine() -> Option<Arc<Docker>> {
    let mut known = ENGINE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(engine) = known.upgrade() {
        return Some(engine);
    }
    let engine = Arc::new(own_engine()?);
    *known = Arc::downgrade(&engine);
    Some(engine)
}

/// An engine for one test.
pub(crate) fn own_engine() -> Option<Docker> {
    let engine = tiphys_servers::docker()?;
    engine.import_busybox(IMAGE);
    Some(engine)
}

/// What one test has for itself.
pub(crate) struct Host {
    pub(crate) engine: Arc<Docker>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) config: Config,
    number: u32,
}

/// A launcher as one run of Tiphys has it.
pub(crate) struct Run {
    pub(crate) launcher: Arc<DockerLauncher>,
    pub(crate) store: Arc<dyn ArtifactStore>,
    pub(crate) changes: mpsc::Receiver<PodKey>,
    stop: CancellationToken,
}

impl Host {
    pub(crate) fn new() -> Option<Self> {
        Some(Self::on(engine()?))
    }

    pub(crate) fn on(engine: Arc<Docker>) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let dir = tempfile::tempdir().unwrap();
        let runner = tiphys_payload::runner().unwrap();
        let config = Config::new(
            engine.host(),
            runner.into(),
            dir.path().join("docker"),
            format!("{}-{number}", std::process::id()),
        );
        Self { engine, dir, config, number }
    }

    pub(crate) async fn run(&self) -> Run {
        Run::of(self, self.config.clone()).await
    }

    /// Uid of the workflow of this test's pods.
    pub(crate) fn uid(&self) -> String {
        uid(self.number)
    }

    pub(crate) fn workflow(&self) -> String {
        format!("wf{}", self.number)
    }

    /// A pod that runs a shell script, and that needs no runner.
    pub(crate) fn pod(&self, name: &str, script: &str) -> PodSpec {
        self.pod_of(name, json!({ "image": IMAGE, "command": ["sh", "-c"], "args": [script] }))
    }

    pub(crate) fn pod_of(&self, name: &str, container: Value) -> PodSpec {
        PodSpec { container, ..pod_of(self.number, name, "") }
    }

    /// What the engine says to a question of its client; nothing where it refuses.
    pub(crate) fn docker(&self, arguments: &[&str]) -> Option<String> {
        let output = self.engine.docker(arguments).stderr(Stdio::null()).output().unwrap();
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Names of this test's containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        let label = format!("label=tiphys.dev/installation={}", self.config.installation);
        let listed = self.docker(&["ps", "--all", "--filter", &label, "--format", "{{.Names}}"]).unwrap();
        listed.lines().map(str::to_owned).collect()
    }

    /// Names of this test's volumes.
    pub(crate) fn volumes(&self) -> Vec<String> {
        let label = format!("label=tiphys.dev/installation={}", self.config.installation);
        let listed = self.docker(&["volume", "ls", "--filter", &label, "--format", "{{.Name}}"]).unwrap();
        listed.lines().map(str::to_owned).collect()
    }

    /// Name of a pod's main container.
    pub(crate) fn name(&self, pod: &PodSpec) -> String {
        format!("tiphys-{}", pod.key)
    }
}

impl Run {
    pub(crate) async fn of(host: &Host, config: Config) -> Self {
        Self::on(config, Arc::new(LocalStore::open(&host.dir.path().join("artifacts")).unwrap())).await
    }

    /// With another store.
    pub(crate) async fn on(config: Config, store: Arc<dyn ArtifactStore>) -> Self {
        let stop = CancellationToken::new();
        let clock = Arc::new(SystemClock);
        let opened = DockerLauncher::open(config, store.clone(), clock, stop.clone()).await;
        let launcher = Arc::new(opened.unwrap());
        let changes = launcher.changes().unwrap();
        assert!(launcher.changes().is_none());
        Self { launcher, store, changes, stop }
    }

    pub(crate) async fn start(&self, pod: &PodSpec) {
        self.try_start(pod).await.unwrap();
    }

    pub(crate) async fn try_start(&self, pod: &PodSpec) -> Result<(), LaunchError> {
        self.launcher.start(pod, Secrets::default()).await
    }

    /// Starts a pod and waits for what comes of it.
    pub(crate) async fn through(&mut self, pod: &PodSpec) -> PodResult {
        self.start(pod).await;
        self.end_of(&pod.key).await
    }

    /// Waits for the end of a pod. It is looked at when the launcher says so, and not otherwise.
    pub(crate) async fn end_of(&mut self, key: &PodKey) -> PodResult {
        let found = self.until(key, |state| match state {
            PodState::Ended(result) => Some(*result),
            _ => None,
        });
        found.await
    }

    /// Looks at a pod whenever the launcher says that something has changed, until `look` finds something.
    pub(crate) async fn until<T>(&mut self, key: &PodKey, mut look: impl FnMut(PodState) -> Option<T>) -> T {
        loop {
            let state = self.launcher.observe(key).await.unwrap();
            if let Some(found) = look(state.clone()) {
                return found;
            }
            let changed = tokio::time::timeout(PATIENCE, self.changes.recv()).await;
            changed.unwrap_or_else(|_| panic!("waited too long at {state:?}")).unwrap();
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

/// Waits for something that nobody announces.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited too long: {what}"))
}

fn uid(number: u32) -> String {
    format!("uid-{number}")
}

/// A pod of a workflow with this number, that runs a shell script.
pub(crate) fn pod_of(number: u32, name: &str, script: &str) -> PodSpec {
    let workflow = format!("wf{number}");
    PodSpec {
        key: PodKey::derive(&uid(number), name, 0),
        name: format!("{workflow}-{name}-1"),
        namespace: "default".into(),
        workflow: workflow.clone(),
        workflow_uid: uid(number),
        node_id: format!("{workflow}-1"),
        template: name.into(),
        labels: BTreeMap::from([("app".into(), "scan".into())]),
        container: json!({ "image": IMAGE, "command": ["sh", "-c"], "args": [script] }),
        grace: Duration::from_secs(30),
        ..PodSpec::default()
    }
}

/// A launcher that stores no artifacts, in a process that is about to be killed.
pub(crate) async fn open(config: Config) -> DockerLauncher {
    let store = Arc::new(LocalStore::open(&config.folder.join("artifacts")).unwrap());
    DockerLauncher::open(config, store, Arc::new(SystemClock), CancellationToken::new()).await.unwrap()
}
