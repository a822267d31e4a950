//! What a stub asks of the API server for one pod.

use std::future::pending;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::Taken;
use super::fate::{Fate, Wait};
use super::status::Containers;

/// How many requests a stub has on the way. More would only wait at the API server.
const REQUESTS: usize = 32;

/// What has to be known of a pod to speak about it.
pub(super) struct Subject {
    pub(super) taken: Taken,
    containers: Containers,
    pub(super) ended: bool,
}

impl Subject {
    pub(super) fn of(pod: &Pod) -> Option<Self> {
        let meta = &pod.metadata;
        let taken =
            Taken { namespace: meta.namespace.clone()?, name: meta.name.clone()?, uid: meta.uid.clone()? };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let ended = matches!(phase, Some("Succeeded" | "Failed"));
        Some(Self { taken, containers: Containers::of(pod), ended })
    }
}

pub(super) struct Requests<'a> {
    client: &'a Client,
    free: Semaphore,
}

impl<'a> Requests<'a> {
    pub(super) fn new(client: &'a Client) -> Self {
        Self { client, free: Semaphore::new(REQUESTS) }
    }

    fn pods(&self, subject: &Subject) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &subject.taken.namespace)
    }

    pub(super) async fn bind(&self, subject: &Subject, node: &str) {
        let Taken { namespace, name, uid } = &subject.taken;
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        });
        self.tried(async || {
            let params = PostParams::default();
            let pods = self.pods(subject);
            pods.create_subresource::<Value, Value>("binding", name, &params, &binding).await.map(drop)
        })
        .await;
    }

    pub(super) async fn live(&self, subject: &Subject, fate: &Fate, mut hears: watch::Receiver<bool>) {
        let Some(end) = &fate.end else {
            if fate.runs {
                self.say(subject, subject.containers.running()).await;
            }
            return;
        };
        if !matches!(fate.wait, Wait::Nothing) {
            self.say(subject, subject.containers.running()).await;
        }
        match fate.wait {
            Wait::Nothing => {}
            Wait::For(time) => tokio::time::sleep(time).await,
            // Where nobody is left to release it, the whole stub ends.
            Wait::Release if hears.wait_for(|released| *released).await.is_err() => pending().await,
            Wait::Release => {}
        }
        self.say(subject, subject.containers.ended(end)).await;
    }

    /// A pod that runs is stopped by a signal. Its object goes when the node says so.
    pub(super) async fn delete(&self, subject: &Subject, runs: bool) {
        if runs {
            let end = Fate::exits(128 + 15);
            let end = end.end.as_ref().expect("an end");
            self.say(subject, subject.containers.ended(end)).await;
        }
        let only = Preconditions { uid: Some(subject.taken.uid.clone()), resource_version: None };
        let params = DeleteParams { preconditions: Some(only), ..DeleteParams::default().grace_period(0) };
        self.tried(async || self.pods(subject).delete(&subject.taken.name, &params).await.map(drop)).await;
    }

    async fn say(&self, subject: &Subject, status: Value) {
        let patch = Patch::Merge(json!({"metadata": {"uid": subject.taken.uid}, "status": status}));
        let (name, params) = (&subject.taken.name, PatchParams::default());
        self.tried(async || self.pods(subject).patch_status(name, &params, &patch).await.map(drop)).await;
    }

    /// Asks until there is an answer. One that refuses is an answer: the pod is gone, or another's.
    async fn tried(&self, request: impl AsyncFn() -> kube::Result<()>) {
        loop {
            let free = self.free.acquire().await;
            match request().await {
                Ok(()) => return,
                Err(kube::Error::Api(answer)) if (400..500).contains(&answer.code) && answer.code != 429 => {
                    return;
                }
                Err(_) => {}
            }
            drop(free);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
