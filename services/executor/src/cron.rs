//! CronWorkflows: workflows that start by the clock.
//!
//! A child is called after its cron workflow and the unix time that it was scheduled for, and is submitted by
//! compare-and-set on that name: of two schedulers, or of one before and after a crash, one makes it. What was
//! scheduled last stands on the CRON stream, and never runs backwards.

mod history;
mod memory;
mod scheduler;

use jiff::tz::TimeZone;
use serde_json::json;
use tiphys_bus::Bus;
use tiphys_core::Timestamp;
use tiphys_core::workflow::Submission;
use tiphys_lang::cron::Schedule;
use tiphys_manifest::workflow::CronWorkflowSpec;
use tiphys_manifest::{Object, Spec};

use crate::error::Error;
use crate::submit::{self, Options};

pub use scheduler::run;

/// Annotation of a child: the time that it was scheduled for. It feeds `workflow.scheduledTime`.
pub const SCHEDULED_TIME: &str = "workflows.argoproj.io/scheduled-time";
/// Label of a child: its cron workflow.
pub const CRON_LABEL: &str = "workflows.argoproj.io/cron-workflow";

/// The next `count` times of a cron workflow, over all its schedules.
///
/// # Errors
/// Fails on a schedule or a time zone that is none.
pub fn next_times(object: &Object, now: Timestamp, count: usize) -> Result<Vec<Timestamp>, Error> {
    let schedules = schedules(object)?;
    let (mut times, mut at) = (Vec::new(), now);
    while times.len() < count {
        let next = schedules.iter().filter_map(|schedule| schedule.next_after(at)).min();
        let Some(next) = next else { break };
        times.push(next);
        at = next;
    }
    Ok(times)
}

/// The time that a cron workflow was scheduled for last, if ever.
///
/// # Errors
/// Fails when the bus does.
pub async fn last_scheduled(
    bus: &dyn Bus,
    namespace: &str,
    name: &str,
) -> Result<Option<Timestamp>, Error> {
    let (memory, _) = memory::read(bus, namespace, name).await?;
    Ok(memory.and_then(|memory| memory.last))
}

/// A submission of a cron workflow out of its time. `seed` makes its name.
///
/// # Errors
/// Fails when the object cannot be submitted.
pub fn run_now(object: &Object, now: Timestamp, seed: &str, by: &str) -> Result<Submission, Error> {
    // Apart from every scheduled child, whose suffix is a number alone.
    let name = format!("{}-now-{}", object.name, submit::suffix(seed));
    child(object, name, now, now, seed, by)
}

fn scheduled(object: &Object, at: Timestamp, now: Timestamp) -> Result<Submission, Error> {
    let name = format!("{}-{}", object.name, at.as_second());
    let seed = format!("{}/{}/{name}", object.namespace, object.uid);
    let by = format!("cron/{}/{}", object.namespace, object.name);
    child(object, name, at, now, &seed, &by)
}

fn child(
    object: &Object,
    name: String,
    at: Timestamp,
    now: Timestamp,
    seed: &str,
    by: &str,
) -> Result<Submission, Error> {
    let mut workflow = submit::from_object(object)?;
    workflow["metadata"]["annotations"][SCHEDULED_TIME] = json!(crate::status::time_text(at));
    let options = Options { name: Some(name), by: by.to_owned(), ..Options::default() };
    submit::prepare(&workflow, &object.namespace, &options, now, seed)
}

/// The spec of a cron workflow.
fn spec(object: &Object) -> Result<&CronWorkflowSpec, Error> {
    match &object.spec {
        Spec::CronWorkflow(spec) => Ok(spec),
        _ => Err(Error::Invalid(format!("{}/{} is no CronWorkflow", object.kind, object.name))),
    }
}

/// Its schedules, compiled.
fn schedules(object: &Object) -> Result<Vec<Schedule>, Error> {
    let spec = spec(object)?;
    let invalid = |why: String| {
        Error::Invalid(format!("CronWorkflow {}/{}: {why}", object.namespace, object.name))
    };
    let zone = match spec.timezone.as_deref() {
        None | Some("") => TimeZone::UTC,
        Some(name) => TimeZone::get(name)
            .map_err(|_| invalid(format!("`{name}` is no time zone, such as Europe/Berlin")))?,
    };
    let compiled: Vec<Schedule> = spec
        .all_schedules()
        .map(|text| Schedule::parse(text, &zone).map_err(|error| invalid(error.to_string())))
        .collect::<Result<_, _>>()?;
    if compiled.is_empty() {
        return Err(invalid("it has no schedule".into()));
    }
    Ok(compiled)
}
