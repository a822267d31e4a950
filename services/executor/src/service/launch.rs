//! Starts pods: in the room that there is, with the secrets that they name. Stops them where their server was away.

use std::sync::Arc;
use std::time::Duration;

use tiphys_core::PodKey;
use tiphys_kit::Backoff;
use tracing::{debug, warn};

use super::Service;
use super::inbox::Inbox;
use super::secrets;
use crate::launcher::{LaunchError, PodSpec, PodState, Secrets};
use crate::plan::{Observed, Seen};

/// A pod that ends sooner than this is never recorded as running: one append less for each short step.
const SHORT: Duration = Duration::from_millis(50);

/// What became of a start.
enum Began {
    Started,
    /// It was told to stop before, and nothing of it was started.
    Stopped,
    Refused(String),
}

impl Service {
    /// Starts a pod in a task of its own.
    pub(super) fn start(self: &Arc<Self>, spec: PodSpec, inbox: Arc<Inbox>) {
        let service = self.clone();
        self.tasks.spawn("start", async move {
            let stop = inbox.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = service.start_pod(&spec, &inbox) => {}
            }
        });
    }

    async fn start_pod(&self, spec: &PodSpec, inbox: &Inbox) {
        let report = |what| {
            inbox.seen(Seen { node: spec.node_id.clone(), pod: spec.key.clone(), what });
        };
        let Ok(room) = self.pods.clone().acquire_owned().await else {
            return;
        };
        if !inbox.starts(&spec.key, Some(room)) {
            return report(Observed::NeverStarted);
        }
        match self.launch(spec, inbox).await {
            Began::Started => {
                debug!(pod = spec.name, key = %spec.key, "a pod was started");
                tokio::time::sleep(SHORT).await;
                inbox.pod(spec.key.clone());
                if inbox.is_stopping(&spec.key) {
                    // Told while it began: there may have been nothing to stop yet.
                    self.stop_pod(&spec.key, inbox).await;
                }
            }
            Began::Stopped => report(Observed::NeverStarted),
            Began::Refused(why) => report(Observed::Refused(why)),
        }
    }

    /// Tries until the launcher takes it, or says that it never will.
    async fn launch(&self, spec: &PodSpec, inbox: &Inbox) -> Began {
        let launcher = &self.deps.launcher;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        loop {
            self.may_act().await;
            let secrets = match launcher.knows_secrets(spec) {
                true => Secrets::default(),
                false => match secrets::of(spec, &self.deps.catalog.snapshot()) {
                    Ok(secrets) => secrets,
                    Err(why) => return Began::Refused(why),
                },
            };
            let started = {
                let _turn = self.starting.acquire().await;
                launcher.start(spec, secrets).await
            };
            match started {
                Ok(()) => return Began::Started,
                Err(LaunchError::Unavailable(why)) => {
                    warn!(pod = spec.name, why, "a pod cannot be started for the moment");
                    let (node, pod) = (spec.node_id.clone(), spec.key.clone());
                    inbox.seen(Seen { node, pod, what: Observed::Waiting { message: why } });
                }
                Err(refused) => return Began::Refused(refused.to_string()),
            }
            tokio::time::sleep(backoff.next_wait()).await;
            while inbox.is_stopping(&spec.key) {
                // It may have been started all the same, and the answer been lost.
                match launcher.observe(&spec.key).await {
                    Ok(PodState::Unknown) => return Began::Stopped,
                    Ok(_) => return Began::Started,
                    Err(_) => tokio::time::sleep(backoff.next_wait()).await,
                }
            }
        }
    }

    /// Stops a pod in a task of its own.
    pub(super) fn stop_later(self: &Arc<Self>, key: PodKey, inbox: Arc<Inbox>) {
        let service = self.clone();
        self.tasks.spawn("stop", async move {
            let stop = inbox.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = service.stop_pod(&key, &inbox) => {}
            }
        });
    }

    /// Tells the launcher to stop a pod; tries again while its server is away.
    pub(super) async fn stop_pod(&self, key: &PodKey, inbox: &Inbox) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        while inbox.is_stopping(key) {
            match self.deps.launcher.stop(key).await {
                Ok(()) => return,
                Err(LaunchError::Unavailable(why)) => {
                    warn!(pod = %key, why, "a pod cannot be stopped for the moment");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                Err(error) => return warn!(pod = %key, %error, "a pod cannot be stopped"),
            }
        }
    }
}
