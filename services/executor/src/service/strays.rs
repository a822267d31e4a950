//! Pods that no workflow waits for: left by one that is over or gone. What they left is tidied up, and what still
//! runs is stopped.

use std::collections::HashSet;
use std::time::Duration;

use tiphys_core::{PodKey, chain};
use tokio::sync::mpsc;
use tracing::warn;

use super::Service;
use crate::error::Error;
use crate::launcher::PodState;

/// So many may wait; what is more is found at the next start.
pub(super) const MOST: usize = 1024;
/// They are gathered for so long: each look reads all journals.
const GATHER: Duration = Duration::from_secs(1);

impl Service {
    /// Looks at pods of which this executor knows nothing.
    pub(super) async fn tidy_strays(&self, mut strays: mpsc::Receiver<PodKey>) {
        let (mut pods, stop) = (Vec::new(), self.tasks.stop());
        while strays.recv_many(&mut pods, MOST).await > 0 {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GATHER) => {}
            }
            while let Ok(pod) = strays.try_recv() {
                pods.push(pod);
            }
            // Read after the pods were heard of: the record of a pod is older than the pod.
            match self.waited_for().await {
                Ok(waited) => {
                    for pod in pods.iter().filter(|pod| !waited.contains(*pod)) {
                        self.orphan(pod).await;
                    }
                }
                Err(error) => warn!(error = chain(&error), "pods of nobody are not tidied up"),
            }
            pods.clear();
        }
    }

    /// The pods of all workflows that are not over, whoever owns them.
    async fn waited_for(&self) -> Result<HashSet<PodKey>, Error> {
        let (states, _) = self.read_journals().await?;
        let going = states.values().filter(|state| !state.is_over() || state.deleted);
        Ok(going.flat_map(|state| state.pods().cloned().collect::<Vec<_>>()).collect())
    }

    async fn orphan(&self, pod: &PodKey) {
        match self.deps.launcher.observe(pod).await {
            Ok(PodState::Ended(_)) => self.deps.launcher.forget(pod).await,
            Ok(PodState::Running { .. } | PodState::Pending { .. }) => {
                warn!(%pod, "a pod runs that no workflow waits for; it is stopped");
                if let Err(error) = self.deps.launcher.stop(pod).await {
                    warn!(%pod, %error, "it cannot be stopped");
                }
            }
            Ok(PodState::Unknown) => {}
            Err(error) => warn!(%pod, %error, "a pod cannot be looked at"),
        }
    }
}
