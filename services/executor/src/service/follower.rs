//! Reads the WORKFLOWS stream: all of it at the start, then what comes, and wakes whose record it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Message, streams};
use tiphys_core::chain;
use tracing::{error, info, warn};

use super::Service;
use super::driver::Driver;
use super::registry::Finished;
use crate::error::Error;
use crate::journal::{self, State};
use crate::launcher::PodState;
use crate::projection::Key;
use crate::submit::names_of;

/// Messages read at once.
const BATCH: usize = 512;
/// How long one look at the stream waits; only the drain is delayed by it, if at all.
const WAIT: Duration = Duration::from_secs(5);

impl Service {
    /// Reads all journals, and starts a driver for each workflow that is not over. Returns the position.
    pub(super) async fn load(self: &Arc<Self>) -> Result<u64, Error> {
        let mut states: HashMap<Key, State> = HashMap::new();
        let mut position = 0;
        loop {
            let bus = &self.deps.bus;
            let batch = bus.read(streams::WORKFLOWS, "", position + 1, BATCH).await?;
            let Some(last) = batch.last() else { break };
            position = last.sequence;
            for message in &batch {
                if let Some(key) = names_of(&message.subject)
                    && let Err(error) = take(&mut states, &key, message)
                {
                    error!(
                        subject = message.subject,
                        sequence = message.sequence,
                        error = chain(&error),
                        "a journal record is passed over"
                    );
                }
            }
        }
        let (mut live, mut finished) = (0, 0);
        for (key, state) in states {
            if state.is_over() && !state.deleted {
                finished += 1;
                self.registry.found(key, finished_of(&state));
                continue;
            }
            live += 1;
            for pod in state.pods() {
                self.registry.own(pod.clone(), &key);
            }
            if let Some(inbox) = self.registry.record(&key, state.sequence, true) {
                self.drive(key, inbox, Some(state));
            }
        }
        info!(live, finished, position, "read the journals of workflows");
        Ok(position)
    }

    /// Follows the stream.
    pub(super) async fn follow(self: &Arc<Self>, mut position: u64) -> Result<(), Error> {
        let mut backoff = tiphys_kit::Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            match self.follow_once(position).await {
                Ok(next) => {
                    position = next;
                    backoff.reset();
                }
                Err(Error::Bus(tiphys_bus::BusError::Closed)) => {
                    return Err(Error::Bus(tiphys_bus::BusError::Closed));
                }
                Err(error) => {
                    warn!(error = chain(&error), "the journals cannot be followed, trying again");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    async fn follow_once(self: &Arc<Self>, position: u64) -> Result<u64, Error> {
        let bus = &self.deps.bus;
        bus.wait_for(streams::WORKFLOWS, position, WAIT).await?;
        let batch = bus.read(streams::WORKFLOWS, "", position + 1, BATCH).await?;
        for message in &batch {
            let Some(key) = names_of(&message.subject) else {
                continue;
            };
            // Progress is written by the driver itself; without one it is another owner's.
            let wants = !message.payload.starts_with(b"{\"record\":\"progress\"");
            if let Some(inbox) = self.registry.record(&key, message.sequence, wants) {
                self.drive(key, inbox, None);
            }
        }
        Ok(batch.last().map_or(position, |last| last.sequence))
    }

    /// Takes the launcher's wake-ups to the workflows whose pods they name.
    pub(super) async fn route(&self, changes: &mut Option<tokio::sync::mpsc::Receiver<tiphys_core::PodKey>>) {
        let Some(changes) = changes else {
            return std::future::pending().await;
        };
        while let Some(pod) = changes.recv().await {
            match self.registry.owner(&pod) {
                Some(inbox) => inbox.pod(pod),
                None => self.orphan(&pod).await,
            }
        }
        // The launcher ended: nothing more will be heard of pods.
        std::future::pending().await
    }

    /// A pod whose workflow is over or gone: what it left is tidied up; if it still runs, it is stopped.
    async fn orphan(&self, pod: &tiphys_core::PodKey) {
        match self.deps.launcher.observe(pod).await {
            Ok(PodState::Ended(_)) => self.deps.launcher.forget(pod).await,
            Ok(PodState::Running { .. }) => {
                warn!(%pod, "a pod runs that no workflow waits for; it is stopped");
                if let Err(error) = self.deps.launcher.stop(pod).await {
                    warn!(%pod, %error, "it cannot be stopped");
                }
            }
            Ok(PodState::Unknown) => {}
            Err(error) => warn!(%pod, %error, "a pod cannot be looked at"),
        }
    }

    /// Starts the driver of a workflow.
    fn drive(self: &Arc<Self>, key: Key, inbox: Arc<super::registry::Inbox>, state: Option<State>) {
        let driver = Driver::new(self.clone(), key, inbox, state);
        self.tasks.spawn("workflow", driver.run());
    }
}

fn take(states: &mut HashMap<Key, State>, key: &Key, message: &Message) -> Result<(), Error> {
    let record = journal::parse(&message.payload)?;
    match (states.get_mut(key), record) {
        (Some(state), record) => state.apply(&record, message.sequence)?,
        (None, tiphys_core::workflow::WorkflowRecord::Submitted(submission)) => {
            let state = State::submitted(submission, message.sequence);
            states.insert(key.clone(), state);
        }
        (None, _) => {}
    }
    Ok(())
}

/// What is kept in mind of a workflow that ended.
pub(super) fn finished_of(state: &State) -> Finished {
    let at = state.finished.unwrap_or(state.submission.at);
    let ttl = state.definition.as_ref().and_then(|d| d.spec.ttl_strategy);
    let seconds = ttl.and_then(|ttl| {
        let own = match state.phase {
            Some(crate::node::Phase::Succeeded) => ttl.seconds_after_success,
            _ => ttl.seconds_after_failure,
        };
        own.or(ttl.seconds_after_completion)
    });
    let length = seconds.map(jiff::SignedDuration::from_secs);
    Finished { at, expires: length.and_then(|length| at.checked_add(length).ok()), sequence: state.sequence }
}
