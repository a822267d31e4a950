//! How a pod is ended, and what is taken away after it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{
    ListContainersOptions, ListVolumesOptions, RemoveContainerOptions, RemoveVolumeOptions,
    StopContainerOptions,
};
use tiphys_core::{PodKey, Timestamp};
use tiphys_kit::Backoff;

use super::engine::Trouble;
use super::{Ended, LaunchError, Pod, PodState, Shared, labels, part};

/// A volume may be in use until the last pod is taken away.
const TRIES: u32 = 8;

impl Shared {
    /// Ends a pod: TERM, and KILL when its grace is over. That takes a task of its own.
    pub(super) async fn stop(self: &Arc<Self>, key: &PodKey) -> Result<(), LaunchError> {
        if let Some(Pod::Pending { cancel, .. }) = self.pod(key) {
            cancel.cancel();
            return Ok(());
        }
        if matches!(self.resolve(key).await?, PodState::Running { .. }) {
            let (shared, key) = (Arc::clone(self), key.clone());
            self.tasks.spawn("stop pod", async move {
                let stop = shared.tasks.stop().clone();
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = shared.stop_running(&key) => {}
                }
            });
        }
        Ok(())
    }

    /// Tries until the engine has ended it: one that is away now is told when it is back.
    async fn stop_running(&self, key: &PodKey) {
        let name = part::main_name(&self.config, key);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while matches!(self.pod(key), Some(Pod::Running { .. })) {
            // The grace stands in the container.
            let stopped = self.docker.stop_container(&name, None::<StopContainerOptions>).await;
            match stopped.map_err(Trouble::from) {
                Ok(()) | Err(Trouble::Absent(_) | Trouble::Conflict(_)) => return,
                Err(Trouble::Refused(why)) => {
                    tracing::warn!(name, why, "a container could not be stopped");
                    return;
                }
                Err(Trouble::Away(why)) => {
                    tracing::info!(name, why, "a container cannot be stopped for the moment, trying again");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
        }
    }

    /// Ends it when it is out of time.
    pub(super) fn stop_at(self: &Arc<Self>, key: &PodKey, deadline: Timestamp) {
        let left = Duration::try_from(deadline.duration_since(self.clock.now())).unwrap_or_default();
        let (shared, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn("deadline", async move {
            tokio::select! {
                () = shared.tasks.stop().cancelled() => return,
                () = tokio::time::sleep(left) => {}
            }
            if matches!(shared.pod(&key), Some(Pod::Running { .. }))
                && let Err(error) = shared.stop(&key).await
            {
                tracing::warn!(%key, %error, "a pod that is out of time could not be stopped");
            }
        });
    }

    /// Keeps the log, and takes the rest away: in a task of its own, as nobody waits for it.
    pub(super) async fn forget(self: &Arc<Self>, key: &PodKey) {
        let parts = match self.pod(key) {
            Some(Pod::Running { .. } | Pod::Pending { .. }) => return,
            Some(Pod::Ended { parts, .. }) => parts,
            None => match self.resolve(key).await {
                Ok(PodState::Ended(_)) => true,
                _ => return,
            },
        };
        self.drop_pod(key);
        let (shared, key) = (Arc::clone(self), key.clone());
        self.tasks.spawn("tidy up", async move {
            let _permit = shared.tidies.acquire().await.ok();
            let name = part::main_name(&shared.config, &key);
            if let Err(error) = shared.save_log(&key).await {
                tracing::warn!(%key, %error, "the log of a container could not be kept; the container stays");
                return;
            }
            if parts {
                shared.remove_all(&key).await;
            } else {
                shared.remove_one(&name).await;
            }
        });
    }

    /// Takes everything away, whatever it does.
    pub(super) async fn remove(self: &Arc<Self>, key: &PodKey) {
        if let Some(Pod::Pending { cancel, .. }) = self.pod(key) {
            cancel.cancel();
        }
        self.drop_pod(key);
        self.remove_all(key).await;
        self.remove_log(key).await;
    }

    /// Removes all containers and volumes of a pod.
    pub(super) async fn remove_all(&self, key: &PodKey) {
        self.remove_labelled(&[(labels::POD, &key.0)]).await;
    }

    async fn remove_labelled(&self, wanted: &[(&str, &str)]) {
        let filters = labels::filter(&self.config, wanted);
        self.remove_containers(filters.clone()).await;
        let listed = self.docker.list_volumes(Some(ListVolumesOptions { filters: Some(filters) })).await;
        let volumes = listed.ok().and_then(|listed| listed.volumes).unwrap_or_default();
        for volume in volumes {
            self.remove_volume(&volume.name).await;
        }
    }

    async fn remove_containers(&self, filters: HashMap<String, Vec<String>>) {
        let options =
            ListContainersOptions { all: true, filters: Some(filters), ..ListContainersOptions::default() };
        let mut found = match self.docker.list_containers(Some(options)).await.map_err(Trouble::from) {
            Ok(found) => found,
            Err(trouble) => {
                tracing::warn!(why = trouble.text(), "containers could not be listed, and are not removed");
                return;
            }
        };
        // Who has joined another's network goes before that one.
        found.sort_by_key(|container| {
            let role = container.labels.as_ref().and_then(|labels| labels.get(labels::ROLE));
            role.is_some_and(|role| role == labels::PAUSE)
        });
        for container in found {
            for name in container.names.iter().flatten() {
                self.doubt(name.trim_start_matches('/'));
            }
            self.remove_one(&container.id.unwrap_or_default()).await;
        }
    }

    async fn remove_one(&self, name: &str) {
        let options = RemoveContainerOptions { v: true, force: true, link: false };
        if let Err(trouble @ (Trouble::Refused(_) | Trouble::Away(_))) =
            self.docker.remove_container(name, Some(options)).await.map_err(Trouble::from)
        {
            tracing::warn!(name, why = trouble.text(), "a container could not be removed");
        }
    }

    async fn remove_volume(&self, name: &str) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        while backoff.attempts() < TRIES {
            let removed = self.docker.remove_volume(name, None::<RemoveVolumeOptions>).await;
            match removed.map_err(Trouble::from) {
                Ok(()) | Err(Trouble::Absent(_)) => return,
                Err(_) => tokio::time::sleep(backoff.next_wait()).await,
            }
        }
        tracing::warn!(name, "a volume could not be removed; something uses it");
    }

    /// Removes what the pods of a workflow shared.
    pub(super) async fn over(self: &Arc<Self>, workflow: &Ended) {
        let (shared, uid) = (Arc::clone(self), workflow.uid.clone());
        self.tasks.spawn("workflow over", async move {
            // What was made for it and will never be started: a process was killed in between.
            let mut unstarted =
                labels::filter(&shared.config, &[(labels::WORKFLOW, &uid), (labels::ROLE, labels::MAIN)]);
            unstarted.insert("status".into(), vec!["created".into()]);
            shared.remove_containers(unstarted).await;
            for role in [labels::PAUSE, labels::CLAIM] {
                shared.remove_labelled(&[(labels::WORKFLOW, &uid), (labels::ROLE, role)]).await;
            }
        });
    }
}
