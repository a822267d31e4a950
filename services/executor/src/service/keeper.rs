//! Takes finished workflows away: when their `ttlStrategy` says so, when there are too many, when somebody asks.

use std::time::Duration;

use tiphys_bus::{BusError, streams};
use tiphys_core::workflow::WorkflowRecord;
use tiphys_core::{Timestamp, chain};
use tracing::{info, warn};

use super::Service;
use crate::artifact::kept;
use crate::error::Error;
use crate::journal::State;
use crate::projection::Key;
use crate::submit;

/// At the latest it looks again after this.
const PAUSE: Duration = Duration::from_secs(60);
/// Looks are at least so far apart, so that many ends at once are one look.
const GAP: Duration = Duration::from_millis(200);
/// A record of a deletion is kept for readers who are behind by no more than this.
const NOTICE: Duration = Duration::from_secs(3600);
/// Records of deletions looked at once.
const BATCH: usize = 500;

impl Service {
    /// Looks whenever a workflow ended or its time is over.
    pub(super) async fn keep(&self) {
        let stop = self.tasks.stop().clone();
        let mut tidied: Option<Timestamp> = None;
        loop {
            let next = match self.keep_once().await {
                Ok(next) => next,
                Err(error) => {
                    warn!(error = chain(&error), "finished workflows cannot be taken away");
                    None
                }
            };
            let now = self.deps.clock.now();
            if tidied.is_none_or(|at| crate::time::after(at, PAUSE) <= now) {
                tidied = Some(now);
                if let Err(error) = self.tidy_notices(now).await {
                    warn!(%error, "records of deletions cannot be taken away");
                }
            }
            let left = next.map(|next| next.duration_since(now));
            let left = left.and_then(|left| Duration::try_from(left).ok());
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.registry.finished.notified() => {}
                () = tokio::time::sleep(left.unwrap_or(PAUSE).min(PAUSE)) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(GAP) => {}
            }
        }
    }

    /// Asks for the deletion of what is not to be kept. Returns when the next is due.
    async fn keep_once(&self) -> Result<Option<Timestamp>, Error> {
        let now = self.deps.clock.now();
        let finished = self.registry.finished();
        let without = finished.iter().filter(|(_, f)| f.expires.is_none()).count();
        let mut surplus = without.saturating_sub(self.config.finished_max);
        let mut next: Option<Timestamp> = None;
        for (key, workflow) in finished {
            let mine = self.registry.is_mine(&key, workflow.launcher.as_ref());
            let why = match workflow.expires {
                Some(at) if at <= now => "ttlStrategy",
                Some(at) => {
                    next = Some(next.map_or(at, |next| next.min(at)));
                    continue;
                }
                None if surplus > 0 => {
                    surplus -= 1;
                    "too many finished workflows"
                }
                None => continue,
            };
            // Each executor counts all, and asks for its own.
            if mine {
                self.ask_deletion(&key, why).await?;
            }
        }
        Ok(next)
    }

    async fn ask_deletion(&self, key: &Key, why: &str) -> Result<(), Error> {
        let command = submit::delete_command(self.deps.clock.now(), "executor", why);
        let bus = self.deps.bus.as_ref();
        match submit::command(bus, &key.0, &key.1, command).await {
            Ok(_) => Ok(()),
            Err(Error::Missing(_)) => {
                self.registry.revived(key);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Removes everything that a workflow left. Each part may be done twice; the journal, which says that it
    /// is to be done, goes last.
    pub(super) async fn remove(&self, key: &Key, state: &State) -> Result<(), Error> {
        // Done late it would meet what a new workflow of this name has.
        self.may_act().await;
        for pod in state.pods() {
            self.deps.launcher.remove(pod).await;
            self.registry.disown(pod);
        }
        self.may_act().await;
        self.collect_deleted(state).await?;
        if let Some(artifacts) = &self.config.artifacts {
            let prefix = format!("{}/{}/", key.0, key.1);
            if let Err(error) = artifacts.remove(&prefix).await {
                warn!(prefix, %error, "artifacts cannot be removed");
            }
            if let Some(kept) = kept::of_workflow(state)
                && let Err(error) = artifacts.remove(&kept).await
            {
                warn!(workflow = key.1, %error, "kept logs stay in the store");
            }
        }
        let bus = &self.deps.bus;
        let command = submit::delete_command(self.deps.clock.now(), "executor", "");
        let notice =
            submit::message(&submit::deleted_subject(&key.0, &key.1), &WorkflowRecord::Command(command))?;
        // Said once, also by one who says it late.
        bus.publish(notice.id(format!("{}/deleted", state.submission.uid))).await?;
        let subject = submit::subject(&key.0, &key.1);
        bus.purge(streams::WORKFLOWS, &subject, Some(state.sequence)).await?;
        info!(workflow = format!("{}/{}", key.0, key.1), "a workflow was deleted");
        Ok(())
    }

    /// Forgets records of deletions that every reader has seen.
    async fn tidy_notices(&self, now: Timestamp) -> Result<(), BusError> {
        const FILTER: &str = "workflows.*.*.deleted";
        let bus = &self.deps.bus;
        let notices = bus.read(streams::WORKFLOWS, FILTER, 1, BATCH).await?;
        let old = notices.iter().take_while(|notice| crate::time::after(notice.stored, NOTICE) <= now);
        if let Some(last) = old.last() {
            bus.purge(streams::WORKFLOWS, FILTER, Some(last.sequence)).await?;
        }
        Ok(())
    }
}
