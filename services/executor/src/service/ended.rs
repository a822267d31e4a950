//! What a launcher is told when a workflow has ended.

use std::sync::Arc;
use std::time::Duration;

use tiphys_core::Timestamp;

use super::Service;
use crate::journal::State;
use crate::launcher::Ended;
use crate::node::Phase;
use crate::plan::{collect, pod};
use crate::projection::Key;
use crate::time;

/// A workflow that is over.
pub(super) struct Over {
    key: Key,
    /// Its last record.
    sequence: u64,
    ended: Ended,
    /// When `podGC` takes its pods, where that is not yet.
    later: Option<Timestamp>,
    finished: Timestamp,
}

impl Over {
    /// What is to be told of it now.
    pub(super) fn of(key: &Key, state: &State, now: Timestamp) -> Self {
        let finished = state.finished.unwrap_or(state.submission.at);
        let collected = collect::of_workflow(state).map(|delay| time::after(finished, delay));
        let collect = collected.is_some_and(|at| at <= now);
        Self {
            key: key.clone(),
            sequence: state.sequence,
            ended: Ended { collect, ..what_ended(state) },
            later: collected.filter(|_| !collect),
            finished,
        }
    }

    /// When there is nothing more to be told.
    pub(super) fn last(&self) -> Timestamp {
        self.later.unwrap_or(self.finished)
    }
}

impl Service {
    /// Tells the launcher of the end: what the pods shared goes, and those that `podGC` takes at once.
    pub(super) async fn tell_end(&self, over: &Over) {
        self.deps.launcher.over(&over.ended).await;
    }

    /// Tells the launcher once more when `podGC` takes pods later. The registry knows by now that the workflow is over.
    pub(super) fn collect_later(self: &Arc<Self>, over: Over) {
        let Some(at) = over.later else { return };
        let service = self.clone();
        self.tasks.spawn("collect pods later", async move {
            let left = at.duration_since(service.deps.clock.now());
            tokio::select! {
                () = service.tasks.stop().cancelled() => return,
                () = tokio::time::sleep(Duration::try_from(left).unwrap_or_default()) => {}
            }
            // It may have been retried meanwhile, or deleted.
            if service.registry.is_over(&over.key, over.sequence) {
                service.deps.launcher.over(&Ended { collect: true, ..over.ended }).await;
            }
        });
    }
}

/// What goes with the workflow, its pods aside.
fn what_ended(state: &State) -> Ended {
    let spec = state.definition.as_ref().map(|definition| &definition.spec);
    let strategy = spec.and_then(|spec| spec.volume_claim_gc.as_ref()?.get("strategy")?.as_str());
    // Argo's default: what a failed workflow worked on may still be wanted.
    let volumes_go = state.phase == Some(Phase::Succeeded) || strategy == Some("OnWorkflowCompletion");
    let claims = spec.into_iter().flat_map(|spec| &spec.volume_claim_templates);
    let claims = claims.filter_map(|claim| claim.metadata.name.as_deref());
    Ended {
        namespace: state.submission.namespace.clone(),
        name: state.submission.name.clone(),
        uid: state.submission.uid.clone(),
        claims: claims
            .filter(|_| volumes_go)
            .map(|claim| pod::claim_name(&state.submission.name, claim))
            .collect(),
        pods: state.pods().cloned().collect(),
        collect: false,
    }
}
