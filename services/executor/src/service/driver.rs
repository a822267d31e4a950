//! One workflow from its submission to its end: read what is new, look at pods, plan, write down, carry out.

mod pods;

use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{BusError, streams};
use tiphys_catalog::Held;
use tiphys_core::{Classify, Fault, PodKey, Timestamp, chain};
use tiphys_kit::Backoff;
use tracing::{debug, info, warn};

use super::Service;
use super::ended::Over;
use super::follower::finished_of;
use super::inbox::Inbox;
use super::registry::Finished;
use crate::error::Error;
use crate::journal::{self, Change, State};
use crate::node::Phase;
use crate::plan::{Context, Observed, Plan, Seen, plan};
use crate::projection::Key;
use crate::submit;
use crate::trace::{self, Place};
use pods::active_pods;

/// Records read at once.
const BATCH: usize = 256;

/// The driver of one workflow.
pub(super) struct Driver {
    service: Arc<Service>,
    key: Key,
    subject: String,
    inbox: Arc<Inbox>,
    state: Option<State>,
    /// What it names is in the catalog while it is driven.
    held: Option<Held>,
    /// Everything is to be looked at: it starts, or an append failed.
    afresh: bool,
    wake: Option<Timestamp>,
}

/// What comes after a turn.
enum Turn {
    /// Wait for news, or for the time in `wake`.
    Wait,
    /// At once again.
    Again,
    /// The workflow is over, and everything is tidy.
    Over,
}

impl Driver {
    pub(super) fn new(service: Arc<Service>, key: Key, inbox: Arc<Inbox>, state: Option<State>) -> Self {
        Self {
            subject: submit::subject(&key.0, &key.1),
            service,
            key,
            inbox,
            state,
            held: None,
            afresh: true,
            wake: None,
        }
    }

    pub(super) async fn run(mut self) {
        let stop = self.inbox.stop.clone();
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(5));
        loop {
            let turn = tokio::select! {
                () = stop.cancelled() => return,
                turn = self.turn() => turn,
            };
            let pause = match turn {
                Ok(Turn::Over) => return,
                Ok(Turn::Again) => continue,
                Ok(Turn::Wait) => {
                    backoff.reset();
                    self.until_wake()
                }
                Err(error) => {
                    self.afresh = true;
                    warn!(workflow = self.name(), error = chain(&error), "a turn failed, trying again");
                    backoff.next_wait()
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.inbox.woken() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn name(&self) -> String {
        format!("{}/{}", self.key.0, self.key.1)
    }

    fn until_wake(&self) -> Duration {
        const LONG: Duration = Duration::from_secs(3600);
        let now = self.service.deps.clock.now();
        let left = self.wake.map(|wake| wake.duration_since(now));
        left.map_or(LONG, |left| Duration::try_from(left).unwrap_or(Duration::ZERO).min(LONG))
    }

    async fn turn(&mut self) -> Result<Turn, Error> {
        self.service.may_act().await;
        let position = self.inbox.position();
        let fresh = self.catch_up().await?;
        let Some(state) = self.state.as_ref() else {
            // Purged, or a command to what is not there.
            return Ok(self.leave(position, None));
        };
        if self.held.is_none() && !state.is_over() {
            let held = self.service.deps.catalog.hold(&self.key.0, &state.submission.workflow);
            self.held = Some(held.await);
        }
        let (mut pods, mut seen) = self.inbox.take();
        if std::mem::take(&mut self.afresh) {
            self.inbox.bind(state.launcher.as_ref());
            if self.service.registry.is_foreign(&self.key, state.launcher.as_ref()) {
                // Bound to a launcher that is not seen from here.
                return Ok(self.pass_on());
            }
            for pod in active_pods(state).filter_map(|node| node.pod.clone()) {
                self.service.registry.own(pod.clone(), &self.key);
                pods.insert(pod);
            }
            self.service.registry.revived(&self.key);
        } else if !fresh && pods.is_empty() && seen.is_empty() && self.until_wake() > Duration::ZERO {
            return Ok(Turn::Wait);
        }
        self.tidy_daemons(state, &pods).await;
        let (news, trouble) = self.look(state, &pods).await;
        seen.extend(news);
        let mut decided = self.with_context(|context| plan(state, &seen, context));
        if !decided.changes.is_empty() {
            self.bind(&mut decided);
            match self.append(state.sequence, &decided).await {
                Ok(sequence) => {
                    decided.state.sequence = sequence;
                    trace::tell_steps(&decided.state, &decided.changes);
                }
                Err(error) => {
                    let again = self.not_appended(error).await;
                    self.inbox.put_back(pods, seen);
                    return again;
                }
            }
        }
        self.carry_out(decided, &seen).await;
        match trouble {
            Some(error) => Err(error),
            None => self.finish_if_over().await,
        }
    }

    /// Binds a workflow that begins to the launcher that will have its pods.
    fn bind(&self, decided: &mut Plan) {
        let Some(launcher) = &self.service.launcher else { return };
        for change in &mut decided.changes {
            if let Change::Begun(begun) = change {
                begun.launcher = Some(launcher.to_string());
                decided.state.launcher = Some(launcher.clone());
                self.inbox.bind(Some(launcher));
            }
        }
    }

    /// Ends the driver: the workflow is another executor's.
    fn pass_on(&self) -> Turn {
        self.service.registry.let_go(&self.key, &self.inbox);
        Turn::Over
    }

    /// What is to be done about a record that was not stored, or may not have been.
    async fn not_appended(&mut self, error: BusError) -> Result<Turn, Error> {
        self.afresh = true;
        if let BusError::Conflict { actual, .. } = error {
            debug!(workflow = self.name(), actual, "somebody wrote first, planning again");
            self.inbox.record(actual);
            return Ok(Turn::Again);
        }
        if error.fault() == Fault::Permanent {
            // It will not be stored, however often it is tried.
            return self.give_up(&error).await;
        }
        // It may have been stored or not: what stands in the journal decides.
        self.state = None;
        Err(error.into())
    }

    /// Ends a workflow whose journal cannot hold what is to be written.
    async fn give_up(&mut self, error: &BusError) -> Result<Turn, Error> {
        let Some(state) = self.state.as_ref() else {
            return Ok(Turn::Again);
        };
        warn!(
            workflow = self.name(),
            error = chain(error),
            "the journal refuses a record, the workflow ends"
        );
        let ended = Change::Ended {
            phase: Phase::Error,
            message: format!("the journal refuses what came next: {error}"),
        };
        let running: Vec<PodKey> = active_pods(state).filter_map(|node| node.pod.clone()).collect();
        let record = journal::record(self.service.deps.clock.now(), vec![ended])?;
        let message = submit::message(&self.subject, &record)?.expect_last(state.sequence);
        let sequence = self.service.deps.bus.publish(message).await?.sequence;
        self.inbox.record(sequence);
        for key in running {
            self.stop(&key).await;
        }
        Ok(Turn::Again)
    }

    /// Reads what was added to the journal. Says whether there was something.
    async fn catch_up(&mut self) -> Result<bool, Error> {
        let mut fresh = false;
        loop {
            let position = self.state.as_ref().map_or(0, |state| state.sequence);
            if self.state.is_some() && self.inbox.position() <= position {
                return Ok(fresh);
            }
            let bus = &self.service.deps.bus;
            let batch = bus.read(streams::WORKFLOWS, &self.subject, position + 1, BATCH).await?;
            let Some(last) = batch.last() else {
                if self.state.is_some() && bus.last(&self.subject).await?.is_none() {
                    self.state = None;
                }
                return Ok(fresh);
            };
            let last = last.sequence;
            fresh = true;
            for message in &batch {
                let record = journal::parse(&message.payload)?;
                match &mut self.state {
                    Some(state) => state.apply(&record, message.sequence)?,
                    None => {
                        if let tiphys_core::workflow::WorkflowRecord::Submitted(submission) = record {
                            self.state = Some(State::submitted(submission, message.sequence));
                        }
                    }
                }
            }
            if self.state.is_none() {
                return Ok(false);
            }
            self.inbox.record(last);
        }
    }

    fn with_context<T>(&self, body: impl FnOnce(&Context<'_>) -> T) -> T {
        let service = &self.service;
        let launcher = service.deps.launcher.clone();
        let path_of = move |key: &PodKey, on_host: bool, path: &str| launcher.path_of(key, on_host, path);
        let snapshot = service.deps.catalog.snapshot();
        body(&Context {
            now: service.deps.clock.now(),
            catalog: &snapshot,
            path_of: &path_of,
            archive_logs: service.config.archive_logs,
            grace: service.config.grace,
            trace: self.state.as_ref().and_then(Place::of),
        })
    }

    async fn append(&self, expected: u64, decided: &Plan) -> Result<u64, BusError> {
        let _planner = self.service.planners.acquire().await;
        let invalid = |error: Error| BusError::Invalid { reason: chain(&error) };
        let record = journal::record(decided.at, decided.changes.clone()).map_err(invalid)?;
        let message = submit::message(&self.subject, &record).map_err(invalid)?;
        let acked = self.service.deps.bus.publish(message.expect_last(expected)).await?;
        Ok(acked.sequence)
    }

    /// What was decided is durable: it is done.
    async fn carry_out(&mut self, decided: Plan, seen: &[Seen]) {
        self.wake = decided.wake;
        for spec in decided.starts {
            self.start(spec);
        }
        self.start_again(&decided.state);
        self.state = Some(decided.state);
        for key in decided.stops {
            self.stop(&key).await;
        }
        for one in seen {
            if matches!(one.what, Observed::Running { .. } | Observed::Waiting { .. }) {
                continue;
            }
            self.inbox.ended(&one.pod);
            self.service.registry.disown(&one.pod);
            if matches!(one.what, Observed::Ended(_)) {
                self.service.deps.launcher.forget(&one.pod).await;
            }
        }
    }

    async fn finish_if_over(&mut self) -> Result<Turn, Error> {
        let Some(state) = self.state.as_ref().filter(|state| state.is_over()) else {
            return Ok(Turn::Wait);
        };
        if state.deleted {
            self.service.remove(&self.key, state).await?;
            self.state = None;
            return Ok(Turn::Again);
        }
        if let Some(sequence) = self.service.collect(state).await? {
            self.inbox.record(sequence);
            return Ok(Turn::Again);
        }
        let phase = state.phase.map_or("", Phase::as_str);
        info!(workflow = self.name(), phase, message = state.message, "a workflow ended");
        let over = Over::of(&self.key, state, self.service.deps.clock.now());
        self.service.tell_end(&over).await;
        trace::tell_workflow(state);
        metrics::counter!("argo_workflows_total_count", "phase" => phase,
            "namespace" => self.key.0.clone())
        .increment(1);
        let turn = self.leave(state.sequence, Some(finished_of(state)));
        self.service.collect_later(over);
        Ok(turn)
    }

    /// Ends the driver, unless something arrived after `position`.
    fn leave(&self, position: u64, finished: Option<Finished>) -> Turn {
        let left = self.service.registry.leave(&self.key, &self.inbox, position, finished);
        if left { Turn::Over } else { Turn::Again }
    }
}
