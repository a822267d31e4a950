//! Several launchers as one: each step goes where its manifest and the operator say.
//!
//! | the operator says | a step that may run on the host | any other |
//! |---|---|---|
//! | nothing | process | containers, where an engine answers; else refused |
//! | `process` | process | process |
//! | `docker`, `kubernetes` | there | there |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tiphys_core::PodKey;
use tiphys_kit::{Backoff, CancellationToken, Tasks};
use tokio::sync::{OnceCell, mpsc};

use super::{Ended, LaunchError, Launcher, LogLine, PodSpec, PodState, Secrets};

/// How many wake-ups may wait.
const CHANGES: usize = 1024;
/// How long a server that is away is left alone at first, and at last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Finds a launcher that may not be there yet.
#[async_trait]
pub trait Opener: Send + Sync + 'static {
    /// The launcher. `None`: this machine has nothing of the kind, and no pod of ours can be there.
    ///
    /// # Errors
    /// It is there, and does not answer.
    async fn open(&self) -> Result<Option<Arc<dyn Launcher>>, LaunchError>;
}

#[async_trait]
impl Opener for Arc<dyn Launcher> {
    async fn open(&self) -> Result<Option<Arc<dyn Launcher>>, LaunchError> {
        Ok(Some(self.clone()))
    }
}

/// Where steps go.
pub struct Places {
    /// Processes of this machine; `None`: nothing runs there.
    pub host: Option<Arc<dyn Launcher>>,
    /// Everything that names an image runs on the host too.
    pub all_on_host: bool,
    /// Containers or pods.
    pub contained: Option<Box<dyn Opener>>,
    /// What acts on objects of a cluster, for resource templates; `None`: no cluster is known.
    pub resource: Option<Arc<dyn Launcher>>,
}

/// The launchers as one.
pub struct Several {
    host: Option<Arc<dyn Launcher>>,
    all_on_host: bool,
    contained: Option<Arc<Contained>>,
    resource: Option<Arc<dyn Launcher>>,
    /// Where a pod is, of those that were started or looked at.
    places: Mutex<HashMap<PodKey, Arc<dyn Launcher>>>,
    changes: Mutex<Option<mpsc::Receiver<PodKey>>>,
}

/// The launcher of containers or pods, once its server answers.
struct Contained {
    opener: Box<dyn Opener>,
    opened: OnceCell<Arc<dyn Launcher>>,
    ear: Ear,
}

/// Hears of changes, and hands them on.
#[derive(Clone)]
struct Ear {
    changed: mpsc::Sender<PodKey>,
    tasks: Tasks,
}

impl Ear {
    /// Hands the wake-ups of a launcher on.
    fn follow(&self, launcher: &Arc<dyn Launcher>) {
        let Some(mut changes) = launcher.changes() else { return };
        let (changed, stop) = (self.changed.clone(), self.tasks.stop().clone());
        self.tasks.spawn("changes", async move {
            loop {
                let key = tokio::select! {
                    () = stop.cancelled() => return,
                    key = changes.recv() => key,
                };
                let Some(key) = key else { return };
                tokio::select! {
                    () = stop.cancelled() => return,
                    sent = changed.send(key) => if sent.is_err() { return },
                }
            }
        });
    }
}

impl Contained {
    /// The launcher; `None` where this machine has nothing of the kind.
    async fn get(&self) -> Result<Option<&Arc<dyn Launcher>>, LaunchError> {
        // One opens, the others wait for what it gets: two would watch the same pods.
        let opened = self.opened.get_or_try_init(|| async {
            let opened = self.opener.open().await.map_err(Some)?.ok_or(None)?;
            self.ear.follow(&opened);
            Ok(opened)
        });
        match opened.await {
            Ok(opened) => Ok(Some(opened)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }

    /// Tries until it answers: what ran before is found then, whether or not anybody asks.
    async fn insist(&self) {
        let mut backoff = Backoff::new(FIRST_WAIT, LAST_WAIT);
        while self.get().await.is_err() {
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }
}

impl Several {
    /// Takes the launchers together. What cannot be opened now is tried again, by itself and when it is needed.
    pub async fn open(places: Places, stop: CancellationToken) -> Self {
        let (changed, changes) = mpsc::channel(CHANGES);
        let ear = Ear { changed, tasks: Tasks::new(stop) };
        let contained = places
            .contained
            .map(|opener| Arc::new(Contained { opener, opened: OnceCell::new(), ear: ear.clone() }));
        for launcher in places.host.iter().chain(&places.resource) {
            ear.follow(launcher);
        }
        if let Some(contained) = &contained
            && let Err(error) = contained.get().await
        {
            tracing::warn!(%error, "steps that name an image cannot be started yet; trying again");
            let (contained, stop) = (contained.clone(), ear.tasks.stop().clone());
            ear.tasks.spawn("open launcher", async move {
                tokio::time::sleep(FIRST_WAIT).await;
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = contained.insist() => {}
                }
            });
        }
        Self {
            host: places.host,
            all_on_host: places.all_on_host,
            contained,
            resource: places.resource,
            places: Mutex::default(),
            changes: Mutex::new(Some(changes)),
        }
    }

    /// The launcher of containers, once it answers.
    async fn contained(&self) -> Result<Option<&Arc<dyn Launcher>>, LaunchError> {
        match &self.contained {
            Some(contained) => contained.get().await,
            None => Ok(None),
        }
    }

    /// The same, where it has answered already.
    fn opened(&self) -> Option<&Arc<dyn Launcher>> {
        self.contained.as_ref().and_then(|contained| contained.opened.get())
    }

    /// Whether steps whose manifest lets them run on the host do.
    const fn takes_host(&self, allowed: bool) -> bool {
        self.host.is_some() && (allowed || self.all_on_host)
    }

    fn places(&self) -> MutexGuard<'_, HashMap<PodKey, Arc<dyn Launcher>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, key: &PodKey) -> Option<Arc<dyn Launcher>> {
        self.places().get(key).cloned()
    }

    /// Finds the launcher that has the pod, and what it knows of it. Containers are asked last: a server that is away holds
    /// up none but its own.
    async fn find(&self, key: &PodKey) -> Result<Option<(Arc<dyn Launcher>, PodState)>, LaunchError> {
        if let Some(known) = self.place(key) {
            let state = known.observe(key).await?;
            return Ok(Some((known, state)));
        }
        let near = self.host.iter().chain(&self.resource).cloned();
        for launcher in near.map(Some).chain([None]) {
            let launcher = match launcher {
                Some(launcher) => launcher,
                None => match self.contained().await? {
                    Some(contained) => contained.clone(),
                    None => break,
                },
            };
            let state = launcher.observe(key).await?;
            if state != PodState::Unknown {
                self.places().insert(key.clone(), launcher.clone());
                return Ok(Some((launcher, state)));
            }
        }
        Ok(None)
    }

    /// Those that may have the pod, and can be asked now.
    async fn reachable(&self, key: &PodKey) -> Vec<Arc<dyn Launcher>> {
        if let Some(known) = self.place(key) {
            return vec![known];
        }
        let mut all: Vec<_> = self.host.iter().chain(&self.resource).cloned().collect();
        all.extend(self.contained().await.ok().flatten().cloned());
        all
    }
}

#[async_trait]
impl Launcher for Several {
    fn identity(&self) -> Option<String> {
        let own = self.host.as_ref().or_else(|| self.opened());
        own.and_then(|launcher| launcher.identity())
    }

    async fn await_identity(&self) {
        if let (None, Some(contained)) = (&self.host, &self.contained) {
            contained.insist().await;
        }
    }

    fn knows_secrets(&self, pod: &PodSpec) -> bool {
        if pod.resource.is_some() {
            return true;
        }
        match &self.host {
            Some(host) if self.takes_host(pod.process_allowed) => host.knows_secrets(pod),
            _ => self.opened().is_some_and(|contained| contained.knows_secrets(pod)),
        }
    }

    fn path_of(&self, key: &PodKey, on_host: bool, path: &str) -> String {
        match &self.host {
            Some(host) if self.takes_host(on_host) => host.path_of(key, on_host, path),
            _ => path.to_owned(),
        }
    }

    async fn start(&self, pod: &PodSpec, secrets: Secrets) -> Result<(), LaunchError> {
        let launcher = match &self.host {
            _ if pod.resource.is_some() => self.resource.clone().ok_or_else(|| no_cluster(pod))?,
            Some(host) if self.takes_host(pod.process_allowed) => host.clone(),
            host => match (self.contained().await?, host) {
                (Some(contained), _) => contained.clone(),
                // It says what is missing, and what to do.
                (None, Some(host)) => host.clone(),
                (None, None) => return Err(LaunchError::Unavailable("there is no launcher yet".into())),
            },
        };
        launcher.start(pod, secrets).await?;
        self.places().insert(pod.key.clone(), launcher);
        Ok(())
    }

    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError> {
        Ok(self.find(key).await?.map_or(PodState::Unknown, |(_, state)| state))
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError> {
        let found = self.find(key).await?.map(|(launcher, _)| vec![launcher]);
        let all = match found {
            Some(found) => found,
            // Nothing is seen of it yet; who is about to start it is told all the same.
            None => self.reachable(key).await,
        };
        for launcher in all {
            launcher.stop(key).await?;
        }
        Ok(())
    }

    async fn logs(&self, key: &PodKey, from: usize, max: usize) -> Result<Vec<LogLine>, LaunchError> {
        // Where a server is away, what the others kept can be read.
        for launcher in self.reachable(key).await {
            let lines = launcher.logs(key, from, max).await?;
            if !lines.is_empty() {
                return Ok(lines);
            }
        }
        Ok(Vec::new())
    }

    async fn forget(&self, key: &PodKey) {
        for launcher in self.reachable(key).await {
            launcher.forget(key).await;
        }
    }

    async fn over(&self, workflow: &Ended) {
        if let Some(host) = &self.host {
            host.over(workflow).await;
        }
        if let Some(contained) = self.opened() {
            contained.over(workflow).await;
        }
        let mut places = self.places();
        for key in &workflow.pods {
            places.remove(key);
        }
    }

    fn leave(&self, key: &PodKey) {
        if let Some(launcher) = self.places().remove(key) {
            launcher.leave(key);
        }
    }

    async fn remove(&self, key: &PodKey) {
        for launcher in self.reachable(key).await {
            launcher.remove(key).await;
        }
        self.places().remove(key);
    }
}

fn no_cluster(pod: &PodSpec) -> LaunchError {
    LaunchError::NotAllowed(format!(
        "template {} acts on objects of a Kubernetes cluster, and none is known here. Give tiphys a kubeconfig \
         (KUBECONFIG or `--kubeconfig FILE`), and the account that it may act as (`--service-accounts NAMESPACE/NAME`)",
        pod.template
    ))
}
