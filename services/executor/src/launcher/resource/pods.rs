//! The launcher of resource templates: a task per step, and nothing that outlives the process.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tiphys_core::{Clock, PodKey, Timestamp};
use tiphys_kit::kubernetes::{Account, Cluster, Failure};
use tiphys_kit::{Backoff, CancellationToken, Tasks};
use tokio::sync::mpsc;
use tracing::warn;

use super::act::Act;
use super::{Flags, Manifest, ResourceSpec, artifact, output};
use crate::launcher::{
    ArtifactStore, LaunchError, Launcher, LogLine, PodResult, PodSpec, PodState, PodVerdict, Secrets,
};

/// How many wake-ups may wait.
const CHANGES: usize = 1024;
/// Lines that are kept of a step.
const LINES: usize = 100;
/// Steps that ended of which the lines are kept.
const KEPT: usize = 1000;
/// What Argo's executor ends with.
const EXIT: i32 = 64;
/// A filter that takes longer is given up.
const READING: Duration = Duration::from_secs(10);
/// What a step ends with that takes longer than it may.
const DEADLINE: &str = "Pod was active on the node longer than the specified deadline";

/// Acts on objects of a cluster for the steps that say so.
pub struct ResourceLauncher {
    shared: Arc<Shared>,
    changes: Mutex<Option<mpsc::Receiver<PodKey>>>,
}

struct Shared {
    cluster: Cluster,
    store: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    steps: Mutex<HashMap<PodKey, Step>>,
    /// Lines of steps whose end is journalled, the oldest first.
    told: Mutex<VecDeque<(PodKey, Arc<Log>)>>,
    changed: mpsc::Sender<PodKey>,
    tasks: Tasks,
}

struct Step {
    started: Timestamp,
    stop: CancellationToken,
    log: Arc<Log>,
    result: Option<Box<PodResult>>,
}

/// What a step tells of itself.
pub(super) struct Log {
    clock: Arc<dyn Clock>,
    lines: Mutex<Vec<LogLine>>,
}

impl Log {
    pub(super) fn say(&self, text: String) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES {
            lines.push(LogLine { time: self.clock.now(), stream: "stdout".into(), text });
        }
    }
}

/// Why a step did not succeed.
enum End {
    Failed(String),
    Stopped,
    Late,
}

impl ResourceLauncher {
    /// Acts on this cluster until `stop`.
    #[must_use]
    pub fn new(
        cluster: Cluster,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        let (changed, changes) = mpsc::channel(CHANGES);
        let shared = Arc::new(Shared {
            cluster,
            store,
            clock,
            steps: Mutex::default(),
            told: Mutex::default(),
            changed,
            tasks: Tasks::new(stop),
        });
        Self { shared, changes: Mutex::new(Some(changes)) }
    }

    /// Waits for the steps' tasks to end, once `stop` was cancelled. What they did stands in the cluster.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.shared.tasks.drain(grace).await
    }
}

impl Shared {
    fn steps(&self) -> MutexGuard<'_, HashMap<PodKey, Step>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn told(&self) -> MutexGuard<'_, VecDeque<(PodKey, Arc<Log>)>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(self: Arc<Self>, pod: PodSpec, spec: ResourceSpec, stop: CancellationToken, log: Arc<Log>) {
        let late = pod
            .deadline
            .map(|at| Duration::try_from(at.duration_since(self.clock.now())).unwrap_or(Duration::ZERO));
        let outcome = tokio::select! {
            outcome = self.carry_out(&pod, &spec, &log) => outcome,
            () = stop.cancelled() => Err(End::Stopped),
            () = sleep(late) => Err(End::Late),
            // The process ends: whoever comes next begins anew.
            () = self.tasks.stop().cancelled() => return,
        };
        let mut result = PodResult {
            started: None,
            finished: self.clock.now(),
            exit_code: Some(0),
            verdict: PodVerdict::Succeeded,
            message: String::new(),
            result: None,
            parameters: Default::default(),
            artifacts: Vec::new(),
            host: None,
        };
        match outcome {
            Ok(parameters) => result.parameters = parameters,
            Err(end) => {
                result.verdict = PodVerdict::Failed;
                (result.exit_code, result.message) = match end {
                    End::Failed(why) => (Some(EXIT), format!("main: Error (exit code {EXIT}): {why}")),
                    End::Stopped => (Some(143), "main: Error (exit code 143)".into()),
                    End::Late => (None, DEADLINE.into()),
                };
                log.say(result.message.clone());
            }
        }
        if let Some(step) = self.steps().get_mut(&pod.key) {
            result.started = Some(step.started);
            step.result = Some(Box::new(result));
        }
        tokio::select! {
            _ = self.changed.send(pod.key.clone()) => {}
            () = self.tasks.stop().cancelled() => {}
        }
    }

    /// Acts, waits, and reads what was asked for. Again and again while the API server is away.
    async fn carry_out(
        &self,
        pod: &PodSpec,
        spec: &ResourceSpec,
        log: &Log,
    ) -> Result<std::collections::BTreeMap<String, String>, End> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        let act = Act {
            cluster: &self.cluster,
            pod,
            spec,
            account: Account::new(&pod.namespace, &spec.service_account),
            flags: Flags::parse(&spec.flags).map_err(End::Failed)?,
            documents: self.documents(pod, spec, &mut backoff).await?,
            log,
        };
        let acted = loop {
            match act.perform().await {
                Ok(acted) => break acted,
                Err(failure) => self.patience(&act, failure, &mut backoff).await?,
            }
        };
        let object = match acted {
            None => None,
            Some((target, object)) => {
                let waited = act.wait_for_condition(&target, object).await;
                Some(waited.map_err(|failure| End::Failed(failure.to_string()))?.map_err(End::Failed)?)
            }
        };
        let outputs = spec.outputs.clone();
        let read = tokio::task::spawn_blocking(move || output::read(&outputs, object.as_ref()));
        match tokio::time::timeout(READING, read).await {
            Ok(Ok(values)) => values.map_err(End::Failed),
            Ok(Err(panic)) => Err(End::Failed(format!("the outputs cannot be read: {panic}"))),
            Err(_) => {
                Err(End::Failed(format!("the outputs took longer than {} s to read", READING.as_secs())))
            }
        }
    }

    /// Waits for another try, where one is of use.
    async fn patience(&self, act: &Act<'_>, failure: Failure, backoff: &mut Backoff) -> Result<(), End> {
        match failure {
            Failure::Unavailable(why) => {
                warn!(pod = act.pod.name, why, "the cluster cannot be asked for the moment");
                act.log.say(format!("waiting: {why}"));
            }
            Failure::Unknown(_) => self.cluster.distrust(&act.account),
            refused => return Err(End::Failed(refused.to_string())),
        }
        tokio::time::sleep(backoff.next_wait()).await;
        Ok(())
    }

    async fn documents(
        &self,
        pod: &PodSpec,
        spec: &ResourceSpec,
        backoff: &mut Backoff,
    ) -> Result<Vec<serde_json::Value>, End> {
        let name = match &spec.manifest {
            Manifest::Documents(documents) => return Ok(documents.clone()),
            Manifest::Artifact(name) => name,
        };
        loop {
            match artifact::documents(&*self.store, pod, name).await {
                Ok(documents) if documents.len() == 1 || spec.action == super::Action::Delete => {
                    return Ok(documents);
                }
                Ok(documents) => {
                    return Err(End::Failed(format!(
                        "artifact {name} holds {} objects, and a template acts on one",
                        documents.len()
                    )));
                }
                Err(LaunchError::Unavailable(_)) => tokio::time::sleep(backoff.next_wait()).await,
                Err(refused) => return Err(End::Failed(refused.to_string())),
            }
        }
    }
}

async fn sleep(length: Option<Duration>) {
    match length {
        Some(length) => tokio::time::sleep(length).await,
        None => std::future::pending().await,
    }
}

#[async_trait]
impl Launcher for ResourceLauncher {
    fn path_of(&self, _: &PodKey, _: bool, path: &str) -> String {
        path.to_owned()
    }

    async fn start(&self, pod: &PodSpec, _: Secrets) -> Result<(), LaunchError> {
        let Some(spec) = pod.resource.clone() else {
            return Err(LaunchError::NotAllowed(format!("{} is no resource template", pod.template)));
        };
        let account = Account::new(&pod.namespace, &spec.service_account);
        let allowed = self.shared.cluster.accounts().check(&account);
        allowed.map_err(|refused| LaunchError::NotAllowed(refused.to_string()))?;
        let (stop, log) = (
            CancellationToken::new(),
            Arc::new(Log { clock: self.shared.clock.clone(), lines: Mutex::default() }),
        );
        {
            let mut steps = self.shared.steps();
            if steps.contains_key(&pod.key) {
                return Ok(());
            }
            steps.insert(
                pod.key.clone(),
                Step { started: self.shared.clock.now(), stop: stop.clone(), log: log.clone(), result: None },
            );
        }
        self.shared.tasks.spawn("resource", self.shared.clone().run(pod.clone(), spec, stop, log));
        Ok(())
    }

    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError> {
        Ok(match self.shared.steps().get(key) {
            None => PodState::Unknown,
            Some(step) => match &step.result {
                Some(result) => PodState::Ended(result.clone()),
                None => PodState::Running { started: step.started, ready: true, address: None },
            },
        })
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError> {
        if let Some(step) = self.shared.steps().get(key) {
            step.stop.cancel();
        }
        Ok(())
    }

    async fn logs(&self, key: &PodKey, from: usize, max: usize) -> Result<Vec<LogLine>, LaunchError> {
        let live = self.shared.steps().get(key).map(|step| step.log.clone());
        let told = || self.shared.told().iter().find(|(told, _)| told == key).map(|(_, log)| log.clone());
        let Some(log) = live.or_else(told) else { return Ok(Vec::new()) };
        let lines = log.lines.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(lines.iter().skip(from).take(max).cloned().collect())
    }

    async fn forget(&self, key: &PodKey) {
        let Some(step) = self.shared.steps().remove(key) else { return };
        step.stop.cancel();
        let mut told = self.shared.told();
        if told.len() >= KEPT {
            told.pop_front();
        }
        told.push_back((key.clone(), step.log));
    }

    fn leave(&self, key: &PodKey) {
        if let Some(step) = self.shared.steps().remove(key) {
            step.stop.cancel();
        }
    }

    async fn remove(&self, key: &PodKey) {
        self.leave(key);
        self.shared.told().retain(|(told, _)| told != key);
    }
}
