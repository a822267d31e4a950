//! Takes away what a workflow stored, as its `artifactGC` wants. The executor does it itself: no pod is needed, and no
//! account with rights to the store.

use tracing::warn;

use super::Service;
use crate::artifact::gc::{self, Strategy};
use crate::error::Error;
use crate::journal::{self, Change, State};
use crate::submit;

impl Service {
    /// Removes what is to go once a workflow is over, and writes that down. Returns the record's sequence; `None`:
    /// there was nothing to do.
    pub(super) async fn collect(&self, state: &State) -> Result<Option<u64>, Error> {
        if !gc::is_pending(state) {
            return Ok(None);
        }
        self.may_act().await;
        let problem = self.remove_artifacts(&gc::doomed(state, Strategy::Completion)).await;
        let record = journal::record(self.deps.clock.now(), vec![Change::Collected { problem }])?;
        let subject = submit::subject(&state.submission.namespace, &state.submission.name);
        let message = submit::message(&subject, &record)?.expect_last(state.sequence);
        Ok(Some(self.deps.bus.publish(message).await?.sequence))
    }

    /// Removes what is to go with the workflow. While that fails, the workflow stays, unless it says otherwise.
    pub(super) async fn collect_deleted(&self, state: &State) -> Result<(), Error> {
        let problem = self.remove_artifacts(&gc::doomed(state, Strategy::Deletion)).await;
        if problem.is_empty() || gc::is_forced(state) {
            return Ok(());
        }
        Err(Error::Artifacts(problem))
    }

    /// Removes all that can be. Returns why something could not.
    async fn remove_artifacts(&self, keys: &[String]) -> String {
        let mut problems: Vec<String> = Vec::new();
        for key in keys {
            let Some(store) = &self.config.artifacts else {
                return "this executor has no artifact store".into();
            };
            if let Err(error) = store.remove(key).await {
                warn!(%error, "an artifact cannot be removed");
                problems.push(error.to_string());
            }
        }
        problems.dedup();
        problems.join("; ")
    }
}
