//! From the end of a pod to the next one of its workflow, as somebody sees who only looks on.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::time::Instant;

use anyhow::bail;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use tiphys_kit::{CancellationToken, Tasks};
use tokio::sync::oneshot;

use super::bare::{CHAIN, lost, name_of_ended};

/// Looks on.
pub(super) struct Gaps {
    stop: CancellationToken,
    seen: oneshot::Receiver<anyhow::Result<Vec<f64>>>,
    _tasks: Tasks,
}

impl Gaps {
    /// Begins with what happens from now on.
    pub(super) async fn start(client: &Client) -> anyhow::Result<Self> {
        let pods = Api::<Pod>::all(client.clone());
        let now = pods.list_metadata(&ListParams::default().limit(1)).await?;
        let version = now.metadata.resource_version.unwrap_or_default();
        let stop = CancellationToken::new();
        let tasks = Tasks::new(stop.clone());
        let (tell, seen) = oneshot::channel();
        let stopped = stop.clone();
        tasks.spawn("look on", async move {
            let _ = tell.send(look_on(pods, version, stopped).await);
        });
        Ok(Self { stop, seen, _tasks: tasks })
    }

    /// Gives milliseconds.
    pub(super) async fn stop(self) -> anyhow::Result<Vec<f64>> {
        self.stop.cancel();
        self.seen.await?
    }
}

async fn look_on(pods: Api<Pod>, version: String, stop: CancellationToken) -> anyhow::Result<Vec<f64>> {
    let mut events = pin!(pods.watch(&WatchParams::default(), &version).await?);
    let mut ends: HashMap<String, Instant> = HashMap::new();
    let mut over = HashSet::new();
    let mut gaps = Vec::new();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return Ok(gaps),
            event = events.next() => event.ok_or_else(|| lost("gaps"))??,
        };
        let now = Instant::now();
        match event {
            WatchEvent::Added(pod) => {
                let end = chain(&pod).and_then(|chain| ends.remove(&chain));
                gaps.extend(end.map(|end| (now - end).as_secs_f64() * 1000.0));
            }
            WatchEvent::Modified(pod) => {
                if let (Some(chain), Some(name)) = (chain(&pod), name_of_ended(&pod))
                    && over.insert(name)
                {
                    ends.insert(chain, now);
                }
            }
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => bail!("the watch was refused: {}", status.message),
        }
    }
}

fn chain(pod: &Pod) -> Option<String> {
    pod.metadata.labels.as_ref()?.get(CHAIN).cloned()
}
