//! What comes after: pods are ended, marked and taken away. Each of these is tried until it is done.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, Preconditions};
use serde_json::{Value, json};
use tiphys_core::PodKey;
use tiphys_kit::Backoff;

use super::ask::{Failure, Kind, within};
use super::judge::ENDED;
use super::pod::{COMPLETED, INSTALLATION, KEPT, UID};
use super::record::{Place, key_of};
use super::{REQUEST, Shared};
use crate::launcher::{Ended, PodGc, PodState, PodVerdict};

/// So many logs of a workflow are read at the same time.
const LOGS: usize = 8;

impl Shared {
    /// Tries until it is done, or there is nothing to do it to.
    pub(super) fn until_done<F>(
        self: &Arc<Self>,
        what: String,
        request: impl Fn(Arc<Self>) -> F + Send + Sync + 'static,
    ) where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let shared = Arc::clone(self);
        self.tasks.spawn("tidy", async move {
            let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
            while let Err(failure) = shared.ask(request(Arc::clone(&shared))).await {
                match failure.kind {
                    Kind::Later => {
                        tracing::info!(what, why = failure.text, "it is tried again");
                        let wait = backoff.next_wait().max(failure.after.unwrap_or_default());
                        if !shared.pause(wait).await {
                            return;
                        }
                    }
                    // Gone, or another took its name.
                    Kind::Missing | Kind::Conflict => return,
                    Kind::Refused => return tracing::warn!(what, why = failure.text, "it is not done"),
                }
            }
        });
    }

    pub(super) fn patch(self: &Arc<Self>, what: &'static str, place: Place, patch: Value) {
        self.until_done(format!("{what} {}", place.name), move |shared| {
            let (place, mut patch) = (place.clone(), patch.clone());
            // Of this very pod.
            if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
                metadata.insert("uid".into(), json!(place.uid));
            }
            async move {
                let api = shared.api(&place.namespace);
                let params = PatchParams::default();
                within(REQUEST, api.patch_metadata(&place.name, &params, &Patch::Merge(&patch)))
                    .await
                    .map(drop)
            }
        });
    }

    /// Ends the other containers of a pod whose main one has ended: its time is up. So the pod stays, with its logs.
    pub(super) fn end_others(self: &Arc<Self>, _key: &PodKey, place: Place) {
        let patch =
            json!({"metadata": {"annotations": {ENDED: "true"}}, "spec": {"activeDeadlineSeconds": 1}});
        self.patch("end the sidecars of pod", place, patch);
    }

    /// Ends a pod with its grace, and takes it away.
    pub(super) fn delete(self: &Arc<Self>, key: PodKey, place: Place) {
        self.until_done(format!("delete pod {}", place.name), move |shared| {
            let (key, place) = (key.clone(), place.clone());
            async move {
                let options = DeleteParams {
                    preconditions: Some(Preconditions {
                        uid: Some(place.uid.to_string()),
                        resource_version: None,
                    }),
                    ..DeleteParams::default()
                };
                let deleted =
                    within(REQUEST, shared.api(&place.namespace).delete(&place.name, &options)).await;
                match deleted {
                    Err(failure) if matches!(failure.kind, Kind::Missing | Kind::Conflict) => {
                        // Nothing more will be heard of it.
                        shared.end_as(&key, &place, super::judge::DELETED.to_owned()).await;
                        Ok(())
                    }
                    other => other.map(drop),
                }
            }
        });
    }

    /// Ends a pod; what it writes until then is kept.
    pub(super) fn end(self: &Arc<Self>, key: PodKey, place: Place, runs: bool) {
        if !runs {
            return self.delete(key, place);
        }
        let shared = Arc::clone(self);
        self.tasks.spawn("end pod", async move {
            shared.follow_log(&key, &place).await;
            shared.delete(key, place);
        });
    }

    /// Takes a pod away that has ended, once its log is kept.
    pub(super) fn take_away(self: &Arc<Self>, key: PodKey, place: Place) {
        let shared = Arc::clone(self);
        self.tasks.spawn("take pod away", async move {
            if shared.keep_log(&key, &place).await {
                shared.delete(key, place);
            }
        });
    }

    /// The end of a pod is journalled.
    pub(super) fn forget(self: &Arc<Self>, key: &PodKey) {
        let record = {
            let mut pods = self.pods();
            if !pods.get(key).is_some_and(super::Record::is_over) {
                return;
            }
            pods.remove(key)
        };
        let Some(record) = record else { return };
        self.names().add(key.clone(), record.place.clone());
        if record.kept {
            self.drop_kept(key.clone(), record.place.clone());
        }
        let PodState::Ended(result) = &record.state else { return };
        let well = result.verdict == PodVerdict::Succeeded;
        if record.gc == PodGc::OnCompletion || well && record.gc == PodGc::OnSuccess {
            if !record.gc_delay.is_zero() {
                return self.delete_later(key.clone(), record.place, record.gc_delay);
            }
            if result.started.is_some() {
                return self.take_away(key.clone(), record.place);
            }
            return self.delete(key.clone(), record.place);
        }
        let patch = json!({"metadata": {"labels": {COMPLETED: "true"}}});
        self.patch("mark pod", record.place, patch);
    }

    /// What the store has of the pod itself goes.
    fn drop_kept(self: &Arc<Self>, key: PodKey, place: Place) {
        let shared = Arc::clone(self);
        self.tasks.spawn("drop report", async move { shared.drop_passing(&key, &place).await });
    }

    pub(super) async fn remove(self: &Arc<Self>, key: &PodKey) {
        let place = self.place(key).await;
        let record = self.pods().remove(key);
        self.names().remove(key);
        if let Some(record) = record.filter(|record| record.kept) {
            self.drop_kept(key.clone(), record.place);
        }
        self.drop_log(key).await;
        let place = match place {
            Ok(place) => place,
            Err(why) => return tracing::warn!(%key, %why, "a pod cannot be taken away"),
        };
        if let Some(place) = place {
            self.delete(key.clone(), place);
        }
    }

    /// A workflow has ended: what its pods shared goes, and the pods that are to go with it.
    pub(super) fn over(self: &Arc<Self>, workflow: &Ended) {
        for claim in &workflow.claims {
            let (namespace, claim, uid) = (workflow.namespace.clone(), claim.clone(), workflow.uid.clone());
            self.until_done(format!("delete volume claim {claim}"), move |shared| {
                let api = Api::<PersistentVolumeClaim>::namespaced(shared.client.clone(), &namespace);
                let options = ListParams::default()
                    .labels(&format!("{UID}={uid}"))
                    .fields(&format!("metadata.name={claim}"));
                async move {
                    within(REQUEST, api.delete_collection(&DeleteParams::default(), &options)).await.map(drop)
                }
            });
        }
        super::lock(&self.made).remove(&workflow.uid);
        if self.budgets().remove(&workflow.uid) {
            let (namespace, name) = (workflow.namespace.clone(), workflow.name.clone());
            self.until_done(format!("delete disruption budget {name}"), move |shared| {
                let api = Api::<PodDisruptionBudget>::namespaced(shared.client.clone(), &namespace);
                let name = name.clone();
                async move { within(REQUEST, api.delete(&name, &DeleteParams::default())).await.map(drop) }
            });
        }
        if workflow.collect {
            self.collect(workflow);
        }
    }

    /// Takes away the pods of a workflow, once their logs are kept.
    fn collect(self: &Arc<Self>, workflow: &Ended) {
        let selector = format!("{INSTALLATION}={},{UID}={},!{KEPT}", self.config.installation, workflow.uid);
        let (shared, namespace, name) = (Arc::clone(self), workflow.namespace.clone(), workflow.name.clone());
        self.tasks.spawn("take pods away", async move {
            // Which of them stay, the cluster knows.
            let pods = shared.pods_of(&namespace, &selector).await;
            for (key, _) in &pods {
                shared.names().remove(key);
            }
            let kept = stream::iter(pods)
                .map(|(key, place)| {
                    let shared = Arc::clone(&shared);
                    async move { shared.keep_log(&key, &place).await }
                })
                .buffer_unordered(LOGS)
                .all(std::future::ready);
            if !kept.await {
                return;
            }
            shared.until_done(format!("delete pods of workflow {name}"), move |shared| {
                let api = shared.api(&namespace);
                let options = ListParams::default().labels(&selector);
                async move {
                    within(REQUEST, api.delete_collection(&DeleteParams::default(), &options)).await.map(drop)
                }
            });
        });
    }

    /// The pods that are there. Where that is not told, they go without their logs.
    async fn pods_of(&self, namespace: &str, selector: &str) -> Vec<(PodKey, Place)> {
        let (api, params) = (self.api(namespace), ListParams::default().labels(selector));
        match self.insist("list pods", || api.list(&params)).await {
            Ok(listed) => {
                let all = listed.items.iter().filter_map(|pod| Some((key_of(pod)?, Place::of(pod))));
                all.collect()
            }
            Err(failure) => {
                tracing::warn!(why = failure.text, "pods cannot be listed, and go without their logs");
                Vec::new()
            }
        }
    }
}
