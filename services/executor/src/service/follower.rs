//! Reads the WORKFLOWS stream: all of it at the start, then what comes, and wakes whose record it is.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Message, streams};
use tiphys_core::workflow::WorkflowRecord;
use tiphys_core::{Classify as _, Fault, PodKey, chain};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::Service;
use super::ended::Over;
use super::registry::{Finished, Wanted, Whose};
use crate::artifact::gc;
use crate::error::Error;
use crate::journal::{self, State};
use crate::projection::Key;
use crate::submit::names_of;

/// What ended longer ago was tidied up after by whoever ran since.
const RECENT: Duration = Duration::from_secs(3600);
/// Messages read at once.
const BATCH: usize = 512;
/// How long one look at the stream waits; only the drain is delayed by it, if at all.
const WAIT: Duration = Duration::from_secs(5);

impl Service {
    /// Reads all journals; waits for a bus that is away.
    pub(super) async fn load_patiently(self: &Arc<Self>) -> Result<u64, Error> {
        let mut backoff = tiphys_kit::Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            match self.load().await {
                Err(error) if error.fault() == Fault::Transient => {
                    warn!(error = chain(&error), "the journals cannot be read, trying again");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
                other => return other,
            }
        }
    }

    /// Reads all journals. Returns what they add up to, and the position.
    pub(super) async fn read_journals(&self) -> Result<(HashMap<Key, State>, u64), Error> {
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
        Ok((states, position))
    }

    /// Takes note of all workflows. Returns the position.
    async fn load(self: &Arc<Self>) -> Result<u64, Error> {
        let (states, position) = self.read_journals().await?;
        let (mut live, mut finished) = (0, 0);
        let mut recent = Vec::new();
        let now = self.deps.clock.now();
        for (key, state) in states {
            if is_done(&state) {
                finished += 1;
                let over = Over::of(&key, &state, now);
                if crate::time::after(over.last(), RECENT) > now {
                    recent.push(over);
                }
                self.registry.found(key, finished_of(&state));
            } else {
                live += 1;
                self.registry.loaded(key, state);
            }
        }
        info!(live, finished, position, "read the journals of workflows");
        self.tidy_after(recent);
        Ok(position)
    }

    /// Whoever wrote the end of a workflow may have been killed before its launcher heard of it.
    fn tidy_after(self: &Arc<Self>, recent: Vec<Over>) {
        if recent.is_empty() {
            return;
        }
        let service = self.clone();
        self.tasks.spawn("tidy after workflows", async move {
            for over in recent {
                service.tell_end(&over).await;
                service.collect_later(over);
            }
        });
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
                if let Some(key) = message.subject.strip_suffix(".deleted").and_then(names_of) {
                    self.registry.deleted(&key);
                }
                continue;
            };
            match self.registry.record(&key, message) {
                Wanted::Nothing => {}
                Wanted::Driver(taken) => self.drive(taken),
                Wanted::Look => match self.look_at_end(key, message).await {
                    Err(Error::Bus(error)) => return Err(error.into()),
                    Err(error) => warn!(subject = message.subject, error = chain(&error), "not understood"),
                    Ok(()) => {}
                },
            }
        }
        Ok(batch.last().map_or(position, |last| last.sequence))
    }

    /// Takes the launcher's wake-ups to the workflows whose pods they name.
    pub(super) async fn route(
        &self,
        changes: &mut Option<mpsc::Receiver<PodKey>>,
        strays: mpsc::Sender<PodKey>,
    ) {
        let Some(changes) = changes else {
            return std::future::pending().await;
        };
        while let Some(pod) = changes.recv().await {
            match self.registry.whose(&pod) {
                Whose::Mine(inbox) => inbox.pod(pod),
                Whose::Another => self.deps.launcher.leave(&pod),
                Whose::Nobody => {
                    let _ = strays.try_send(pod);
                }
            }
        }
        // The launcher ended: nothing more will be heard of pods.
        std::future::pending().await
    }

    /// Keeps in mind how another executor's workflow ended.
    async fn look_at_end(&self, key: Key, ended: &Message) -> Result<(), Error> {
        let (mut state, mut position) = (None, 0);
        loop {
            let batch = self.deps.bus.read(streams::WORKFLOWS, &ended.subject, position + 1, BATCH).await?;
            let Some(last) = batch.last() else { break };
            position = last.sequence;
            for message in &batch {
                add(&mut state, message)?;
            }
        }
        if let Some(state) = state.filter(is_done) {
            self.registry.found(key, finished_of(&state));
        }
        Ok(())
    }
}

/// Whether nobody has to do anything about it any more.
fn is_done(state: &State) -> bool {
    state.is_over() && !state.deleted && !gc::is_pending(state)
}

fn take(states: &mut HashMap<Key, State>, key: &Key, message: &Message) -> Result<(), Error> {
    let mut state = states.remove(key);
    let added = add(&mut state, message);
    if let Some(state) = state {
        states.insert(key.clone(), state);
    }
    added
}

fn add(state: &mut Option<State>, message: &Message) -> Result<(), Error> {
    let record = journal::parse(&message.payload)?;
    match (state, record) {
        (Some(state), record) => state.apply(&record, message.sequence)?,
        (state, WorkflowRecord::Submitted(submission)) => {
            *state = Some(State::submitted(submission, message.sequence));
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
    Finished {
        at,
        expires: length.and_then(|length| at.checked_add(length).ok()),
        sequence: state.sequence,
        launcher: state.launcher.clone(),
        news: false,
    }
}
