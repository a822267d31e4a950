//! Workflows whose steps do nothing: what remains is what the executor, the runner and the bus cost.

use std::collections::HashMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use tiphys_bus::{Bus, streams};
use tiphys_core::Timestamp;
use tiphys_core::workflow::WorkflowRecord;
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::Launcher;
use tiphys_executor::launcher::process::{Config, Policy, ProcessLauncher};
use tiphys_executor::{journal, submit};
use tokio::runtime::Runtime;
use tokio::sync::{Mutex, oneshot};

use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::program;
use crate::stage::{self, DEADLINE, Stage};

/// Workflows at once.
const IN_FLIGHT: usize = 32;
const ONE: Words = Words {
    name: "one-step workflows of `true`, 32 in flight",
    unit: "workflows/s",
    aim: "ratio >= 0.6",
    against: "a bare loop that spawns `true`, 32 at once",
    better: Better::Higher,
};
const CHAIN: Words = Words { name: "workflows of ten steps of `true` in a chain, 32 in flight", ..ONE };

/// Runs workflows of one step.
pub(crate) fn one(effort: Effort) -> anyhow::Result<()> {
    compare(effort, ONE, 1, 500)
}

/// Runs workflows of ten steps.
pub(crate) fn chain(effort: Effort) -> anyhow::Result<()> {
    compare(effort, CHAIN, 10, 50)
}

fn compare(effort: Effort, words: Words, steps: usize, workflows: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut plant = Plant::open(folder.path())?;
    let count = effort.count(workflows);
    // Warm.
    plant.through(steps, count.div_ceil(10))?;
    let pairs = Pairs::measure(
        effort.rounds,
        &mut plant,
        |plant| plant.through(steps, count),
        |_| bare(steps, count),
    )?;
    plant.close()?;
    pairs.print(words)
}

/// An executor on a data folder, as `tiphys dev` lays it out.
pub(crate) struct Plant {
    pub(crate) runtime: Runtime,
    pub(crate) stage: Stage,
    launcher: Arc<ProcessLauncher>,
    submitted: usize,
}

impl Plant {
    /// Starts it.
    pub(crate) fn open(data: &Path) -> anyhow::Result<Self> {
        let runtime = stage::runtime()?;
        let (stage, launcher) = runtime.block_on(start(data))?;
        Ok(Self { runtime, stage, launcher, submitted: 0 })
    }

    /// Runs so many workflows of so many steps; gives workflows per second.
    pub(crate) fn through(&mut self, steps: usize, count: usize) -> anyhow::Result<f64> {
        let first = self.submitted;
        self.submitted += count;
        let bus = self.stage.bus.clone();
        self.runtime.block_on(async {
            let after = bus.info(streams::WORKFLOWS).await?.last;
            let ends = Ends::default();
            let document = workflow(steps);
            let begin = Instant::now();
            let submitting = stream::iter(first..first + count)
                .map(|number| submit_one(&bus, &ends, &document, number))
                .buffer_unordered(IN_FLIGHT)
                .try_collect::<Vec<()>>();
            let following = follow(&bus, &ends, after, count);
            let both = async { tokio::try_join!(submitting, following) };
            stage::within("the end of all workflows", both).await??;
            Ok(count as f64 / begin.elapsed().as_secs_f64())
        })
    }

    /// Stops it; nothing runs any more.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            self.stage.close().await?;
            ensure!(self.launcher.drain(DEADLINE).await, "the launcher does not end");
            Ok(())
        })
    }
}

async fn start(data: &Path) -> anyhow::Result<(Stage, Arc<ProcessLauncher>)> {
    let mut stage = Stage::open(stage::durable(&data.join("bus"))?, "").await?;
    let boot = tiphys_runner::proc::boot_id().context("this boot of the machine has no id")?;
    let config = Config {
        policy: Policy::Process,
        ..Config::new(
            data.join("steps"),
            vec![program::tiphys()?.to_string_lossy().into_owned(), "runner".into()],
            std::env::var("PATH")?,
            data.to_string_lossy().into_owned(),
            boot,
        )
    };
    let store = Arc::new(LocalStore::open(&data.join("artifacts"))?);
    let stop = stage.stop();
    let opened = ProcessLauncher::open(config, store, stage.clock.clone(), stop).await;
    let launcher = Arc::new(opened?);
    let deps = tiphys_executor::Deps {
        bus: stage.bus.clone(),
        catalog: stage.catalog.clone(),
        launcher: Arc::clone(&launcher) as Arc<dyn Launcher>,
        clock: stage.clock.clone(),
        health: stage.health.clone(),
    };
    let config = tiphys_executor::Config {
        // Taking away what ended is other work than running it.
        finished_max: usize::MAX,
        ..tiphys_executor::Config::default()
    };
    stage.group.spawn("executor", move |stop| tiphys_executor::run(config, deps, stop));
    stage.ready("executor").await?;
    Ok((stage, launcher))
}

/// A workflow of so many steps, one after another.
pub(crate) fn workflow(steps: usize) -> Value {
    let step = |number| json!([{"name": format!("s{number}"), "template": "nothing"}]);
    let groups: Vec<Value> = (0..steps).map(step).collect();
    let entrypoint = if steps == 1 { "nothing" } else { "chain" };
    json!({
        "metadata": {"name": "bench"},
        "spec": {
            "entrypoint": entrypoint,
            "templates": [
                {"name": "nothing", "container": {"image": "busybox", "command": ["true"]}},
                {"name": "chain", "steps": groups},
            ],
        },
    })
}

/// Who waits for the end of which journal.
pub(crate) type Ends = Mutex<HashMap<String, oneshot::Sender<()>>>;

/// Submits a workflow and waits for its end.
pub(crate) async fn submit_one(
    bus: &Arc<dyn Bus>,
    ends: &Ends,
    document: &Value,
    number: usize,
) -> anyhow::Result<()> {
    let name = format!("bench-{number}");
    let subject = submit::subject("default", &name);
    let options =
        submit::Options { name: Some(name.clone()), by: "bench".into(), ..submit::Options::default() };
    let now = Timestamp::now();
    let submission = submit::prepare(document, "default", &options, now, &name)?;
    let (ended, end) = oneshot::channel();
    ends.lock().await.insert(subject, ended);
    submit::submit(&**bus, &submission).await?;
    end.await.context("nobody follows the journals any more")
}

/// Reads the journals until so many have come to their end.
pub(crate) async fn follow(
    bus: &Arc<dyn Bus>,
    ends: &Ends,
    mut after: u64,
    count: usize,
) -> anyhow::Result<()> {
    let mut ended = 0;
    while ended < count {
        bus.wait_for(streams::WORKFLOWS, after, Duration::from_secs(1)).await?;
        for message in bus.read(streams::WORKFLOWS, "", after + 1, 1024).await? {
            after = message.sequence;
            let Some(phase) = end_of(&message.payload)? else {
                continue;
            };
            let subject = message.subject;
            ensure!(phase == "Succeeded", "{subject} ended as {phase}");
            let waiter = ends.lock().await.remove(&subject);
            let waiter = waiter.with_context(|| format!("nobody waits for {subject}"))?;
            waiter.send(()).map_err(|()| anyhow!("{subject} was given up"))?;
            ended += 1;
        }
    }
    Ok(())
}

/// The phase in which a workflow ended, where this record says so.
fn end_of(record: &[u8]) -> anyhow::Result<Option<String>> {
    let WorkflowRecord::Progress { progress } = journal::parse(record)? else {
        return Ok(None);
    };
    let changes = progress["changes"].as_array().into_iter().flatten();
    let mut ends = changes.filter(|change| change["change"] == "ended");
    let phase = ends.next().map(|change| change["phase"].clone());
    Ok(phase.and_then(|phase| phase.as_str().map(str::to_owned)))
}

/// As many processes by a bare loop, with the same concurrency and nothing kept.
fn bare(steps: usize, count: usize) -> anyhow::Result<f64> {
    let taken = AtomicUsize::new(0);
    let begin = Instant::now();
    let work = || {
        while taken.fetch_add(1, Ordering::Relaxed) < count {
            for _ in 0..steps {
                let status = Command::new("true").stdin(Stdio::null()).status()?;
                ensure!(status.success(), "`true` failed");
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..IN_FLIGHT).map(|_| scope.spawn(work)).collect();
        let mut ended = threads.into_iter().map(|thread| {
            let ended = thread.join();
            ended.unwrap_or_else(|_| Err(anyhow!("the bare loop panicked")))
        });
        ended.try_for_each(|outcome| outcome)
    })?;
    Ok(count as f64 / begin.elapsed().as_secs_f64())
}
