//! What an executor holds in memory for pods that run, in a process of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use tiphys_core::Timestamp;
use tiphys_executor::submit;
use tiphys_servers::kubernetes::{Part, Setup};
use tiphys_servers::{Fate, Process, Stub};

use super::plant;
use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::{program, stage};

/// The argument by which the bench becomes an executor.
pub(crate) const ARGUMENT: &str = "executor-of-pods";
/// Pods that run at once.
const PODS: usize = 10_000;
/// Pods of one workflow.
const EACH: usize = 500;
/// What was asked for is answered, and what was freed is given back.
const SETTLED: Duration = Duration::from_secs(5);
/// An API server with two cores makes some 100 pods in a second.
const PATIENCE: Duration = Duration::from_secs(900);

/// The memory of an executor with many pods that run, and with none.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let Some(cluster) = Setup::new().start() else { return Ok(()) };
    cluster.kill(Part::Scheduler);
    let kubelet = Stub::new("stub").binding().start(&cluster, |_| Fate::runs());
    let folder = tempfile::tempdir()?;
    let workflows = effort.count(PODS / EACH);
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(ARGUMENT).arg(cluster.kubeconfig()).arg(folder.path()).arg(workflows.to_string());
    let mut executor = Process(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
    let mut line = String::new();
    BufReader::new(executor.0.stdout.take().context("no output")?).read_line(&mut line)?;
    ensure!(line == "ready\n", "the executor does not start");
    std::thread::sleep(SETTLED);
    let idle = program::resident(executor.0.id())?;
    let mut input = executor.0.stdin.take().context("no input")?;
    input.write_all(b"go\n")?;
    let wanted = workflows * EACH;
    let server = cluster.process(Part::ApiServer).context("no API server")?;
    let time = || anyhow::Ok((program::processor(executor.0.id())?, program::processor(server)?));
    let before = time()?;
    let begin = std::time::Instant::now();
    while kubelet.taken().len() < wanted {
        ensure!(begin.elapsed() < PATIENCE, "only {} of {wanted} pods run", kubelet.taken().len());
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(SETTLED);
    let after = time()?;
    let held = program::resident(executor.0.id())?;
    let each = |before: f64, after: f64| (after - before) * 1000.0 / wanted as f64;
    Pairs::of(each(before.0, after.0), each(before.1, after.1)).print(Words {
        name: "processor time of an executor for a pod, from its plan until it runs",
        unit: "ms",
        aim: "",
        against: "what the API server takes for the same pods, a stub kubelet's requests among them",
        better: Better::Lower,
    })?;
    Pairs::of(held, idle).print(Words {
        name: "memory of an executor with 10,000 pods that run",
        unit: "MiB",
        aim: "<= 150; idle <= 20 (Argo's controller: 62)",
        against: "the same process before its first workflow",
        better: Better::Lower,
    })
}

/// What the process of an executor does, until it is killed.
pub(crate) fn serve(kubeconfig: &str, folder: &str, workflows: &str) -> anyhow::Result<()> {
    let workflows: usize = workflows.parse()?;
    stage::runtime()?.block_on(async {
        let told = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(told, &KubeConfigOptions::default()).await?;
        let (stage, _launcher) = plant::start(config, Path::new(folder)).await?;
        println!("ready");
        let word = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await?;
        word.context("nobody says when")??;
        let document = workflow();
        for number in 0..workflows {
            let name = format!("wide-{number}");
            let options = submit::Options {
                name: Some(name.clone()),
                by: "bench".into(),
                ..submit::Options::default()
            };
            let submission = submit::prepare(&document, "default", &options, Timestamp::now(), &name)?;
            submit::submit(&*stage.bus, &submission).await?;
        }
        std::future::pending::<()>().await;
        anyhow::Ok(())
    })
}

/// A workflow of many pods at once.
fn workflow() -> Value {
    json!({
        "metadata": {"name": "wide"},
        "spec": {
            "entrypoint": "all",
            "templates": [
                {"name": "one", "container": {"image": "busybox", "command": ["sleep", "86400"]}},
                {"name": "all", "steps": [[
                    {"name": "one", "template": "one", "withSequence": {"count": EACH.to_string()}},
                ]]},
            ],
        },
    })
}
