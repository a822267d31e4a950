//! Schedules on a bus in memory and a clock that stands where the test puts it.

use std::sync::Arc;

use tiphys_bus::Bus;
use tiphys_catalog::{Catalog, Feeder};
use tiphys_core::workflow::{Submission, WorkflowRecord};
use tiphys_core::{Clock, FixedClock, Timestamp};
use tiphys_manifest::Object;
use tiphys_manifest::load::{LoadOptions, load};

use super::Cron;
use crate::journal::{self, Change, State};
use crate::node::Phase;
use crate::projection::{Filter, Projection};
use crate::{cron, submit};

struct Stage {
    cron: Cron,
    bus: Arc<dyn Bus>,
    clock: Arc<FixedClock>,
    feeder: Feeder,
    catalog: Catalog,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn objects(extra: &str) -> Vec<Arc<Object>> {
    let text = format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {{name: nightly, namespace: ns}}
spec:
  schedule: '01 06 * * *'
  timezone: Etc/GMT
{extra}
  workflowMetadata: {{labels: {{team: blue}}}}
  workflowSpec: {{entrypoint: a, templates: [{{name: a, container: {{image: x}}}}]}}
"
    );
    let loaded = load("cron.yaml", &text, &LoadOptions::default());
    assert!(!loaded.objects.is_empty(), "{:?}", loaded.diagnostics);
    loaded.objects.into_iter().map(Arc::new).collect()
}

async fn stage(extra: &str, now: &str) -> Stage {
    let clock = Arc::new(FixedClock::at(at(now)));
    let bus = tiphys_bus::memory();
    for stream in tiphys_bus::streams::all() {
        bus.ensure_stream(&stream).await.unwrap();
    }
    let catalog = Catalog::new();
    let feeder = catalog.feeder();
    feeder.replace(objects(extra), Vec::new());
    let mut stage =
        Stage { cron: Cron::new(bus.clone(), catalog.clone(), clock.clone()), bus, clock, feeder, catalog };
    stage.cron.look().await.unwrap();
    stage
}

impl Stage {
    /// Looks at `now`; names of all runs, in order.
    async fn at(&mut self, now: &str) -> Vec<String> {
        self.clock.set(at(now));
        self.cron.look().await.unwrap();
        let mut names: Vec<String> = self.runs().await.into_iter().map(|s| s.name).collect();
        names.sort();
        names
    }

    async fn runs(&self) -> Vec<crate::projection::Summary> {
        let mut projection = Projection::default();
        let stream = tiphys_bus::streams::WORKFLOWS;
        for message in self.bus.read(stream, "", 1, 1000).await.unwrap() {
            projection.apply(&message).unwrap();
        }
        projection.list(&Filter::default())
    }

    async fn end(&self, name: &str, phase: Phase) {
        let subject = submit::subject("ns", name);
        let changes = vec![Change::Ended { phase, message: String::new() }];
        let record = journal::record(self.clock.now(), changes).unwrap();
        self.bus.publish(submit::message(&subject, &record).unwrap()).await.unwrap();
    }
}

fn unix(text: &str) -> String {
    format!("nightly-{}", at(text).as_second())
}

#[tokio::test]
async fn each_time_runs_once_whoever_looks() {
    let mut stage = stage("", "2026-11-24T12:00:00Z").await;
    assert!(stage.at("2026-11-25T06:00:59Z").await.is_empty());
    let one = [unix("2026-11-25T06:01:00Z")];
    assert_eq!(stage.at("2026-11-25T06:01:00Z").await, one);
    assert_eq!(stage.at("2026-11-25T06:01:05Z").await, one);
    // Another process that remembers nothing in memory.
    let mut other = Cron::new(stage.bus.clone(), stage.catalog.clone(), stage.clock.clone());
    other.look().await.unwrap();
    let runs = stage.runs().await;
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].labels["team"], "blue");
    assert_eq!(runs[0].labels[cron::CRON_LABEL], "nightly");
    let last = cron::last_scheduled(stage.bus.as_ref(), "ns", "nightly").await.unwrap();
    assert_eq!(last, Some(at("2026-11-25T06:01:00Z")));
}

#[tokio::test]
async fn a_missed_time_is_caught_up_within_its_deadline_only() {
    let mut without = stage("", "2026-11-24T12:00:00Z").await;
    assert!(without.at("2026-11-25T07:00:00Z").await.is_empty());
    let mut with = stage("  startingDeadlineSeconds: 7200", "2026-11-22T12:00:00Z").await;
    // Three were missed; the latest is made up for.
    assert_eq!(with.at("2026-11-25T07:00:00Z").await, [unix("2026-11-25T06:01:00Z")]);
    let mut late = stage("  startingDeadlineSeconds: 60", "2026-11-24T12:00:00Z").await;
    assert!(late.at("2026-11-25T07:00:00Z").await.is_empty());
}

#[tokio::test]
async fn a_time_before_an_edit_was_not_missed() {
    let deadline = "  startingDeadlineSeconds: 86400";
    let mut stage = stage("  suspend: true\n  startingDeadlineSeconds: 86400", "2026-11-24T12:00:00Z").await;
    assert!(stage.at("2026-11-25T06:01:00Z").await.is_empty());
    stage.feeder.replace(objects(deadline), Vec::new());
    assert!(stage.at("2026-11-25T07:00:00Z").await.is_empty());
    assert_eq!(stage.at("2026-11-26T06:01:00Z").await.len(), 1);
}

#[tokio::test]
async fn concurrency_policies() {
    for (policy, runs) in [("Allow", 2), ("Forbid", 1), ("Replace", 2)] {
        let extra = format!("  concurrencyPolicy: {policy}");
        let mut stage = stage(&extra, "2026-11-24T12:00:00Z").await;
        stage.at("2026-11-25T06:01:00Z").await;
        assert_eq!(stage.at("2026-11-26T06:01:00Z").await.len(), runs, "{policy}");
        let first = stage.bus.last(&submit::subject("ns", &unix("2026-11-25T06:01:00Z"))).await;
        let record = journal::parse(&first.unwrap().unwrap().payload).unwrap();
        assert_eq!(matches!(record, WorkflowRecord::Command(_)), policy == "Replace", "{policy}");
    }
}

#[tokio::test]
async fn history_limits_ask_for_deletion() {
    let mut stage = stage("  successfulJobsHistoryLimit: 1", "2026-11-20T12:00:00Z").await;
    for day in 21..24 {
        let time = format!("2026-11-{day}T06:01:00Z");
        stage.at(&time).await;
        stage.end(&unix(&time), Phase::Succeeded).await;
    }
    stage.at("2026-11-23T07:00:00Z").await;
    let mut deleted = Vec::new();
    for message in stage.bus.read("WORKFLOWS", "", 1, 1000).await.unwrap() {
        if let Ok(WorkflowRecord::Command(_)) = journal::parse(&message.payload) {
            deleted.push(submit::names_of(&message.subject).unwrap().1);
        }
    }
    deleted.sort();
    assert_eq!(deleted, [unix("2026-11-21T06:01:00Z"), unix("2026-11-22T06:01:00Z")]);
}

#[test]
fn next_times_and_a_run_by_hand() {
    let object = &objects("")[0];
    let now = at("2026-11-24T12:00:00Z");
    let next = cron::next_times(object, now, 2).unwrap();
    assert_eq!(next, [at("2026-11-25T06:01:00Z"), at("2026-11-26T06:01:00Z")]);
    let run: Submission = cron::run_now(object, now, "seed", "cli").unwrap();
    assert!(run.name.starts_with("nightly-"), "{}", run.name);
    let state = State::submitted(run, 1);
    assert_eq!(state.label("team").as_deref(), Some("blue"));
    let wrong = &objects("  schedules: ['nonsense']")[0];
    assert!(cron::next_times(wrong, now, 1).is_err());
}
