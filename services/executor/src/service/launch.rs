//! Starts pods: in the room that there is, with the secrets that they name.

use std::sync::Arc;
use std::time::Duration;

use tiphys_kit::Backoff;
use tracing::{debug, warn};

use super::Service;
use super::inbox::Inbox;
use super::secrets;
use crate::launcher::{LaunchError, PodSpec, Secrets};
use crate::plan::{Observed, Seen};

/// A pod that ends sooner than this is never recorded as running: one append less for each short step.
const SHORT: Duration = Duration::from_millis(50);

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
        match self.launch(spec).await {
            Ok(()) => {
                debug!(pod = spec.name, key = %spec.key, "a pod was started");
                tokio::time::sleep(SHORT).await;
                inbox.pod(spec.key.clone());
            }
            Err(why) => report(Observed::Refused(why)),
        }
    }

    /// Tries until the launcher takes it, or says that it never will.
    async fn launch(&self, spec: &PodSpec) -> Result<(), String> {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        loop {
            self.may_act().await;
            let launcher = &self.deps.launcher;
            let secrets = match launcher.knows_secrets(spec) {
                true => Secrets::default(),
                false => secrets::of(spec, &self.deps.catalog.snapshot())?,
            };
            let started = {
                let _turn = self.starting.acquire().await;
                launcher.start(spec, secrets).await
            };
            match started {
                Ok(()) => return Ok(()),
                Err(LaunchError::Unavailable(why)) => {
                    warn!(pod = spec.name, why, "a pod cannot be started for the moment");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                Err(refused) => return Err(refused.to_string()),
            }
        }
    }
}
