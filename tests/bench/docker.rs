//! A step as a container, through the launcher and by a bare client of the same engine.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bollard::Docker as Client;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{ListContainersOptions, RemoveContainerOptions};
use futures::StreamExt as _;
use serde_json::json;
use tiphys_core::{PodKey, SystemClock};
use tiphys_executor::artifact::LocalStore;
use tiphys_executor::launcher::docker::{Config, DockerLauncher};
use tiphys_executor::launcher::{Ended, Launcher, PodSpec, PodState, PodVerdict, Secrets};
use tiphys_kit::CancellationToken;
use tiphys_servers::Docker;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::effort::Effort;
use crate::line::{Better, Pairs, Words};
use crate::stage::{self, within};

/// Steps one after another.
const STEPS: usize = 20;
const IMAGE: &str = "busybox";
const SHARED: Words = Words {
    name: "a step of `true` in a container, its workflow's network shared",
    unit: "ms",
    aim: "ratio <= 0.65",
    against: "a bare client that creates, starts, waits for and removes a container with the usual network",
    better: Better::Lower,
};
const OWN: Words = Words {
    name: "a step of `true` in a container, each with a network of its own",
    aim: "ratio <= 1.05",
    ..SHARED
};

/// Measures both.
pub(crate) fn run(effort: Effort) -> anyhow::Result<()> {
    let Some(engine) = tiphys_servers::docker() else { return Ok(()) };
    engine.import_busybox(IMAGE);
    for (words, shared) in [(SHARED, true), (OWN, false)] {
        let mut plant = Plant::open(&engine, shared)?;
        let count = effort.count(STEPS);
        plant.steps(2)?;
        plant.bare(2)?;
        let pairs = Pairs::measure(effort.rounds, &mut plant, |p| p.steps(count), |p| p.bare(count))?;
        plant.close()?;
        pairs.print(words)?;
    }
    Ok(())
}

/// A launcher on an engine, and a client beside it.
struct Plant {
    runtime: Runtime,
    launcher: DockerLauncher,
    changes: mpsc::Receiver<PodKey>,
    client: Client,
    installation: String,
    stop: CancellationToken,
    workflows: usize,
    _folder: tempfile::TempDir,
}

impl Plant {
    fn open(engine: &Docker, shared: bool) -> anyhow::Result<Self> {
        let runtime = stage::runtime()?;
        let folder = tempfile::tempdir()?;
        let runner = tiphys_payload::runner().context("the static runner was not built")?;
        let installation = format!("bench-{shared}");
        let config = Config {
            shared_network: shared,
            ..Config::new(engine.host(), runner.into(), folder.path().join("docker"), installation.clone())
        };
        let store = Arc::new(LocalStore::open(&folder.path().join("artifacts"))?);
        let stop = CancellationToken::new();
        let opened = DockerLauncher::open(config, store, Arc::new(SystemClock), stop.clone());
        let launcher = runtime.block_on(opened)?;
        let changes = launcher.changes().context("the changes are taken")?;
        let client = Client::connect_with_host(&engine.host())?;
        let client = runtime.block_on(client.negotiate_version())?;
        Ok(Self { runtime, launcher, changes, client, installation, stop, workflows: 0, _folder: folder })
    }

    /// A workflow of so many steps, until nothing of it is left. Gives milliseconds for each.
    fn steps(&mut self, count: usize) -> anyhow::Result<f64> {
        let number = self.workflows;
        self.workflows += 1;
        let Self { runtime, launcher, changes, client, installation, .. } = self;
        let begin = Instant::now();
        runtime.block_on(async {
            for step in 0..count {
                let pod = pod(number, step)?;
                launcher.start(&pod, Secrets::default()).await?;
                within("the end of a step", ended(launcher, changes, &pod.key)).await??;
                launcher.forget(&pod.key).await;
            }
            let workflow = Ended {
                namespace: "default".into(),
                name: format!("bench-{number}"),
                uid: uid(number),
                claims: Vec::new(),
                pods: Vec::new(),
                collect: false,
            };
            launcher.over(&workflow).await;
            within("the last container to go", gone(client, installation)).await?
        })?;
        Ok(begin.elapsed().as_secs_f64() * 1000.0 / count as f64)
    }

    /// As many containers by the bare client.
    fn bare(&mut self, count: usize) -> anyhow::Result<f64> {
        let client = &self.client;
        let begin = Instant::now();
        self.runtime.block_on(async {
            for _ in 0..count {
                let body = ContainerCreateBody {
                    image: Some(IMAGE.into()),
                    cmd: Some(vec!["true".into()]),
                    ..ContainerCreateBody::default()
                };
                let id = client.create_container(None, body).await?.id;
                client.start_container(&id, None).await?;
                let mut waiting = Box::pin(client.wait_container(&id, None));
                let end = waiting.next().await.context("the engine says nothing of the end")??;
                ensure!(end.status_code == 0, "`true` ended with {}", end.status_code);
                client.remove_container(&id, None::<RemoveContainerOptions>).await?;
            }
            anyhow::Ok(())
        })?;
        Ok(begin.elapsed().as_secs_f64() * 1000.0 / count as f64)
    }

    fn close(self) -> anyhow::Result<()> {
        self.stop.cancel();
        ensure!(self.runtime.block_on(self.launcher.drain(stage::DEADLINE)), "the launcher does not end");
        Ok(())
    }
}

fn uid(workflow: usize) -> String {
    format!("bench-uid-{workflow}")
}

fn pod(workflow: usize, step: usize) -> anyhow::Result<PodSpec> {
    let pod = json!({
        "key": PodKey::derive(&uid(workflow), &step.to_string(), 0),
        "name": format!("bench-{workflow}-{step}"),
        "namespace": "default",
        "workflow": format!("bench-{workflow}"),
        "workflowUid": uid(workflow),
        "nodeId": format!("bench-{step}"),
        "template": "nothing",
        "labels": {},
        "annotations": {},
        "container": { "image": IMAGE, "command": ["true"] },
        "script": null,
        "inputs": [],
        "outputParameters": [],
        "outputArtifacts": [],
        "captureResult": false,
        "archiveLogs": false,
        "deadline": null,
        "grace": Duration::from_secs(30),
        "processAllowed": false,
    });
    Ok(serde_json::from_value(pod)?)
}

/// Looks when the launcher says that something has changed, as the executor does.
async fn ended(
    launcher: &DockerLauncher,
    changes: &mut mpsc::Receiver<PodKey>,
    key: &PodKey,
) -> anyhow::Result<()> {
    loop {
        if let PodState::Ended(result) = launcher.observe(key).await? {
            ensure!(result.verdict == PodVerdict::Succeeded, "a step ended: {}", result.message);
            return Ok(());
        }
        changes.recv().await.context("the launcher has ended")?;
    }
}

/// Nothing is left of an installation.
async fn gone(client: &Client, installation: &str) -> anyhow::Result<()> {
    let label = format!("tiphys.dev/installation={installation}");
    loop {
        let filters = Some(HashMap::from([("label".to_owned(), vec![label.clone()])]));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        if client.list_containers(Some(options)).await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
