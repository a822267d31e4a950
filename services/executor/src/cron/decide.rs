//! What a schedule wants now. Pure.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tiphys_core::Timestamp;
use tiphys_lang::cron::Schedule;
use tiphys_lang::tags::{Piece, Text};
use tiphys_lang::template::Context;
use tiphys_lang::{LangError, expr, govaluate};
use tiphys_manifest::Object;
use tiphys_manifest::workflow::CronWorkflowSpec;

use super::memory::Memory;
use crate::journal::State;
use crate::node::Phase;
use crate::status::time_text;

/// A time that is dealt with no later than this was not missed.
const ON_TIME_SECONDS: i64 = 10;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing.
    Nothing,
    /// Run for this time.
    Run(Timestamp),
    /// Pass over this time, and why.
    Skip(Timestamp, String),
}

/// What is due.
pub(super) fn due(
    object: &Object,
    spec: &CronWorkflowSpec,
    schedules: &[Schedule],
    memory: &Memory,
    active: usize,
    now: Timestamp,
) -> Due {
    if spec.suspend || memory.stopped {
        return Due::Nothing;
    }
    let anchor = memory.anchor();
    let latest = schedules.iter().filter_map(|schedule| schedule.latest_due(anchor, now)).max();
    let Some(at) = latest.filter(|at| *at > anchor) else {
        return Due::Nothing;
    };
    let late = now.as_second() - at.as_second();
    let allowed = spec.starting_deadline_seconds.unwrap_or(0).max(ON_TIME_SECONDS);
    if late > allowed {
        return Due::Skip(at, format!("missed by {late} s, which is over startingDeadlineSeconds"));
    }
    if spec.concurrency_policy.as_deref() == Some("Forbid") && active > 0 {
        return Due::Skip(at, "the run before has not ended, and concurrencyPolicy is Forbid".into());
    }
    match wanted(object, spec, memory, now) {
        Ok(true) => Due::Run(at),
        Ok(false) => Due::Skip(at, "`when` evaluated false".into()),
        Err(error) => Due::Skip(at, format!("`when` failed: {error}")),
    }
}

/// Whether `when` lets it run.
fn wanted(
    object: &Object,
    spec: &CronWorkflowSpec,
    memory: &Memory,
    now: Timestamp,
) -> Result<bool, LangError> {
    let Some(when) = spec.when.as_deref().filter(|when| !when.trim().is_empty()) else {
        return Ok(true);
    };
    let environment = environment(object, memory);
    let text = Text::parse(when).render(&mut |piece| match piece {
        Piece::Expression(text) => {
            evaluate(text, &environment, object, now).map(|value| Some(crate::names::item_text(&value)))
        }
        Piece::Tag(name) => {
            let pointer = format!("/{}", name.replace('.', "/"));
            Ok(environment.pointer(&pointer).map(crate::names::item_text))
        }
        _ => Ok(None),
    })?;
    govaluate::Program::compile_when(&text)?.holds(&BTreeMap::new())
}

/// Whether `stopStrategy` says that it is enough.
pub(super) fn is_enough(
    object: &Object,
    spec: &CronWorkflowSpec,
    memory: &Memory,
    now: Timestamp,
) -> Result<bool, LangError> {
    let Some(strategy) = &spec.stop_strategy else {
        return Ok(false);
    };
    let text = match (&strategy.expression, &strategy.completion) {
        (Some(text), _) if !text.is_empty() => text.clone(),
        (_, Some(count)) => format!("cronworkflow.succeeded >= {count}"),
        _ => return Ok(false),
    };
    let value = evaluate(&text, &environment(object, memory), object, now)?;
    Ok(value == Value::Bool(true))
}

fn evaluate(text: &str, environment: &Value, object: &Object, now: Timestamp) -> Result<Value, LangError> {
    let context = Context { now, seed: &object.name };
    expr::Program::compile(text)?.eval(environment, context)
}

fn environment(object: &Object, memory: &Memory) -> Value {
    let counts = json!({
        "name": object.name,
        "namespace": object.namespace,
        "labels": object.labels,
        "annotations": object.annotations,
        "lastScheduledTime": memory.last_scheduled_time.map(time_text),
        "failed": memory.failed,
        "succeeded": memory.succeeded,
    });
    let mut all = json!({"cronworkflow": counts});
    // `stopStrategy` is also written with bare names.
    all["failed"] = json!(memory.failed);
    all["succeeded"] = json!(memory.succeeded);
    all
}

/// Counts the runs that ended since the last look.
pub(super) fn count(memory: &mut Memory, children: &[&State]) {
    for child in children.iter().filter(|child| child.is_over()) {
        let name = &child.submission.name;
        if !memory.counted.contains(name) {
            memory.counted.push(name.clone());
            match child.phase {
                Some(Phase::Succeeded) => memory.succeeded += 1,
                _ => memory.failed += 1,
            }
        }
    }
    let exists = |name: &String| children.iter().any(|child| child.submission.name == *name);
    memory.counted.retain(exists);
}

/// The runs that the history limits do not keep.
pub(super) fn surplus(spec: &CronWorkflowSpec, children: &[&State]) -> Vec<String> {
    let kept = |limit: Option<i64>, default: usize| {
        limit.map_or(default, |limit| usize::try_from(limit).unwrap_or(0))
    };
    let mut good: Vec<&&State> = Vec::new();
    let mut bad: Vec<&&State> = Vec::new();
    for child in children.iter().filter(|child| child.is_over()) {
        match child.phase {
            Some(Phase::Succeeded) => good.push(child),
            _ => bad.push(child),
        }
    }
    let limits =
        [(good, kept(spec.successful_jobs_history_limit, 3)), (bad, kept(spec.failed_jobs_history_limit, 1))];
    let mut names = Vec::new();
    for (mut runs, kept) in limits {
        runs.sort_by_key(|run| std::cmp::Reverse((run.finished, run.sequence)));
        names.extend(runs.iter().skip(kept).map(|run| run.submission.name.clone()));
    }
    names
}
