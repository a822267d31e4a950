//! Steps as pods of a Kubernetes cluster.
//!
//! A plain step is a pod of one container. Where a step has inputs, a script or outputs, its container runs the runner, which
//! fetches what the step needs and hands over what it made. All that is to be known of a pod is in the pod: its name follows
//! from the step, its labels say for which attempt it is, so that whoever creates it twice finds it. Nothing is polled: one
//! watch tells of all pods, and what it does not tell of is asked for before it counts as gone.
//!
//! References to Secrets and ConfigMaps stay references: the cluster resolves them, and the executor reads none.

mod after;
mod ask;
mod config;
mod create;
mod event;
mod exec;
mod image_volume;
mod judge;
mod keep;
mod later;
mod log;
mod packed;
mod parcel;
mod pod;
mod record;
mod restrict;
mod serve;
mod shelf;
mod token;
mod watch;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use tiphys_core::{Clock, PodKey};
use tiphys_kit::{CancellationToken, Tasks};
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{ArtifactStore, Ended, LaunchError, Launcher, LogLine, PodSpec, PodState, Secrets, patch};
use crate::scratch::Scratch;
use ask::{Failure, Kind, cannot, patient, within};
pub use config::{Config, ImageCommand, ImageVolume, RUNNER_ROUTES, RunnerImage, RunnerSource};
pub use packed::PackedRunner;
use record::{Names, Place, Record};
pub use watch::PART;

/// How many wake-ups may wait.
const CHANGES: usize = 1024;
/// A request takes no longer.
const REQUEST: Duration = Duration::from_secs(30);
/// The first list of pods takes no longer.
const FIRST_LIST: Duration = Duration::from_secs(120);

/// The launcher. Executors of an installation have one each, and see the same pods.
pub struct KubernetesLauncher {
    shared: Arc<Shared>,
    identity: String,
    changes: Mutex<Option<mpsc::Receiver<PodKey>>>,
}

/// What the launcher and its tasks share.
struct Shared {
    config: Config,
    client: Client,
    store: Arc<dyn ArtifactStore>,
    clock: Arc<dyn Clock>,
    pods: Mutex<HashMap<PodKey, Record>>,
    names: Mutex<Names>,
    /// Uids of workflows whose volume claims and budget were made.
    made: Mutex<HashSet<String>>,
    /// Uids of workflows with a disruption budget.
    budgets: Mutex<HashSet<String>>,
    /// Where the runner lies.
    laid: packed::Laid,
    changed: mpsc::Sender<PodKey>,
    tasks: Tasks,
    requests: Semaphore,
    scratch: Scratch,
    logs: log::Logs,
}

impl KubernetesLauncher {
    /// Looks at the cluster, announces all pods that are there, and follows them until `stop`; the pods go on.
    ///
    /// # Errors
    /// When the cluster does not answer, or does not let us list pods.
    pub async fn open(
        mut config: Config,
        client: Client,
        store: Arc<dyn ArtifactStore>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Result<Self, LaunchError> {
        let (changed, changes) = mpsc::channel(CHANGES);
        let scratch = Scratch::open(config.scratch.clone())
            .map_err(|error| LaunchError::Unavailable(format!("{}: {error}", config.scratch.display())))?;
        let identity = identity(&client, &config).await?;
        image_volume::decide(&client, &mut config).await;
        let shared = Arc::new(Shared {
            requests: Semaphore::new(config.requests.max(1)),
            client: patient(client, config.answer),
            config,
            store,
            clock,
            pods: Mutex::default(),
            names: Mutex::default(),
            made: Mutex::default(),
            budgets: Mutex::default(),
            laid: packed::Laid::default(),
            changed,
            tasks: Tasks::new(stop),
            scratch,
            logs: log::Logs::default(),
        });
        let mut lists = Vec::new();
        for api in shared.scopes() {
            // Asked once, so that a right that is missing is told here and not retried for ever.
            within(REQUEST, api.list_metadata(&ListParams::default().limit(1)))
                .await
                .map_err(|failure| cannot("list pods", &failure))?;
            let (listed, all) = oneshot::channel();
            shared.tasks.spawn("follow pods", Arc::clone(&shared).follow(api, listed));
            lists.push(all);
        }
        let launcher = Self { shared, identity, changes: Mutex::new(Some(changes)) };
        for all in lists {
            let waited = tokio::time::timeout(FIRST_LIST, all).await;
            if !matches!(waited, Ok(Ok(()))) {
                return Err(LaunchError::Unavailable("the pods of the cluster could not be listed".into()));
            }
        }
        launcher.shared.find_due();
        Ok(launcher)
    }

    /// Waits for the tasks to end, once `stop` was cancelled.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.shared.tasks.drain(grace).await
    }

    /// What the runners of pods ask: to be mounted where [`Config::address`] leads.
    pub fn runner_routes(&self) -> axum::Router {
        serve::routes(&self.shared)
    }
}

/// Which cluster it is, and which part of it is seen: only those that see the same can go on with each other's workflows.
async fn identity(client: &Client, config: &Config) -> Result<String, LaunchError> {
    let api = Api::<Namespace>::all(client.clone());
    let names = std::iter::once("kube-system").chain(config.namespaces.iter().map(String::as_str));
    let mut refused = None;
    for name in names {
        match within(REQUEST, api.get_metadata(name)).await {
            Ok(found) => {
                let mut scope = config.namespaces.clone();
                scope.sort();
                let uid = found.metadata.uid.unwrap_or_default();
                return Ok(format!("kubernetes:{uid}:{}:{}", config.installation, scope.join(",")));
            }
            Err(failure) if failure.kind == Kind::Refused => refused = Some(failure),
            Err(failure) => return Err(cannot("get namespaces", &failure)),
        }
    }
    let failure = refused.unwrap_or_else(|| Failure::later("no namespace"));
    Err(cannot("get the namespace kube-system, by which a cluster is known", &failure))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn pods(&self) -> MutexGuard<'_, HashMap<PodKey, Record>> {
        lock(&self.pods)
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        lock(&self.names)
    }

    fn budgets(&self) -> MutexGuard<'_, HashSet<String>> {
        lock(&self.budgets)
    }

    fn api(&self, namespace: &str) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Where pods may be.
    fn scopes(&self) -> Vec<Api<Pod>> {
        if self.config.namespaces.is_empty() {
            return vec![Api::all(self.client.clone())];
        }
        self.config.namespaces.iter().map(|namespace| self.api(namespace)).collect()
    }

    /// Asks when there is room.
    async fn ask<T>(&self, request: impl Future<Output = T>) -> T {
        let _room = self.requests.acquire().await;
        request.await
    }

    async fn announce(&self, key: &PodKey) {
        tokio::select! {
            _ = self.changed.send(key.clone()) => {}
            () = self.tasks.stop().cancelled() => {}
        }
    }

    fn state(&self, key: &PodKey) -> Option<PodState> {
        self.pods().get(key).map(|record| record.state.clone())
    }

    /// Asks the cluster for the pod of an attempt of which nothing is known here.
    async fn find(&self, key: &PodKey) -> Result<Option<Pod>, LaunchError> {
        let (installation, label) = (&self.config.installation, pod::KEY);
        let selector = format!("{}={installation},{label}={key}", pod::INSTALLATION);
        let params = ListParams::default().labels(&selector);
        for api in self.scopes() {
            let listed = self
                .ask(within(REQUEST, api.list(&params)))
                .await
                .map_err(|failure| cannot("list pods", &failure))?;
            if let Some(pod) = listed.items.into_iter().next() {
                return Ok(Some(pod));
            }
        }
        Ok(None)
    }

    /// Where the pod of an attempt was when it was last heard of, if that is remembered.
    fn known_place(&self, key: &PodKey) -> Option<Place> {
        let known = self.pods().get(key).map(|record| record.place.clone());
        known.or_else(|| self.names().get(key))
    }

    /// Where the pod of an attempt is.
    async fn place(&self, key: &PodKey) -> Result<Option<Place>, LaunchError> {
        if let Some(place) = self.known_place(key) {
            return Ok(Some(place));
        }
        Ok(self.find(key).await?.map(|pod| Place::of(&pod)))
    }
}

#[async_trait]
impl Launcher for KubernetesLauncher {
    fn identity(&self) -> Option<String> {
        Some(self.identity.clone())
    }

    fn knows_secrets(&self, _pod: &PodSpec) -> bool {
        true
    }

    fn path_of(&self, _key: &PodKey, _on_host: bool, path: &str) -> String {
        path.to_owned()
    }

    async fn start(&self, pod: &PodSpec, _secrets: Secrets) -> Result<(), LaunchError> {
        if self.shared.config.only_reads {
            return Err(LaunchError::Unavailable("this process reads logs, and starts no steps".into()));
        }
        self.shared.start(pod).await
    }

    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError> {
        if let Some(state) = self.shared.state(key) {
            return Ok(state);
        }
        let Some(pod) = self.shared.find(key).await? else { return Ok(PodState::Unknown) };
        if record::label(&pod, pod::COMPLETED) == Some("true") || self.shared.names().get(key).is_some() {
            // Its end was taken note of: nothing is kept for it.
            return Ok(judge::state(&pod, self.shared.clock.now()));
        }
        self.shared.apply(&pod);
        Ok(self.shared.state(key).unwrap_or(PodState::Unknown))
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        lock(&self.changes).take()
    }

    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError> {
        if let Some(record) = self.shared.pods().get_mut(key) {
            if record.is_over() || std::mem::replace(&mut record.stopping, true) {
                return Ok(());
            }
            let runs = matches!(record.state, PodState::Running { .. });
            self.shared.end(key.clone(), record.place.clone(), runs);
            return Ok(());
        }
        if let Some(pod) = self.shared.find(key).await? {
            self.shared.apply(&pod);
            let runs = {
                let mut pods = self.shared.pods();
                let record = pods.get_mut(key);
                record.is_some_and(|record| {
                    record.stopping = true;
                    matches!(record.state, PodState::Running { .. })
                })
            };
            self.shared.end(key.clone(), Place::of(&pod), runs);
        }
        Ok(())
    }

    async fn logs(&self, key: &PodKey, from: usize, max: usize) -> Result<Vec<LogLine>, LaunchError> {
        self.shared.logs(key, from, max).await
    }

    async fn forget(&self, key: &PodKey) {
        self.shared.forget(key);
    }

    async fn over(&self, workflow: &Ended) {
        self.shared.over(workflow);
    }

    fn leave(&self, key: &PodKey) {
        // What runs is kept: its runner may ask here.
        let mut pods = self.shared.pods();
        if pods.get(key).is_some_and(Record::is_over) {
            pods.remove(key);
        }
    }

    async fn remove(&self, key: &PodKey) {
        self.shared.remove(key).await;
    }
}
