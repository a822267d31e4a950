//! `tiphys executor` as a process of its own, on NATS, with pods on a real API server: what it holds before its first workflow, and what
//! 300 workflows at once cost it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tiphys_bus::{Bus, streams};
use tiphys_servers::kubernetes::{Part, Setup};
use tiphys_servers::{Fate, Process, Stub};

use super::AT_ONCE;
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::nats::{self, Server, Sync};
use crate::steps::{Ends, follow, submit_one, workflow};
use crate::{program, stage};

/// What starting took is given back.
const SETTLED: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the program, and measures its process.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    if !nats::is_there() {
        return Ok(());
    }
    let Some(cluster) = Setup::new().start() else { return Ok(()) };
    cluster.kill(Part::Scheduler);
    let _kubelet = Stub::new("stub").binding().start(&cluster, |_| Fate::exits(0));
    let (server, folder, runtime) = (Server::start(Sync::Default)?, tempfile::tempdir()?, stage::runtime()?);
    let of_cluster = ["--launcher", "kubernetes", "--kubeconfig"];
    let kubeconfig = cluster.kubeconfig();
    let _streams = start("bus", folder.path(), &server, &[])?;
    let kubeconfig = kubeconfig.to_str().context("a path")?;
    let executor = start("executor", folder.path(), &server, &[&of_cluster[..], &[kubeconfig]].concat())?;
    let (pid, api_server) = (executor.0.id(), cluster.process(Part::ApiServer).context("no API server")?);
    std::thread::sleep(SETTLED);
    let idle = program::resident(pid)?;
    Pairs::of(idle, program::anonymous(pid)?).print(Words {
        name: "memory of `tiphys executor` on NATS before its first workflow",
        unit: "MiB",
        aim: "<= 20 (Argo's controller: 62)",
        against: "what of it is its own; the rest are pages of the program's file, which its processes share",
        better: Better::Lower,
    })?;
    let count = effort.count(AT_ONCE);
    let time = || anyhow::Ok((program::processor(pid)?, program::processor(api_server)?));
    let before = time()?;
    runtime.block_on(async { through(&server.bus("outside").await?, count).await })?;
    let (after, held) = (time()?, program::resident(pid)?);
    let each = |before: f64, after: f64| (after - before) * 1000.0 / count as f64;
    Pairs::of(each(before.0, after.0), each(before.1, after.1)).print(Words {
        name: "processor time of `tiphys executor` on NATS for a workflow of one pod, 300 at once",
        unit: "ms",
        aim: "",
        against: "what the API server takes for the same pods, a stub kubelet's requests among them",
        better: Better::Lower,
    })?;
    Pairs::of(held, idle).print(Words {
        name: "memory of `tiphys executor` on NATS at the end of 300 workflows of one pod at once",
        unit: "MiB",
        aim: "",
        against: "the same process before its first workflow",
        better: Better::Lower,
    })
}

/// Starts a service; it ends when it is dropped.
fn start(role: &str, folder: &Path, nats: &Server, more: &[&str]) -> anyhow::Result<Process> {
    let mut command = Command::new(program::tiphys()?);
    command.arg(role).args(["--prefix", "bench", "--nats", &nats.url(), "--manifests"]).arg(folder);
    command.arg("--data").arg(folder).args(more);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut running = Process(child);
    let (said, begin) = (folder.join(format!("run/{role}.json")), Instant::now());
    while !said.exists() {
        ensure!(running.0.try_wait()?.is_none(), "`tiphys {role}` ended");
        ensure!(begin.elapsed() < PATIENCE, "`tiphys {role}` does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(running)
}

/// Submits so many workflows together, and waits until all have ended.
async fn through(bus: &Arc<dyn Bus>, count: usize) -> anyhow::Result<()> {
    let after = bus.info(streams::WORKFLOWS).await?.last;
    let (ends, document) = (Ends::default(), workflow(1));
    let submitting = stream::iter(0..count)
        .map(|number| submit_one(bus, &ends, &document, number))
        .buffer_unordered(count)
        .try_collect::<Vec<()>>();
    let following = follow(bus, &ends, after, count);
    stage::within("the end of all workflows", async { tokio::try_join!(submitting, following) }).await??;
    Ok(())
}
