//! Containers that are there already: another process made them, or this one before it ended.

use std::collections::HashSet;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::RemoveContainerOptions;
use tiphys_core::PodKey;

use super::end::State;
use super::start::Failure;
use super::{LaunchError, Shared, error, labels, part};

/// A container that was made and not started belongs to its maker for so long.
const MAKERS: Duration = Duration::from_secs(10);
/// How a pod ends whose start was not answered, and is not known to the engine that came back.
pub(super) const UNSURE: &str = "the Docker engine went away while it started the container: whether it ran, or still runs, is not \
                      known, so it is not run again. A retryStrategy with retryPolicy Always or OnError tries it anew";
/// Why a pod is not started yet.
pub(super) const TAKEN: &str = "another process is about to start it";

impl Shared {
    /// The name is taken: by the same pod, or by something else.
    pub(super) async fn taken(self: &Arc<Self>, key: &PodKey) -> Result<(), Failure> {
        let found = self.inspect(&part::main_name(&self.config, key)).await?;
        let state = State::of(&found);
        if !state.is_of(&self.config, key) {
            let text = format!(
                "a container of somebody else is called {}: remove it, then retry the workflow",
                part::main_name(&self.config, key)
            );
            return Err(Failure::Launch(LaunchError::Missing(text)));
        }
        if state.was_started() {
            self.take_over(key, &found, state).await.map_err(Failure::Launch)?;
            self.announce(key).await;
            return Ok(());
        }
        if self.is_leftover(&found) {
            if self.unsure().remove(found.id.as_deref().unwrap_or_default()) {
                return Err(Failure::Ended(Box::new(error(None, self.clock.now(), UNSURE.to_owned()))));
            }
            self.remove_unstarted(&found).await;
        }
        Err(Failure::Taken)
    }

    /// Containers of which the engine did not say whether it started them. One that was killed just then does not know it itself:
    /// it calls them unstarted, and what runs in them goes on.
    pub(super) fn unsure(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a container that was not started has been there for longer than its maker would need.
    pub(super) fn is_leftover(&self, container: &ContainerInspectResponse) -> bool {
        let id = container.id.clone().unwrap_or_default();
        let mut unstarted = self.unstarted.lock().unwrap_or_else(PoisonError::into_inner);
        unstarted.retain(|_, since| since.elapsed() < 10 * MAKERS);
        unstarted.entry(id).or_insert_with(Instant::now).elapsed() >= MAKERS
    }

    /// Takes it away, unless it was started meanwhile: the engine does not remove what runs.
    async fn remove_unstarted(&self, container: &ContainerInspectResponse) {
        let id = container.id.as_deref().unwrap_or_default();
        let options = RemoveContainerOptions { v: true, ..RemoveContainerOptions::default() };
        if self.docker.remove_container(id, Some(options)).await.is_ok() {
            let labels = container.config.as_ref().and_then(|config| config.labels.as_ref());
            if let Some(key) = labels.and_then(|labels| labels.get(labels::POD)) {
                self.remove_all(&PodKey(key.clone())).await;
            }
        }
    }
}
