//! A pod comes to be, once.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tiphys_kit::Backoff;

use super::ask::{Failure, Kind, within};
use super::pod::{self, INSTALLATION, KEY, NODE_ID, RUNNER, UID};
use super::record::{STORED, annotation, label};
use super::shelf::{Shelf, Thing};
use super::token::Keys;
use super::{REQUEST, RunnerSource, Shared};
use crate::launcher::{LaunchError, PodSpec};

/// So often a request is sent before the caller is told, who begins anew.
const TRIES: u32 = 6;

impl Shared {
    /// Creates the pod of an attempt, unless it is there.
    pub(super) async fn start(self: &Arc<Self>, spec: &PodSpec) -> Result<(), LaunchError> {
        if self.pods().contains_key(&spec.key) || self.names().get(&spec.key).is_some() {
            return Ok(());
        }
        let namespaces = &self.config.namespaces;
        if !namespaces.is_empty() && !namespaces.contains(&spec.namespace) {
            return Err(LaunchError::NotAllowed(format!(
                "pods of namespace {} are not followed from here, only those of {}",
                spec.namespace,
                namespaces.join(", ")
            )));
        }
        let mut built = pod::build(spec, &self.config, self.clock.now())?;
        if let Some(parcel) = &built.parcel {
            self.store_parcel(spec, parcel).await?;
            if let Some(Value::String(runner)) =
                built.pod.pointer_mut("/metadata/annotations").and_then(|all| all.get_mut(RUNNER))
            {
                runner.push_str(STORED);
            }
        }
        let pod: Pod = serde_json::from_value(built.pod).map_err(|error| {
            LaunchError::Missing(format!("the pod of template {} is none: {error}", spec.template))
        })?;
        if let (true, Some(RunnerSource::Packed(packed))) = (built.runner, &self.config.runner) {
            self.lay(packed, &spec.namespace).await?;
        }
        self.make_shared(spec).await?;
        let made = self.create(spec, &pod).await?;
        self.apply(&made);
        Ok(())
    }

    async fn store_parcel(&self, spec: &PodSpec, parcel: &[u8]) -> Result<(), LaunchError> {
        let file = self.scratch.next();
        let disk = |error: std::io::Error| LaunchError::Unavailable(format!("{}: {error}", file.display()));
        tokio::fs::write(&file, parcel).await.map_err(disk)?;
        let keys = Keys::new(&self.config.key);
        let shelf = Shelf::of(&keys, &spec.key, spec.keeps.as_deref(), Thing::Parcel);
        let stored = self.put(&shelf, file.clone()).await;
        // A store may take the file itself.
        let _ = tokio::fs::remove_file(&file).await;
        stored.map(drop)
    }

    /// Makes what the pods of the workflow share, unless that was done.
    async fn make_shared(&self, spec: &PodSpec) -> Result<(), LaunchError> {
        let claims = pod::claims(spec, &self.config);
        let budget = pod::budget(spec, &self.config);
        if claims.is_empty() && budget.is_none() || super::lock(&self.made).contains(&spec.workflow_uid) {
            return Ok(());
        }
        for claim in claims {
            self.make::<PersistentVolumeClaim>(spec, claim, "volume claim").await?;
        }
        if let Some(budget) = budget {
            self.make::<PodDisruptionBudget>(spec, budget, "disruption budget").await?;
        }
        super::lock(&self.made).insert(spec.workflow_uid.clone());
        Ok(())
    }

    /// Makes an object of the workflow. One of its name that is another's is refused.
    async fn make<K>(&self, spec: &PodSpec, object: Value, what: &str) -> Result<(), LaunchError>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let told = |why: &dyn std::fmt::Display| {
            LaunchError::Missing(format!("the {what} of workflow {} cannot be made: {why}", spec.workflow))
        };
        let object: K = serde_json::from_value(object).map_err(|error| told(&error))?;
        let name = object.meta().name.clone().unwrap_or_default();
        let api = Api::<K>::namespaced(self.client.clone(), &spec.namespace);
        let params = PostParams::default();
        match self.insist(&format!("create {what} {name}"), || api.create(&params, &object)).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.kind == Kind::Conflict => {}
            Err(failure) if failure.kind == Kind::Later => {
                return Err(LaunchError::Unavailable(failure.text));
            }
            Err(failure) => return Err(told(&failure.text)),
        }
        let found = self.insist(&format!("get {what} {name}"), || api.get(&name)).await;
        let found = found.map_err(|failure| LaunchError::Unavailable(failure.text))?;
        let owner = found.meta().labels.as_ref().and_then(|labels| labels.get(UID));
        if owner == Some(&spec.workflow_uid) {
            return Ok(());
        }
        Err(told(&format!(
            "{name} exists already and is not of this workflow; delete it, or name the workflow otherwise"
        )))
    }

    /// Sends a request until it is answered, for a while.
    pub(super) async fn insist<T, F>(&self, what: &str, mut request: impl FnMut() -> F) -> Result<T, Failure>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
        loop {
            match self.ask(within(REQUEST, request())).await {
                Err(failure) if failure.kind == Kind::Later && backoff.attempts() < TRIES => {
                    let wait = backoff.next_wait().max(failure.after.unwrap_or_default());
                    tracing::info!(what, why = failure.text, "the API server is asked again");
                    if !self.pause(wait).await {
                        return Err(failure);
                    }
                }
                other => return other,
            }
        }
    }

    async fn create(&self, spec: &PodSpec, pod: &Pod) -> Result<Pod, LaunchError> {
        let (api, params) = (self.api(&spec.namespace), PostParams::default());
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let sent = || api.create(&params, pod);
            let failure = match self.insist(&format!("create pod {}", spec.name), sent).await {
                Ok(made) => return Ok(made),
                Err(failure) => failure,
            };
            match failure.kind {
                Kind::Conflict => {
                    if let Some(found) = self.adopt(spec, &api).await? {
                        return Ok(found);
                    }
                    // The one that was there goes.
                    if backoff.attempts() >= TRIES || !self.pause(backoff.next_wait()).await {
                        let why = format!("an earlier pod {} does not go", spec.name);
                        return Err(LaunchError::Unavailable(why));
                    }
                }
                Kind::Later => {
                    return Err(LaunchError::Unavailable(format!("pod {}: {}", spec.name, failure.text)));
                }
                Kind::Missing | Kind::Refused => {
                    return Err(LaunchError::NotAllowed(format!(
                        "pod {} was refused: {}",
                        spec.name, failure.text
                    )));
                }
            }
        }
    }

    /// A pod of this name is there: it is taken if it is of this very attempt. `None`: it went.
    async fn adopt(&self, spec: &PodSpec, api: &Api<Pod>) -> Result<Option<Pod>, LaunchError> {
        let found = match self.insist(&format!("get pod {}", spec.name), || api.get(&spec.name)).await {
            Ok(found) => found,
            Err(failure) if failure.kind == Kind::Missing => return Ok(None),
            Err(failure) => return Err(LaunchError::Unavailable(failure.text)),
        };
        // Two installations give the same workflow of the same event the same names.
        let ours = label(&found, INSTALLATION) == Some(self.config.installation.as_str());
        let node = ours
            && label(&found, UID) == Some(&spec.workflow_uid)
            && annotation(&found, NODE_ID) == Some(&spec.node_id);
        if node && label(&found, KEY) == Some(&spec.key.0) {
            return Ok(Some(found));
        }
        let phase = found.status.as_ref().and_then(|status| status.phase.as_deref());
        if !node || !matches!(phase, Some("Succeeded" | "Failed")) {
            return Err(LaunchError::NotAllowed(format!(
                "a pod {} is in namespace {} already and is not of this attempt (it is of workflow uid {}, installation \
                 {}); delete it, then retry the workflow",
                spec.name,
                spec.namespace,
                label(&found, UID).unwrap_or("unknown"),
                label(&found, INSTALLATION).unwrap_or("unknown"),
            )));
        }
        // The same node, before a retry by hand.
        let options = DeleteParams {
            preconditions: Some(Preconditions { uid: found.metadata.uid.clone(), resource_version: None }),
            ..DeleteParams::default()
        };
        match self.ask(within(REQUEST, api.delete(&spec.name, &options))).await {
            Err(failure) if failure.kind == Kind::Refused => Err(LaunchError::NotAllowed(failure.text)),
            _ => Ok(None),
        }
    }
}
