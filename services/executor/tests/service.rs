//! The service on a bus in memory, with a launcher that does as it is told.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde_json::{Value, json};
use tiphys_bus::{Bus, streams};
use tiphys_catalog::Catalog;
use tiphys_core::workflow::{Command, Verb};
use tiphys_core::{Clock, PodKey, SystemClock};
use tiphys_executor::launcher::{
    LaunchError, Launcher, LogLine, PodResult, PodSpec, PodState, PodVerdict, SecretEnvironment,
};
use tiphys_executor::projection::Projection;
use tiphys_executor::{Config, Deps, Error, submit};
use tiphys_kit::{CancellationToken, Health};
use tiphys_manifest::load::{LoadOptions, load};
use tokio::sync::mpsc;

/// Pods end when the test says so, or at once.
struct Fake {
    pods: Mutex<HashMap<PodKey, PodState>>,
    specs: Mutex<Vec<(PodSpec, Vec<String>)>>,
    at_once: bool,
    forgotten: Mutex<Vec<PodKey>>,
    removed: Mutex<Vec<PodKey>>,
    changes: mpsc::Sender<PodKey>,
    receiver: Mutex<Option<mpsc::Receiver<PodKey>>>,
}

impl Fake {
    fn new(at_once: bool) -> Arc<Self> {
        let (changes, receiver) = mpsc::channel(1000);
        Arc::new(Self {
            pods: Mutex::default(),
            specs: Mutex::default(),
            at_once,
            forgotten: Mutex::default(),
            removed: Mutex::default(),
            changes,
            receiver: Mutex::new(Some(receiver)),
        })
    }

    async fn end(&self, key: &PodKey, code: i32) {
        let result = PodResult {
            started: None,
            finished: SystemClock.now(),
            exit_code: Some(code),
            verdict: if code == 0 { PodVerdict::Succeeded } else { PodVerdict::Failed },
            message: if code == 0 { String::new() } else { format!("Error (exit code {code})") },
            result: None,
            parameters: BTreeMap::new(),
            artifacts: Vec::new(),
        };
        let state = PodState::Ended(Box::new(result));
        self.pods.lock().unwrap().insert(key.clone(), state);
        // Nobody listens between two processes.
        let _ = self.changes.send(key.clone()).await;
    }

    fn started(&self) -> Vec<PodSpec> {
        self.specs.lock().unwrap().iter().map(|(spec, _)| spec.clone()).collect()
    }

    /// The same pods, seen by a process that starts anew.
    fn restarted(&self) -> Arc<Self> {
        let next = Self::new(self.at_once);
        *next.pods.lock().unwrap() = self.pods.lock().unwrap().clone();
        next
    }
}

#[async_trait]
impl Launcher for Fake {
    fn path_of(&self, _: &PodKey, path: &str) -> String {
        path.to_owned()
    }

    async fn start(&self, pod: &PodSpec, secrets: SecretEnvironment) -> Result<(), LaunchError> {
        let image = pod.container["image"].as_str().unwrap_or_default();
        if image == "forbidden" {
            return Err(LaunchError::NotAllowed("not here; use another launcher".into()));
        }
        let known = self.pods.lock().unwrap().contains_key(&pod.key);
        if !known {
            let state = PodState::Running { started: SystemClock.now() };
            self.pods.lock().unwrap().insert(pod.key.clone(), state);
            let names = secrets.keys().cloned().collect();
            self.specs.lock().unwrap().push((pod.clone(), names));
            if self.at_once {
                self.end(&pod.key, 0).await;
            }
        }
        Ok(())
    }

    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError> {
        let pods = self.pods.lock().unwrap();
        Ok(pods.get(key).cloned().unwrap_or(PodState::Unknown))
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        self.receiver.lock().unwrap().take()
    }

    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError> {
        self.end(key, 143).await;
        Ok(())
    }

    async fn logs(&self, _: &PodKey, _: usize, _: usize) -> Result<Vec<LogLine>, LaunchError> {
        Ok(Vec::new())
    }

    async fn forget(&self, key: &PodKey) {
        self.forgotten.lock().unwrap().push(key.clone());
    }

    async fn remove(&self, key: &PodKey) {
        self.pods.lock().unwrap().remove(key);
        self.removed.lock().unwrap().push(key.clone());
    }
}

struct Stage {
    bus: Arc<dyn Bus>,
    launcher: Arc<Fake>,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), Error>>,
}

async fn bus() -> Arc<dyn Bus> {
    let bus = tiphys_bus::memory();
    for stream in streams::all() {
        bus.ensure_stream(&stream).await.unwrap();
    }
    bus
}

#[expect(clippy::disallowed_methods, reason = "the test is the owner, and waits for it")]
fn executor(bus: Arc<dyn Bus>, catalog: Catalog, launcher: Arc<Fake>, config: Config) -> Stage {
    let stop = CancellationToken::new();
    let deps = Deps {
        bus: bus.clone(),
        catalog,
        launcher: launcher.clone(),
        clock: Arc::new(SystemClock),
        health: Health::default(),
    };
    let task = tokio::spawn(tiphys_executor::run(config, deps, stop.clone()));
    Stage { bus, launcher, stop, task }
}

impl Stage {
    async fn submit(&self, name: &str, spec: Value) {
        let object = json!({"metadata": {"name": name}, "spec": spec});
        let options = submit::Options::default();
        let now = SystemClock.now();
        let submission = submit::prepare(&object, "ns", &options, now, name).unwrap();
        submit::submit(self.bus.as_ref(), &submission).await.unwrap();
    }

    async fn command(&self, name: &str, verb: Verb) {
        let command = Command { verb, at: SystemClock.now(), by: "test".into(), reason: String::new() };
        submit::command(self.bus.as_ref(), "ns", name, command).await.unwrap();
    }

    async fn object(&self, name: &str) -> Option<Value> {
        let mut projection = Projection::default();
        for message in self.bus.read(streams::WORKFLOWS, "", 1, 100_000).await.unwrap() {
            projection.apply(&message).unwrap();
        }
        projection.object("ns", name)
    }

    async fn phase(&self, name: &str, phase: &str) -> Value {
        until(async || {
            let object = self.object(name).await?;
            (object["status"]["phase"] == phase).then_some(object)
        })
        .await
    }

    async fn pod(&self, count: usize) -> PodSpec {
        until(async || self.launcher.started().get(count - 1).cloned()).await
    }

    async fn end(self) -> (Arc<dyn Bus>, Arc<Fake>) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
        (self.bus, self.launcher)
    }
}

/// Waits until `look` finds something, with a deadline.
async fn until<T, F: Future<Output = Option<T>>>(look: impl Fn() -> F) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it does not come");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn one(image: &str) -> Value {
    json!({"entrypoint": "a", "templates": [{"name": "a", "container": {"image": image, "command": ["x"]}}]})
}

fn chain(length: usize) -> Value {
    let steps: Vec<Value> =
        (0..length).map(|index| json!([{"name": format!("s{index}"), "template": "a"}])).collect();
    let mut spec = one("x");
    spec["entrypoint"] = json!("main");
    let main = json!({"name": "main", "steps": steps});
    spec["templates"].as_array_mut().unwrap().push(main);
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn workflows_run_to_their_end() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), Config::default());
    for index in 0..20 {
        stage.submit(&format!("w{index}"), chain(3)).await;
    }
    for index in 0..20 {
        let object = stage.phase(&format!("w{index}"), "Succeeded").await;
        assert_eq!(object["status"]["progress"], "3/3");
    }
    let forgotten = until(async || {
        let forgotten = stage.launcher.forgotten.lock().unwrap().len();
        (forgotten >= 60).then_some(forgotten)
    });
    assert_eq!(forgotten.await, 60);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_what_ran_meanwhile() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", chain(2)).await;
    let first = stage.pod(1).await;
    let (bus, launcher) = stage.end().await;
    // It ends while nobody looks.
    launcher.end(&first.key, 0).await;
    let stage = executor(bus, Catalog::new(), launcher.restarted(), Config::default());
    let second = stage.pod(1).await;
    assert_ne!(second.key, first.key);
    let (bus, launcher) = stage.end().await;
    // It runs on, and ends under the eyes of the next.
    let stage = executor(bus, Catalog::new(), launcher.restarted(), Config::default());
    stage.launcher.end(&second.key, 0).await;
    stage.phase("w", "Succeeded").await;
    assert!(stage.launcher.started().is_empty(), "nothing was started twice");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_obeyed() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", chain(2)).await;
    let first = stage.pod(1).await;
    stage.command("w", Verb::Suspend).await;
    stage.launcher.end(&first.key, 0).await;
    until(async || {
        let object = stage.object("w").await?;
        (object["status"]["progress"] == "1/1" && object["status"]["suspended"] == true).then_some(())
    })
    .await;
    stage.command("w", Verb::Resume { node_field_selector: String::new() }).await;
    let second = stage.pod(2).await;
    stage.launcher.end(&second.key, 7).await;
    let object = stage.phase("w", "Failed").await;
    let nodes = object["status"]["nodes"].as_object().unwrap();
    assert!(nodes.values().any(|node| node["outputs"]["exitCode"] == "7"));
    stage.command("w", Verb::Retry { restart_successful: false, node_field_selector: String::new() }).await;
    let third = stage.pod(3).await;
    assert_eq!(third.node_id, second.node_id);
    assert_ne!(third.key, second.key);
    stage.command("w", Verb::Stop { message: "enough".into() }).await;
    let object = stage.phase("w", "Failed").await;
    assert_eq!(object["status"]["message"], "enough");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_workflow_leaves_nothing_and_its_name_is_free() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("w", one("x")).await;
    let pod = stage.pod(1).await;
    stage.command("w", Verb::Delete).await;
    until(async || stage.object("w").await.is_none().then_some(())).await;
    let subject = submit::subject("ns", "w");
    until(async || stage.bus.last(&subject).await.unwrap().is_none().then_some(())).await;
    assert_eq!(*stage.launcher.removed.lock().unwrap(), std::slice::from_ref(&pod.key));
    stage.submit("w", one("x")).await;
    let again = stage.pod(2).await;
    stage.launcher.end(&again.key, 0).await;
    stage.phase("w", "Succeeded").await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_workflows_go_by_time_and_number() {
    let config = Config { finished_max: 2, ..Config::default() };
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), config);
    let mut brief = one("x");
    brief["ttlStrategy"] = json!({"secondsAfterCompletion": 0});
    stage.submit("brief", brief).await;
    until(async || {
        let gone = stage.bus.last(&submit::subject("ns", "brief")).await.unwrap().is_none();
        gone.then_some(())
    })
    .await;
    for index in 0..4 {
        stage.submit(&format!("w{index}"), one("x")).await;
        until(async || {
            let left = stage.bus.last(&submit::subject("ns", &format!("w{index}"))).await.unwrap();
            left.is_none_or(|m| String::from_utf8_lossy(&m.payload).contains("ended")).then_some(())
        })
        .await;
    }
    until(async || stage.object("w1").await.is_none().then_some(())).await;
    assert!(stage.object("w2").await.is_some() && stage.object("w3").await.is_some());
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_launcher_and_nothing_else() {
    let catalog = Catalog::new();
    let text =
        "{apiVersion: v1, kind: Secret, metadata: {name: s, namespace: ns}, stringData: {k: canary-7f3}}";
    let loaded = load("s.yaml", text, &LoadOptions::default());
    let feeder = catalog.feeder();
    feeder.replace(loaded.objects.into_iter().map(Arc::new).collect(), Vec::new());
    let stage = executor(bus().await, catalog, Fake::new(true), Config::default());
    let mut spec = one("x");
    let reference =
        |name: &str| json!([{"name": "E", "valueFrom": {"secretKeyRef": {"name": name, "key": "k"}}}]);
    spec["templates"][0]["container"]["env"] = reference("s");
    stage.submit("good", spec.clone()).await;
    stage.phase("good", "Succeeded").await;
    assert_eq!(stage.launcher.specs.lock().unwrap()[0].1, ["E"]);
    spec["templates"][0]["container"]["env"] = reference("none");
    stage.submit("bad", spec).await;
    let object = stage.phase("bad", "Error").await;
    assert!(object["status"]["message"].as_str().unwrap().contains("Secret ns/none"));
    for message in stage.bus.read(streams::WORKFLOWS, "", 1, 1000).await.unwrap() {
        assert!(!String::from_utf8_lossy(&message.payload).contains("canary-7f3"));
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_and_a_lost_pod_are_told() {
    let stage = executor(bus().await, Catalog::new(), Fake::new(false), Config::default());
    stage.submit("no", one("forbidden")).await;
    let object = stage.phase("no", "Error").await;
    assert_eq!(object["status"]["message"], "not here; use another launcher");
    stage.submit("lost", one("x")).await;
    let pod = stage.pod(1).await;
    until(async || {
        let nodes = stage.object("lost").await?["status"]["nodes"].clone();
        (nodes["lost"]["phase"] == "Running").then_some(())
    })
    .await;
    stage.launcher.pods.lock().unwrap().clear();
    stage.launcher.changes.send(pod.key).await.unwrap();
    let object = stage.phase("lost", "Error").await;
    assert!(object["status"]["message"].as_str().unwrap().contains("the pod is gone"));
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_executor_waits_for_the_first() {
    let quick = |owner: &str| Config {
        owner: owner.into(),
        claim_time: Duration::from_millis(500),
        ..Config::default()
    };
    let bus = bus().await;
    let first = executor(bus.clone(), Catalog::new(), Fake::new(true), quick("one"));
    first.submit("a", one("x")).await;
    first.phase("a", "Succeeded").await;
    let second = executor(bus, Catalog::new(), Fake::new(true), quick("two"));
    first.submit("b", one("x")).await;
    first.phase("b", "Succeeded").await;
    assert!(second.launcher.started().is_empty());
    first.end().await;
    second.submit("c", one("x")).await;
    second.phase("c", "Succeeded").await;
    second.end().await;
}
