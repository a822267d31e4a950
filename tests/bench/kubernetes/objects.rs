//! Workflows that are objects of the cluster, run by the program itself: it takes them in, launches their pods, and writes
//! their status.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tiphys_servers::Process;

use super::plant::{self, Plant};
use crate::line::{Better, Pairs, Words};
use crate::program;

const NAMESPACE: &str = "default";
/// Who the program is at the API server.
const USER: &str = "system:serviceaccount:default:default";
const PATIENCE: Duration = Duration::from_secs(120);

/// Counts the requests for a workflow of one pod, and prints them.
pub(super) fn print(plant: &mut Plant, count: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (client, workflows) = (plant.onlooker.clone(), workflows(&plant.onlooker));
    plant.runtime.block_on(prepare(&client))?;
    let running = start(&plant.cluster.kubeconfig_of(NAMESPACE, "default"), folder.path())?;
    let ours = plant.counted(USER, |plant| plant.runtime.block_on(through(&workflows, count)))?;
    drop(running);
    let bare = plant.counted(plant::BARE, |plant| plant.bare_chains(1, count).map(drop))?;
    Pairs::of(ours as f64 / count as f64, bare as f64 / count as f64).print(Words {
        name: "requests to the API server for a workflow of one pod that is an object, its status written",
        unit: "requests",
        aim: "<= 4",
        against: "a bare client that creates, watches and deletes as many pods",
        better: Better::Lower,
    })
}

fn workflows(client: &Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Workflow");
    let resource = ApiResource::from_gvk_with_plural(&kind, "workflows");
    Api::namespaced_with(client.clone(), NAMESPACE, &resource)
}

/// The definitions, and the right to do everything.
async fn prepare(client: &Client) -> anyhow::Result<()> {
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    for entry in std::fs::read_dir(tiphys_tests::root().join("deploy/crds"))? {
        let text = std::fs::read_to_string(entry?.path())?;
        let definition = serde_saphyr::from_str::<CustomResourceDefinition>(&text)?;
        definitions.create(&PostParams::default(), &definition).await?;
    }
    let binding = json!({"metadata": {"name": "bench"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": NAMESPACE}]});
    let bindings = Api::<ClusterRoleBinding>::all(client.clone());
    bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await?;
    let workflows = workflows(client);
    let begin = Instant::now();
    // A definition that is new is not served at once.
    while workflows.list(&ListParams::default()).await.is_err() {
        ensure!(begin.elapsed() < PATIENCE, "Workflows are not served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// Starts the program; it ends when it is dropped.
fn start(kubeconfig: &Path, folder: &Path) -> anyhow::Result<Process> {
    let data = folder.join("data");
    let mut command = Command::new(program::tiphys()?);
    command.arg("dev").args(["--port", "0", "--data"]).arg(&data).arg("--kubeconfig");
    command.arg(kubeconfig).args(["--catalog", "kubernetes", "--launcher", "kubernetes"]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let mut running = Process(child);
    let begin = Instant::now();
    while !data.join("server.json").exists() {
        ensure!(running.0.try_wait()?.is_none(), "the program ended");
        ensure!(begin.elapsed() < PATIENCE, "the program does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(running)
}

/// Makes Workflow objects, and waits until each says that it is over.
async fn through(workflows: &Api<DynamicObject>, count: usize) -> anyhow::Result<()> {
    for number in 0..count {
        workflows.create(&PostParams::default(), &object(number)?).await?;
    }
    let over = ListParams::default().labels("workflows.argoproj.io/completed=true");
    let begin = Instant::now();
    loop {
        let there = workflows.list_metadata(&over).await?.items.len();
        if there == count {
            return Ok(());
        }
        ensure!(begin.elapsed() < PATIENCE, "only {there} of {count} workflows are over");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn object(number: usize) -> anyhow::Result<DynamicObject> {
    let container = json!({"image": "busybox", "command": ["true"]});
    let spec = json!({"entrypoint": "main", "templates": [{"name": "main", "container": container}]});
    let object: Value = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow",
        "metadata": {"name": format!("object-{number}")}, "spec": spec});
    serde_json::from_value(object).context("an object")
}
