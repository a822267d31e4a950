//! Watches the schedules, and submits what is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::members::Members;
use tiphys_bus::{Bus, BusError};
use tiphys_catalog::Catalog;
use tiphys_core::workflow::{Command, Verb};
use tiphys_core::{Clock, Timestamp, chain};
use tiphys_kit::CancellationToken;
use tiphys_manifest::{Kind, Object};
use tracing::{info, warn};

use super::children::Children;
use super::decide::{Due, count, due, is_enough, surplus};
use super::memory::{self, Memory};
use super::{next_of, scheduled, schedules, spec_of};
use crate::error::Error;
use crate::submit;

/// At the latest it looks again after this: for history limits, and for a clock that was set.
const PAUSE: Duration = Duration::from_secs(10);

/// Runs until `stop`. The executors share the schedules as they share workflows.
pub(crate) async fn run(
    bus: Arc<dyn Bus>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    members: Arc<Members>,
    stop: CancellationToken,
) {
    let mut changed = catalog.changed();
    let mut views = members.watch();
    let mut cron = Cron { members: Some(members.clone()), ..Cron::new(bus, catalog, clock) };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = members.held() => {}
        }
        let next = match cron.look().await {
            Ok(next) => next,
            // Whoever follows the journals is told the same.
            Err(Error::Bus(BusError::Closed)) => return,
            Err(error) => {
                warn!(error = chain(&error), "schedules cannot be looked at, trying again");
                None
            }
        };
        let now = cron.clock.now();
        let left = next.and_then(|next| Duration::try_from(next.duration_since(now)).ok());
        tokio::select! {
            () = stop.cancelled() => return,
            _ = changed.changed() => {}
            _ = views.changed() => {}
            () = tokio::time::sleep(left.unwrap_or(PAUSE).min(PAUSE)) => {}
        }
    }
}

/// The watcher.
pub(super) struct Cron {
    bus: Arc<dyn Bus>,
    catalog: Catalog,
    clock: Arc<dyn Clock>,
    children: Children,
    /// With whom the schedules are shared.
    members: Option<Arc<Members>>,
    /// What was complained about, so that it is said once per revision.
    told: BTreeMap<(String, String), String>,
}

impl Cron {
    pub(super) fn new(bus: Arc<dyn Bus>, catalog: Catalog, clock: Arc<dyn Clock>) -> Self {
        Self { bus, catalog, clock, children: Children::default(), members: None, told: BTreeMap::new() }
    }

    /// Looks at every CronWorkflow. Returns the time of the next run of any.
    pub(super) async fn look(&mut self) -> Result<Option<Timestamp>, Error> {
        self.children.catch_up(self.bus.as_ref()).await?;
        let snapshot = self.catalog.snapshot();
        let mut next: Option<Timestamp> = None;
        for object in snapshot.of_kind(Kind::CronWorkflow) {
            if !self.is_mine(object) {
                continue;
            }
            match self.look_at(object).await {
                Ok(time) => next = [next, time].into_iter().flatten().min(),
                Err(Error::Bus(error)) => return Err(error.into()),
                Err(error) => self.complain(object, &error),
            }
        }
        Ok(next)
    }

    fn is_mine(&self, object: &Object) -> bool {
        let Some(members) = &self.members else { return true };
        let view = members.view();
        let piece = format!("{}/{}/{}", object.kind, object.namespace, object.name);
        view.is_settled() && view.is_mine(&piece, None)
    }

    fn complain(&mut self, object: &Object, error: &Error) {
        let key = (object.namespace.clone(), object.name.clone());
        let before = self.told.insert(key, object.revision.clone());
        if before.as_ref() != Some(&object.revision) {
            warn!(
                cron = format!("{}/{}", object.namespace, object.name),
                error = chain(error),
                "a CronWorkflow does not run until it is mended"
            );
        }
    }

    async fn look_at(&mut self, object: &Object) -> Result<Option<Timestamp>, Error> {
        let (spec, schedules) = (spec_of(object)?, schedules(object)?);
        let now = self.clock.now();
        let bus = self.bus.clone();
        let found = memory::read(bus.as_ref(), &object.namespace, &object.name).await?;
        let (before, sequence) = found.map_or((None, 0), |(memory, at)| (Some(memory), at));
        let mut memory = self.remembered(object, before.as_ref(), now);
        let children = &self.children;
        let runs: Vec<_> = children.of(&object.namespace, &object.name).collect();
        count(&mut memory, &runs);
        match is_enough(object, spec, &memory, now) {
            Ok(enough) => memory.stopped |= enough,
            Err(error) => {
                let why = format!("stopStrategy of CronWorkflow {}: {error}", object.name);
                return Err(Error::Invalid(why));
            }
        }
        let active: Vec<String> =
            runs.iter().filter(|run| !run.is_over()).map(|run| run.submission.name.clone()).collect();
        let too_many = surplus(spec, &runs);
        match due(object, spec, &schedules, &memory, active.len(), now) {
            Due::Nothing => {}
            Due::Skip(at, why) => {
                info!(cron = object.name, scheduled = %at, why, "a scheduled run is passed over");
                memory.last_scheduled_time = Some(at);
            }
            Due::Run(at) => {
                if spec.concurrency_policy.as_deref() == Some("Replace") {
                    // The run itself may be there: submitted before a crash, or by an owner that was stopped.
                    let own = scheduled(object, at, now)?.name;
                    let others: Vec<String> = active.into_iter().filter(|name| *name != own).collect();
                    self.terminate(object, &others, now).await?;
                }
                self.submit(object, at, now).await?;
                memory.last_scheduled_time = Some(at);
            }
        }
        for name in too_many {
            let command = submit::delete_command(now, &by(object), "history limit");
            self.command(object, &name, command).await?;
        }
        if before.as_ref() != Some(&memory) {
            memory::write(bus.as_ref(), &object.namespace, &object.name, &memory, sequence).await?;
        }
        let idle = spec.suspend || memory.stopped;
        Ok(next_of(&schedules, now).filter(|_| !idle))
    }

    /// What is remembered of this revision. An edit makes a new beginning, but what ran, ran.
    fn remembered(&self, object: &Object, before: Option<&Memory>, now: Timestamp) -> Memory {
        match before {
            Some(memory) if memory.revision == object.revision => memory.clone(),
            Some(memory) => Memory {
                last_scheduled_time: memory.last_scheduled_time,
                counted: memory.counted.clone(),
                succeeded: memory.succeeded,
                failed: memory.failed,
                ..Memory::new(&object.revision, now)
            },
            None => Memory::new(&object.revision, now),
        }
    }

    async fn submit(&self, object: &Object, at: Timestamp, now: Timestamp) -> Result<(), Error> {
        let submission = scheduled(object, at, now)?;
        match submit::submit(self.bus.as_ref(), &submission).await {
            Ok(_) => {
                info!(cron = object.name, workflow = submission.name, "submitted a scheduled run");
                Ok(())
            }
            // It was submitted before a crash, or by another process.
            Err(Error::Exists { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn terminate(&self, object: &Object, runs: &[String], now: Timestamp) -> Result<(), Error> {
        for name in runs {
            let command = Command {
                verb: Verb::Terminate,
                at: now,
                by: by(object),
                reason: "concurrencyPolicy is Replace".into(),
            };
            self.command(object, name, command).await?;
        }
        Ok(())
    }

    async fn command(&self, object: &Object, name: &str, command: Command) -> Result<(), Error> {
        match submit::command(self.bus.as_ref(), &object.namespace, name, command).await {
            Ok(_) | Err(Error::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn by(object: &Object) -> String {
    format!("cron/{}/{}", object.namespace, object.name)
}

#[cfg(test)]
mod tests;
