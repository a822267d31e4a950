//! Executors on a bus in memory, with launchers that do as they are told.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tiphys_bus::{Bus, streams};
use tiphys_catalog::Catalog;
use tiphys_core::workflow::{Command, Verb};
use tiphys_core::{Clock, PodKey, SystemClock};
use tiphys_executor::launcher::{
    Ended, LaunchError, Launcher, LogLine, PodResult, PodSpec, PodState, PodVerdict, Secrets, StoredArtifact,
};
use tiphys_executor::projection::Projection;
use tiphys_executor::{Config, Deps, Error, submit};
use tiphys_kit::{CancellationToken, Health};
use tokio::sync::mpsc;

use crate::gate::Gate;

/// Where pods run, seen by one launcher or several.
#[derive(Default)]
pub(crate) struct Host {
    pub(crate) pods: Mutex<HashMap<PodKey, PodState>>,
    pub(crate) specs: Mutex<Vec<(PodSpec, Vec<String>)>>,
    pub(crate) removed: Mutex<Vec<PodKey>>,
    listeners: Mutex<Vec<mpsc::Sender<PodKey>>>,
    identity: Option<String>,
}

/// A launcher whose pods end when the test says so, or at once.
pub(crate) struct Fake {
    pub(crate) host: Arc<Host>,
    at_once: bool,
    pub(crate) forgotten: Mutex<Vec<PodKey>>,
    /// Workflows that it was told have ended.
    pub(crate) over: Mutex<Vec<Ended>>,
    receiver: Mutex<Option<mpsc::Receiver<PodKey>>>,
    /// Closed: whoever calls the launcher is stopped until it opens again.
    pub(crate) gate: Gate,
    /// Closed: starts wait.
    pub(crate) hold: Gate,
    /// Its server does not answer.
    pub(crate) away: AtomicBool,
    /// Of these pods nobody answers.
    pub(crate) unseen: Mutex<Vec<PodKey>>,
    /// How often it was told to stop a pod.
    pub(crate) stops: AtomicUsize,
}

impl Fake {
    pub(crate) fn new(at_once: bool) -> Arc<Self> {
        Self::on(Arc::default(), at_once)
    }

    /// A launcher on a host of this identity.
    pub(crate) fn named(identity: &str, at_once: bool) -> Arc<Self> {
        let host = Host { identity: Some(identity.into()), ..Host::default() };
        Self::on(Arc::new(host), at_once)
    }

    /// One more launcher on the same host.
    pub(crate) fn beside(&self) -> Arc<Self> {
        Self::on(self.host.clone(), self.at_once)
    }

    fn on(host: Arc<Host>, at_once: bool) -> Arc<Self> {
        let (changes, receiver) = mpsc::channel(1000);
        host.listeners.lock().unwrap().push(changes);
        Arc::new(Self {
            host,
            at_once,
            forgotten: Mutex::default(),
            over: Mutex::default(),
            receiver: Mutex::new(Some(receiver)),
            gate: Gate::default(),
            hold: Gate::default(),
            away: AtomicBool::default(),
            unseen: Mutex::default(),
            stops: AtomicUsize::default(),
        })
    }

    pub(crate) async fn end(&self, key: &PodKey, code: i32) {
        let result = PodResult {
            started: None,
            finished: SystemClock.now(),
            exit_code: Some(code),
            verdict: if code == 0 { PodVerdict::Succeeded } else { PodVerdict::Failed },
            message: if code == 0 { String::new() } else { format!("Error (exit code {code})") },
            result: None,
            parameters: BTreeMap::new(),
            artifacts: self.stored(key),
            host: None,
        };
        let state = PodState::Ended(Box::new(result));
        self.host.pods.lock().unwrap().insert(key.clone(), state);
        self.tell(key).await;
    }

    /// All that the pod was to store.
    fn stored(&self, key: &PodKey) -> Vec<StoredArtifact> {
        let specs = self.host.specs.lock().unwrap();
        let wanted =
            specs.iter().filter(|(spec, _)| spec.key == *key).flat_map(|(spec, _)| &spec.output_artifacts);
        let stored = wanted.map(|artifact| StoredArtifact {
            name: artifact.name.clone(),
            key: artifact.key.clone(),
            archive: artifact.archive,
            size: 1,
            sha256: String::new(),
        });
        stored.collect()
    }

    /// Tells everybody that a pod may have changed.
    pub(crate) async fn tell(&self, key: &PodKey) {
        let listeners = self.host.listeners.lock().unwrap().clone();
        for listener in listeners {
            // Nobody listens between two processes.
            let _ = listener.send(key.clone()).await;
        }
    }

    fn answers(&self) -> Result<(), LaunchError> {
        match self.away.load(Ordering::SeqCst) {
            true => Err(LaunchError::Unavailable("the server does not answer".into())),
            false => Ok(()),
        }
    }

    pub(crate) fn started(&self) -> Vec<PodSpec> {
        self.host.specs.lock().unwrap().iter().map(|(spec, _)| spec.clone()).collect()
    }
}

#[async_trait]
impl Launcher for Fake {
    fn identity(&self) -> Option<String> {
        self.host.identity.clone().filter(|_| self.answers().is_ok())
    }

    async fn await_identity(&self) {
        while self.answers().is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn path_of(&self, _: &PodKey, _: bool, path: &str) -> String {
        path.to_owned()
    }

    async fn start(&self, pod: &PodSpec, secrets: Secrets) -> Result<(), LaunchError> {
        let image = pod.container["image"].as_str().unwrap_or_default();
        if image == "forbidden" {
            return Err(LaunchError::NotAllowed("not here; use another launcher".into()));
        }
        self.hold.pass().await;
        self.gate.pass().await;
        self.answers()?;
        let known = {
            let mut pods = self.host.pods.lock().unwrap();
            let known = pods.contains_key(&pod.key);
            pods.entry(pod.key.clone()).or_insert(PodState::Running {
                started: SystemClock.now(),
                ready: true,
                address: None,
            });
            known
        };
        if !known {
            let files = secrets.files.iter().flat_map(|(volume, files)| {
                files.iter().map(move |file| format!("{volume}/{} {:o}", file.path, file.mode))
            });
            let mut names: Vec<String> = files.collect();
            names.extend(secrets.into_main().into_keys());
            self.host.specs.lock().unwrap().push((pod.clone(), names));
            if self.at_once {
                self.end(&pod.key, 0).await;
            }
        }
        Ok(())
    }

    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError> {
        self.gate.pass().await;
        self.answers()?;
        if self.unseen.lock().unwrap().contains(key) {
            return Err(LaunchError::Unavailable("nobody answers for this pod".into()));
        }
        let pods = self.host.pods.lock().unwrap();
        Ok(pods.get(key).cloned().unwrap_or(PodState::Unknown))
    }

    async fn over(&self, workflow: &Ended) {
        self.over.lock().unwrap().push(workflow.clone());
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        self.receiver.lock().unwrap().take()
    }

    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError> {
        self.gate.pass().await;
        self.stops.fetch_add(1, Ordering::SeqCst);
        self.answers()?;
        if self.host.pods.lock().unwrap().contains_key(key) {
            self.end(key, 143).await;
        }
        Ok(())
    }

    async fn logs(&self, _: &PodKey, _: usize, _: usize) -> Result<Vec<LogLine>, LaunchError> {
        Ok(Vec::new())
    }

    async fn forget(&self, key: &PodKey) {
        self.gate.pass().await;
        self.forgotten.lock().unwrap().push(key.clone());
    }

    async fn remove(&self, key: &PodKey) {
        self.host.pods.lock().unwrap().remove(key);
        self.host.removed.lock().unwrap().push(key.clone());
    }
}

pub(crate) struct Stage {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) launcher: Arc<Fake>,
    pub(crate) health: Health,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Error>>,
}

pub(crate) async fn bus() -> Arc<dyn Bus> {
    let bus = tiphys_bus::memory();
    for stream in streams::all() {
        bus.ensure_stream(&stream).await.unwrap();
    }
    bus
}

#[expect(clippy::disallowed_methods, reason = "the test is the owner, and waits for it")]
pub(crate) fn executor(bus: Arc<dyn Bus>, catalog: Catalog, launcher: Arc<Fake>, config: Config) -> Stage {
    let (stop, health) = (CancellationToken::new(), Health::default());
    let deps = Deps {
        bus: bus.clone(),
        catalog,
        launcher: launcher.clone(),
        clock: Arc::new(SystemClock),
        health: health.clone(),
    };
    let task = tokio::spawn(tiphys_executor::run(config, deps, stop.clone()));
    Stage { bus, launcher, health, stop, task }
}

impl Stage {
    pub(crate) async fn submit(&self, name: &str, spec: Value) {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let options = submit::Options::default();
        let now = SystemClock.now();
        let submission = submit::prepare(&object, "ns", &options, now, name).unwrap();
        submit::submit(self.bus.as_ref(), &submission).await.unwrap();
    }

    pub(crate) async fn command(&self, name: &str, verb: Verb) {
        let command = Command { verb, at: SystemClock.now(), by: "test".into(), reason: String::new() };
        submit::command(self.bus.as_ref(), "ns", name, command).await.unwrap();
    }

    pub(crate) async fn object(&self, name: &str) -> Option<Value> {
        let mut projection = Projection::default();
        for message in self.bus.read(streams::WORKFLOWS, "", 1, 100_000).await.unwrap() {
            projection.apply(&message).unwrap();
        }
        projection.object("ns", name)
    }

    pub(crate) async fn phase(&self, name: &str, phase: &str) -> Value {
        until(async || {
            let object = self.object(name).await?;
            (object["status"]["phase"] == phase).then_some(object)
        })
        .await
    }

    pub(crate) async fn pod(&self, count: usize) -> PodSpec {
        until(async || self.launcher.started().get(count - 1).cloned()).await
    }

    pub(crate) async fn end(self) -> (Arc<dyn Bus>, Arc<Fake>) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        (self.bus, self.launcher)
    }
}

/// Waits until `look` finds something, with a deadline.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) fn one(image: &str) -> Value {
    json!({"entrypoint": "a", "templates": [{"name": "a", "container": {"image": image, "command": ["x"]}}]})
}

pub(crate) fn chain(length: usize) -> Value {
    let steps: Vec<Value> =
        (0..length).map(|index| json!([{"name": format!("s{index}"), "template": "a"}])).collect();
    let mut spec = one("x");
    spec["entrypoint"] = json!("main");
    let main = json!({"name": "main", "steps": steps});
    spec["templates"].as_array_mut().unwrap().push(main);
    spec
}
