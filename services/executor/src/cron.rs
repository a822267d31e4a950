//! CronWorkflows: a workflow per scheduled time, once.
//!
//! A run's name is the CronWorkflow's with the scheduled time, and its journal begins by compare-and-set: what
//! was submitted before a crash is not submitted again. What the schedule remembers stands on the CRON stream.

mod children;
mod decide;
mod memory;
mod service;

use jiff::tz::TimeZone;
use serde_json::json;
use tiphys_bus::Bus;
use tiphys_core::Timestamp;
use tiphys_core::workflow::Submission;
use tiphys_lang::cron::Schedule;
use tiphys_manifest::workflow::CronWorkflowSpec;
use tiphys_manifest::{Object, Spec};

pub(crate) use service::run;

use crate::error::Error;
use crate::status::time_text;
use crate::submit;

/// The annotation with the time that a run was scheduled for.
pub const SCHEDULED_TIME: &str = "workflows.argoproj.io/scheduled-time";
/// The label with the CronWorkflow's name.
pub const CRON_LABEL: &str = "workflows.argoproj.io/cron-workflow";
/// The suffix of a run's name takes so much of the 63 characters of a name.
const NAME_MAX: usize = 52;

/// The typed spec.
fn spec_of(object: &Object) -> Result<&CronWorkflowSpec, Error> {
    match &object.spec {
        Spec::CronWorkflow(spec) => Ok(spec),
        _ => Err(Error::Invalid(format!("{} {} is no CronWorkflow", object.kind, object.name))),
    }
}

/// The compiled schedules.
fn schedules(object: &Object) -> Result<Vec<Schedule>, Error> {
    let spec = spec_of(object)?;
    let told = |why: String| Error::Invalid(format!("CronWorkflow {}: {why}", object.name));
    let zone = match spec.timezone.as_deref().filter(|zone| !zone.is_empty()) {
        Some(name) => TimeZone::get(name)
            .map_err(|_| told(format!("there is no timezone '{name}' such as Europe/Paris")))?,
        None => TimeZone::UTC,
    };
    let all: Result<Vec<Schedule>, Error> = spec
        .all_schedules()
        .map(|text| Schedule::parse(text, &zone).map_err(|error| told(error.to_string())))
        .collect();
    let all = all?;
    if all.is_empty() {
        return Err(told("it has no schedules".into()));
    }
    Ok(all)
}

/// The first time after `time` at which one of the schedules strikes.
fn next_of(schedules: &[Schedule], time: Timestamp) -> Option<Timestamp> {
    schedules.iter().filter_map(|s| s.next_after(time)).min()
}

/// The next `count` times after `now`.
///
/// # Errors
/// Fails when a schedule or the timezone is none.
pub fn next_times(object: &Object, now: Timestamp, count: usize) -> Result<Vec<Timestamp>, Error> {
    let schedules = schedules(object)?;
    let mut times = Vec::new();
    let mut time = now;
    while times.len() < count {
        let Some(next) = next_of(&schedules, time) else {
            break;
        };
        times.push(next);
        time = next;
    }
    Ok(times)
}

/// The time of the last run that the schedule made or passed over.
///
/// # Errors
/// Fails when the bus does.
pub async fn last_scheduled(bus: &dyn Bus, namespace: &str, name: &str) -> Result<Option<Timestamp>, Error> {
    let found = memory::read(bus, namespace, name).await?;
    Ok(found.and_then(|(memory, _)| memory.last_scheduled_time))
}

/// A run outside of the schedule: `tiphys cron run NAME`. `seed` is random.
///
/// # Errors
/// Fails when the object is no CronWorkflow, or its workflow cannot be submitted.
pub fn run_now(object: &Object, now: Timestamp, seed: &str, by: &str) -> Result<Submission, Error> {
    spec_of(object)?;
    let mut options = submit::Options { by: by.to_owned(), ..submit::Options::default() };
    let at = time_text(now);
    options.annotations.insert(SCHEDULED_TIME.into(), at);
    let workflow = submit::from_object(object)?;
    submit::prepare(&workflow, &object.namespace, &options, now, seed)
}

/// The run for a scheduled time.
fn scheduled(object: &Object, at: Timestamp, now: Timestamp) -> Result<Submission, Error> {
    let mut workflow = submit::from_object(object)?;
    let cut: String = object.name.chars().take(NAME_MAX).collect();
    let name = format!("{cut}-{}", at.as_second());
    workflow["metadata"]["name"] = json!(name);
    if let Some(metadata) = workflow["metadata"].as_object_mut() {
        metadata.remove("generateName");
    }
    let mut options = submit::Options {
        by: format!("cron/{}/{}", object.namespace, object.name),
        ..submit::Options::default()
    };
    options.annotations.insert(SCHEDULED_TIME.into(), time_text(at));
    submit::prepare(&workflow, &object.namespace, &options, now, &name)
}
