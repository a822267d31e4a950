//! The runs of CronWorkflows, from the journals.

use std::collections::BTreeMap;

use tiphys_bus::{Bus, streams};
use tiphys_core::chain;
use tiphys_core::workflow::WorkflowRecord;
use tracing::warn;

use super::CRON_LABEL;
use crate::error::Error;
use crate::journal::{self, State};
use crate::projection::Key;
use crate::submit::names_of;

/// Messages read at once.
const BATCH: usize = 512;

/// All runs, as far as they exist.
#[derive(Debug, Default)]
pub(super) struct Children {
    states: BTreeMap<Key, State>,
    position: u64,
}

impl Children {
    /// Reads what is new.
    pub(super) async fn catch_up(&mut self, bus: &dyn Bus) -> Result<(), Error> {
        loop {
            let batch = bus.read(streams::WORKFLOWS, "", self.position + 1, BATCH).await?;
            let Some(last) = batch.last() else {
                return Ok(());
            };
            self.position = last.sequence;
            for message in &batch {
                if let Err(error) = self.take(&message.subject, &message.payload, message.sequence) {
                    warn!(subject = message.subject, error = chain(&error), "a record is passed over");
                }
            }
        }
    }

    fn take(&mut self, subject: &str, payload: &[u8], sequence: u64) -> Result<(), Error> {
        let Some(key) = names_of(subject) else {
            if let Some(key) = subject.strip_suffix(".deleted").and_then(names_of) {
                self.states.remove(&key);
            }
            return Ok(());
        };
        if let Some(state) = self.states.get_mut(&key) {
            return state.apply(&journal::parse(payload)?, sequence);
        }
        // Only the first record of a journal tells whose run it is, and most are nobody's.
        if !payload.starts_with(b"{\"record\":\"submitted\"") {
            return Ok(());
        }
        if let WorkflowRecord::Submitted(submission) = journal::parse(payload)?
            && submission.workflow["metadata"]["labels"].get(CRON_LABEL).is_some()
        {
            self.states.insert(key, State::submitted(submission, sequence));
        }
        Ok(())
    }

    /// The runs of one CronWorkflow that are not about to be deleted.
    pub(super) fn of<'c>(&'c self, namespace: &'c str, name: &'c str) -> impl Iterator<Item = &'c State> {
        self.states
            .values()
            .filter(move |state| state.submission.namespace == namespace && !state.deleted)
            .filter(move |state| state.label(CRON_LABEL).as_deref() == Some(name))
    }
}
