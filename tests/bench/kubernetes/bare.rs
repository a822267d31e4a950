//! What a program has to do at least: create pods, watch for their ends, and leave them marked or deleted.

use std::collections::HashSet;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context as _, anyhow, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::json;

/// What is known of a pod's place in a chain, for whoever looks on.
pub(super) const CHAIN: &str = "workflows.argoproj.io/workflow";

const NAMESPACE: &str = "default";
/// As many as the executor has on the way.
const IN_FLIGHT: usize = 64;

/// Makes pods one after another, each deleted once it has ended; gives seconds.
pub(super) async fn chain(client: &Client, name: &str, steps: usize) -> anyhow::Result<f64> {
    let pods = Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let watched = WatchParams::default().labels(&format!("{CHAIN}={name}"));
    let begin = Instant::now();
    let mut events = pin!(pods.watch(&watched, "0").await?);
    for step in 0..steps {
        let made = pods.create(&PostParams::default(), &pod(name, step)?).await?;
        let made = made.metadata.name.context("a pod has a name")?;
        loop {
            let event = events.next().await.context("the watch has ended")??;
            if ended(&event)?.is_some_and(|ended| ended == made) {
                break;
            }
        }
        pods.delete(&made, &DeleteParams::default().grace_period(0)).await?;
    }
    Ok(begin.elapsed().as_secs_f64())
}

/// Makes many pods, each marked once it has ended; gives seconds.
pub(super) async fn at_once(client: &Client, name: &str, count: usize) -> anyhow::Result<f64> {
    let pods = &Api::<Pod>::namespaced(client.clone(), NAMESPACE);
    let watched = WatchParams::default().labels(&format!("{CHAIN}={name}"));
    let begin = Instant::now();
    let events = pods.watch(&watched, "0").await?;
    let creating = stream::iter(0..count)
        .map(|number| async move {
            pods.create(&PostParams::default(), &pod(name, number)?).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<Vec<()>>();
    let mut known = HashSet::new();
    let ends = events.map_err(anyhow::Error::from).try_filter_map(move |event| {
        let ended = ended(&event).map(|ended| ended.filter(|name| known.insert(name.clone())));
        std::future::ready(ended)
    });
    let marking = ends
        .take(count)
        .map(|ended| async move {
            let mark =
                Patch::Merge(json!({"metadata": {"labels": {"workflows.argoproj.io/completed": "true"}}}));
            pods.patch_metadata(&ended?, &PatchParams::default(), &mark).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect::<Vec<()>>();
    let (_, marked) = tokio::try_join!(creating, marking)?;
    ensure!(marked.len() == count, "the watch has ended");
    Ok(begin.elapsed().as_secs_f64())
}

fn pod(chain: &str, number: usize) -> anyhow::Result<Pod> {
    Ok(serde_json::from_value(json!({
        "metadata": {"name": format!("{chain}-{number}"), "labels": {CHAIN: chain}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "containers": [{"name": "main", "image": "busybox", "command": ["true"]}],
        },
    }))?)
}

/// The pod that ended, where an event says so.
fn ended(event: &WatchEvent<Pod>) -> anyhow::Result<Option<String>> {
    match event {
        WatchEvent::Added(pod) | WatchEvent::Modified(pod) => Ok(name_of_ended(pod)),
        WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => Ok(None),
        WatchEvent::Error(status) => bail!("the watch was refused: {}", status.message),
    }
}

/// The name of a pod that has ended.
pub(super) fn name_of_ended(pod: &Pod) -> Option<String> {
    let phase = pod.status.as_ref()?.phase.as_deref()?;
    matches!(phase, "Succeeded" | "Failed").then(|| pod.metadata.name.clone())?
}

/// The error of a watch, as ours.
pub(super) fn lost(what: &str) -> anyhow::Error {
    anyhow!("{what}: the watch has ended")
}
