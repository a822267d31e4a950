//! How long a start after a kill takes where much is stored, and what it then holds in memory.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::alerts::{self, SENSOR};
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::program;
use crate::stage::DEADLINE;
use crate::steps::Plant;

const TIME: Words = Words {
    name: "start to ready, 10,000 events and 1,000 ended workflows",
    unit: "ms",
    aim: "printed",
    against: "the same on an empty data folder",
    better: Better::Lower,
};
const MEMORY: Words = Words {
    name: "memory when ready, 10,000 events and 1,000 ended workflows",
    unit: "MiB resident",
    ..TIME
};
const EVENTS: usize = 10_000;
const WORKFLOWS: usize = 1000;

const SOURCE: &str = r"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: bench}
spec:
  webhook:
    alerts: {endpoint: /alerts, method: POST}
";

/// What one start cost.
#[derive(Debug, Clone, Copy)]
struct Start {
    millis: f64,
    mebibytes: f64,
}

/// Runs it.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (full, manifests) = (folder.path().join("full"), folder.path().join("manifests"));
    std::fs::create_dir(&manifests)?;
    std::fs::write(manifests.join("bench.yaml"), format!("{SOURCE}---\n{SENSOR}"))?;
    fill(&full, effort)?;
    // Once, so that what the first start makes, and what a kill leaves, is there in each measurement.
    start(&manifests, &full)?;
    let (mut times, mut sizes) = (Pairs::default(), Pairs::default());
    for round in 0..effort.rounds {
        let empty = folder.path().join(format!("empty-{round}"));
        let ours = start(&manifests, &full)?;
        let baseline = start(&manifests, &empty)?;
        times.extend(Pairs::of(ours.millis, baseline.millis));
        sizes.extend(Pairs::of(ours.mebibytes, baseline.mebibytes));
    }
    times.print(TIME)?;
    sizes.print(MEMORY)
}

/// Runs workflows to their end, and stores events.
fn fill(data: &Path, effort: Effort) -> anyhow::Result<()> {
    std::fs::create_dir_all(data)?;
    let mut plant = Plant::open(data)?;
    plant.through(1, effort.count(WORKFLOWS))?;
    let bus = plant.stage.bus.clone();
    plant.runtime.block_on(alerts::store(&bus, effort.count(EVENTS)))?;
    drop(bus);
    plant.close()
}

/// Starts `tiphys dev`, looks at it once it is ready, and kills it.
fn start(manifests: &Path, data: &Path) -> anyhow::Result<Start> {
    let ready = data.join("server.json");
    let log = data.with_extension("log");
    let begin = Instant::now();
    let mut child = Command::new(program::tiphys()?)
        .arg("dev")
        .arg(manifests)
        .arg("--data")
        .arg(data)
        .args(["--port", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()?;
    let measured = measure(&mut child, &ready, begin);
    child.kill()?;
    child.wait()?;
    // The next start finds what a kill left, but for this, which tells that it is ready.
    let _ = std::fs::remove_file(&ready);
    measured.with_context(|| std::fs::read_to_string(&log).unwrap_or_default())
}

fn measure(child: &mut Child, ready: &Path, begin: Instant) -> anyhow::Result<Start> {
    while !ready.exists() {
        if let Some(status) = child.try_wait()? {
            bail!("the server ended before it was ready: {status}");
        }
        ensure!(begin.elapsed() < DEADLINE, "the server is not ready");
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(Start { millis: begin.elapsed().as_secs_f64() * 1000.0, mebibytes: program::resident(child.id())? })
}
