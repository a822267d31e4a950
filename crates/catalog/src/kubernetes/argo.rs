//! Whether Argo's own controllers run in the cluster. What they drive is left to them: two that start the same workflow
//! would start it twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tiphys_core::Timestamp;
use tiphys_kit::CancellationToken;
use tiphys_kit::kubernetes::Failure;
use tiphys_manifest::Kind;
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::{ARGO, Shared};
use crate::error::CatalogError;

/// How often is looked.
const AGAIN: Duration = Duration::from_secs(60);
/// A lease that was not renewed for so long has no holder any more.
const FRESH: i64 = 90;

/// Labels by which Deployments of the controllers are known: as Argo's manifests and as its charts have them.
const WORKFLOWS: [&str; 2] = ["app=workflow-controller", "app.kubernetes.io/component=workflow-controller"];
const EVENTS: [&str; 2] = [
    "app=argo-events-controller",
    "app.kubernetes.io/part-of=argo-events,app.kubernetes.io/component=controller-manager",
];
/// Names of those that carry no such label.
const EVENTS_NAME: &str = "controller-manager";

/// Which controllers run.
#[derive(Debug, Default)]
pub(super) struct Argo {
    workflows: AtomicBool,
    events: AtomicBool,
    /// It was looked again: what was left to Argo may be ours now.
    pub(super) looked: Notify,
}

impl Shared {
    /// Whether a kind is left to Argo.
    pub(super) fn is_argos(&self, kind: Kind) -> bool {
        if self.config.argo_too {
            return false;
        }
        match kind {
            Kind::Workflow | Kind::CronWorkflow => self.argo.workflows.load(Ordering::Relaxed),
            Kind::EventSource | Kind::Sensor | Kind::EventBus => self.argo.events.load(Ordering::Relaxed),
            _ => false,
        }
    }

    /// Looks once. A cluster where that may not be seen is taken for one without.
    ///
    /// # Errors
    /// Where the cluster does not answer.
    pub(super) async fn look_for_argo(&self) -> Result<(), CatalogError> {
        let lease = self.holds_lease("workflow-controller").await;
        let workflows = self.runs(&WORKFLOWS, "workflow-controller").await;
        let events = self.runs(&EVENTS, EVENTS_NAME).await;
        let mut unseen = Vec::new();
        let mut seen = |outcome: Result<Option<String>, Failure>| match outcome {
            Ok(found) => Ok(found),
            Err(failure @ Failure::Unavailable(_)) => Err(CatalogError::Cluster(failure)),
            Err(failure) => {
                unseen.push(failure.to_string());
                Ok(None)
            }
        };
        let (lease, workflows, events) = (seen(lease)?, seen(workflows)?, seen(events)?);
        let workflows = lease.or(workflows);
        self.argo.workflows.store(workflows.is_some(), Ordering::Relaxed);
        self.argo.events.store(events.is_some(), Ordering::Relaxed);
        let left = [(workflows, "Workflows and CronWorkflows"), (events, "EventSources and Sensors")];
        let left: Vec<String> = left
            .into_iter()
            .filter_map(|(found, what)| Some(format!("{what} are left to Argo: {} runs", found?)))
            .collect();
        if left.is_empty() {
            self.health.ready(ARGO);
        } else if self.config.argo_too {
            self.health
                .failing(ARGO, format!("{} (and they are driven all the same, as asked)", left.join("; ")));
        } else {
            let todo = "stop it, or start Tiphys with --argo-too if they are not its own";
            warn!("{}; {todo}", left.join("; "));
            self.health.failing(ARGO, format!("{}; {todo}", left.join("; ")));
        }
        if !unseen.is_empty() {
            debug!(why = unseen.join("; "), "whether Argo runs in the cluster cannot be seen");
        }
        Ok(())
    }

    /// Looks again and again.
    pub(super) async fn watch_argo(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(AGAIN) => {}
            }
            if let Err(failure) = self.look_for_argo().await {
                debug!(%failure, "whether Argo runs cannot be seen for the moment");
            }
            self.changed.notify_one();
            self.argo.looked.notify_one();
        }
    }

    /// A Deployment that has a pod ready: by its labels, or by its name and the image of Argo's.
    async fn runs(&self, labels: &[&str], name: &str) -> Result<Option<String>, Failure> {
        let resource = self.cluster.resource("apps/v1", "Deployment").await?;
        let deployments = self.cluster.objects(&resource, self.namespace());
        let ready =
            |deployment: &Value| deployment["status"]["readyReplicas"].as_u64().unwrap_or_default() > 0;
        let shown = |deployment: &Value| {
            let text = |field: &str| deployment["metadata"][field].as_str().unwrap_or_default();
            format!("Deployment {}/{}", text("namespace"), text("name"))
        };
        for label in labels {
            let (found, _) = deployments.list(label).await?;
            if let Some(found) = found.iter().find(|deployment| ready(deployment)) {
                return Ok(Some(shown(found)));
            }
        }
        let (found, _) = deployments.list("").await?;
        let argos = |deployment: &&Value| {
            let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
            deployment["metadata"]["name"] == name
                && image.is_some_and(|image| image.contains("argo"))
                && ready(deployment)
        };
        Ok(found.iter().find(argos).map(shown))
    }

    /// A lease of that name that somebody holds.
    async fn holds_lease(&self, name: &str) -> Result<Option<String>, Failure> {
        let resource = self.cluster.resource("coordination.k8s.io/v1", "Lease").await?;
        let (leases, _) = self.cluster.objects(&resource, self.namespace()).list("").await?;
        let now = self.clock.now();
        let held = leases.iter().find(|lease| lease["metadata"]["name"] == name && is_held(lease, now));
        Ok(held.map(|lease| {
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            format!("{holder} holds the lease {name}")
        }))
    }
}

fn is_held(lease: &Value, now: Timestamp) -> bool {
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
    let renewed = lease["spec"]["renewTime"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    !holder.is_empty() && renewed.is_some_and(|at| now.duration_since(at).as_secs() < FRESH)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lease_is_held_while_it_is_renewed() {
        let now: Timestamp = "2026-11-30T12:00:00Z".parse().unwrap();
        let lease =
            |holder: &str, renewed: &str| json!({"spec": {"holderIdentity": holder, "renewTime": renewed}});
        assert!(is_held(&lease("a", "2026-11-30T11:59:30.123456Z"), now));
        assert!(!is_held(&lease("", "2026-11-30T11:59:30Z"), now));
        assert!(!is_held(&lease("a", "2026-11-30T11:00:00Z"), now));
        assert!(!is_held(&json!({"spec": {"holderIdentity": "a"}}), now));
    }
}
