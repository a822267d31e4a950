//! The scheduler: sleeps until the next time of any cron workflow, then submits what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Bus, BusError, streams};
use tiphys_catalog::Catalog;
use tiphys_core::workflow::{Command, Verb};
use tiphys_core::{Clock, Timestamp, chain};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::{Kind, Object};
use tracing::{info, warn};

use super::history::History;
use super::memory::{self, Memory};
use super::{next_times, scheduled, schedules, spec};
use crate::error::Error;
use crate::submit;

/// A run that comes later than this was missed, and needs `startingDeadlineSeconds` to be made up for.
const LATE: i64 = 30;
/// The longest sleep, so that a clock that was set is noticed.
const NAP: Duration = Duration::from_secs(10);
/// Journal records per read.
const BATCH: usize = 256;

/// Runs until `stop`.
///
/// # Errors
/// Never by itself: a bus that is away is waited for.
pub async fn run(
    bus: Arc<dyn Bus>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), Error> {
    let mut scheduler =
        Scheduler { bus, catalog, clock, history: History::default(), refused: BTreeMap::new() };
    let mut changed = scheduler.catalog.changed();
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));
    loop {
        changed.mark_unchanged();
        let nap = match scheduler.pass().await {
            Ok(nap) => {
                backoff.reset();
                nap
            }
            Err(Error::Bus(BusError::Closed)) => return Ok(()),
            Err(error) => {
                warn!(error = chain(&error), "cron workflows wait for the bus");
                backoff.next_wait()
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = changed.changed() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

struct Scheduler {
    bus: Arc<dyn Bus>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    history: History,
    /// Revisions that were refused and said so, by namespace and name.
    refused: BTreeMap<(String, String), String>,
}

impl Scheduler {
    /// Looks at every cron workflow once; gives how long nothing is due.
    async fn pass(&mut self) -> Result<Duration, Error> {
        self.read_journals().await?;
        let snapshot = self.catalog.snapshot();
        let mut nap = NAP;
        for object in snapshot.of_kind(Kind::CronWorkflow) {
            if let Err(error) = self.look(object).await {
                match error {
                    Error::Bus(_) => return Err(error),
                    other => self.refuse(object, &other),
                }
            }
            let now = self.clock.now();
            let next = next_times(object, now, 1).ok().and_then(|times| times.first().copied());
            if let Some(next) = next {
                let left = next.duration_since(now).unsigned_abs();
                nap = nap.min(left.max(Duration::from_millis(1)));
            }
        }
        Ok(nap)
    }

    async fn read_journals(&mut self) -> Result<(), Error> {
        loop {
            let from = self.history.position() + 1;
            let records = self.bus.read(streams::WORKFLOWS, "", from, BATCH).await?;
            records.iter().for_each(|record| self.history.apply(record));
            if records.len() < BATCH {
                return Ok(());
            }
        }
    }

    /// Says once for each revision why it is not scheduled.
    fn refuse(&mut self, object: &Object, error: &Error) {
        let key = (object.namespace.clone(), object.name.clone());
        if self.refused.get(&key) != Some(&object.revision) {
            warn!(
                namespace = object.namespace,
                cron = object.name,
                error = chain(error),
                "a cron workflow is not scheduled"
            );
            self.refused.insert(key, object.revision.clone());
        }
    }

    async fn look(&mut self, object: &Arc<Object>) -> Result<(), Error> {
        let rules = spec(object)?;
        for (what, given) in [("when", rules.when.is_some()), ("stopStrategy", rules.stop_strategy.is_some())]
        {
            if given {
                return Err(Error::Invalid(format!("`{what}` of a CronWorkflow is not run by this version")));
            }
        }
        let schedules = schedules(object)?;
        self.tidy(object).await?;
        let now = self.clock.now();
        let (namespace, name) = (object.namespace.as_str(), object.name.as_str());
        let (known, over) = memory::read(self.bus.as_ref(), namespace, name).await?;
        let Some(mut memory) = known else {
            let first = Memory { version: 1, since: now, last: None };
            memory::write(self.bus.as_ref(), namespace, name, &first, 0).await?;
            return Ok(());
        };
        let since = memory.last.unwrap_or(memory.since).max(memory.since);
        let due = schedules.iter().filter_map(|schedule| schedule.latest_due(since, now)).max();
        let Some(due) = due else { return Ok(()) };
        if !rules.suspend && self.in_time(object, due, now)? {
            self.fire(object, due, now).await?;
        }
        memory.last = Some(due);
        // A crash before this submits the same name again, which is there already.
        memory::write(self.bus.as_ref(), namespace, name, &memory, over).await?;
        Ok(())
    }

    /// Whether a run may still start: on time, or missed within `startingDeadlineSeconds`.
    fn in_time(&self, object: &Object, due: Timestamp, now: Timestamp) -> Result<bool, Error> {
        let late = now.as_second() - due.as_second();
        let deadline = spec(object)?.starting_deadline_seconds.unwrap_or(0);
        if late <= LATE.max(deadline) {
            return Ok(true);
        }
        info!(
            namespace = object.namespace, cron = object.name, %due, late_seconds = late,
            "a run was missed and is not made up for; startingDeadlineSeconds would allow it"
        );
        Ok(false)
    }

    async fn fire(&mut self, object: &Object, due: Timestamp, now: Timestamp) -> Result<(), Error> {
        let submission = scheduled(object, due, now)?;
        let (namespace, name) = (object.namespace.as_str(), object.name.as_str());
        // Before the policy: the run that is there already is not one to be replaced.
        if self.history.knows(namespace, &submission.name) {
            return Ok(());
        }
        let active = self.history.active(namespace, name);
        match spec(object)?.concurrency_policy.as_deref().unwrap_or("Allow") {
            "Forbid" if !active.is_empty() => {
                info!(namespace, cron = name, %due, active = active.join(","), "not started: concurrencyPolicy is Forbid");
                return Ok(());
            }
            "Replace" => {
                for child in &active {
                    self.ask(object, child, Verb::Terminate, "replaced by the next run").await?;
                }
            }
            _ => {}
        }
        match submit::submit(self.bus.as_ref(), &submission).await {
            Ok(_) => info!(namespace, cron = name, %due, workflow = submission.name, "cron workflow started"),
            Err(Error::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Deletes finished children beyond the history limits.
    async fn tidy(&self, object: &Object) -> Result<(), Error> {
        let limit = |given: Option<i64>, usual: usize| {
            given.map_or(usual, |given| usize::try_from(given).unwrap_or(0))
        };
        let rules = spec(object)?;
        let keep = (limit(rules.successful_jobs_history_limit, 3), limit(rules.failed_jobs_history_limit, 1));
        for child in self.history.too_many(&object.namespace, &object.name, keep.0, keep.1) {
            self.ask(object, &child, Verb::Delete, "beyond the history limit").await?;
        }
        Ok(())
    }

    async fn ask(&self, object: &Object, child: &str, verb: Verb, why: &str) -> Result<(), Error> {
        let command = Command {
            verb,
            at: self.clock.now(),
            by: format!("cron/{}/{}", object.namespace, object.name),
            reason: why.to_owned(),
        };
        match submit::command(self.bus.as_ref(), &object.namespace, child, command).await {
            // It went away by itself.
            Ok(_) | Err(Error::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
