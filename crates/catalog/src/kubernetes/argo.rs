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
/// Names of those that carry no such label; the first is also that of the lease.
const WORKFLOWS_NAME: &str = "workflow-controller";
const EVENTS_NAME: &str = "controller-manager";

/// Which controllers run.
#[derive(Debug, Default)]
pub(super) struct Argo {
    workflows: AtomicBool,
    events: AtomicBool,
    /// The whole cluster may not be looked at.
    narrow: AtomicBool,
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
        let workflows = self.controllers(&WORKFLOWS, WORKFLOWS_NAME).await;
        let lease = self.holds_lease(WORKFLOWS_NAME, workflows.as_deref().unwrap_or_default()).await;
        let events = self.controllers(&EVENTS, EVENTS_NAME).await;
        let running = |found: Result<Vec<Controller>, Failure>| {
            found.map(|all| all.iter().find(|one| one.drives(self.namespace())).map(Controller::shown))
        };
        let (workflows, events) = (running(workflows), running(events));
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
            .filter_map(|(found, what)| Some(format!("{what} are left to Argo: {}", found?)))
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

    /// Controllers of Argo's that have a pod ready: Deployments by their labels, or by their name and the image of Argo's.
    async fn controllers(&self, labels: &[&str], name: &str) -> Result<Vec<Controller>, Failure> {
        let ready =
            |deployment: &Value| deployment["status"]["readyReplicas"].as_u64().unwrap_or_default() > 0;
        let mut found = Vec::new();
        for label in labels {
            found.extend(self.everywhere("apps/v1", "Deployment", label).await?.into_iter().filter(ready));
        }
        let argos = |deployment: &Value| {
            let image = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str();
            deployment["metadata"]["name"] == name
                && image.is_some_and(|image| image.contains("argo"))
                && ready(deployment)
        };
        if found.is_empty() {
            found.extend(self.everywhere("apps/v1", "Deployment", "").await?.into_iter().filter(argos));
        }
        Ok(found.into_iter().map(Controller).collect())
    }

    /// A lease of that name that somebody holds, unless it is a controller's that works elsewhere.
    async fn holds_lease(&self, name: &str, controllers: &[Controller]) -> Result<Option<String>, Failure> {
        let (now, ours) = (self.clock.now(), self.namespace());
        let leases = self.everywhere("coordination.k8s.io/v1", "Lease", "").await?;
        let held = leases.iter().find(|lease| {
            let namespace = &lease["metadata"]["namespace"];
            let of = |one: &&Controller| one.0["metadata"]["namespace"] == *namespace;
            let works_elsewhere = controllers.iter().find(of).is_some_and(|one| !one.drives(ours));
            lease["metadata"]["name"] == name && is_held(lease, now) && !works_elsewhere
        });
        Ok(held.map(|lease| {
            let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
            let namespace = lease["metadata"]["namespace"].as_str().unwrap_or_default();
            format!("{holder} holds the lease {namespace}/{name}")
        }))
    }

    /// Objects of the whole cluster: Argo is installed in a namespace of its own, and works in all. Where those may not be
    /// seen, those of the namespace that is read.
    async fn everywhere(&self, api_version: &str, kind: &str, label: &str) -> Result<Vec<Value>, Failure> {
        let resource = self.cluster.resource(api_version, kind).await?;
        let narrow = !self.namespace().is_empty() && self.argo.narrow.load(Ordering::Relaxed);
        if !narrow {
            match self.cluster.objects(&resource, "").list(label).await {
                Err(Failure::Forbidden(_)) if !self.namespace().is_empty() => {
                    self.argo.narrow.store(true, Ordering::Relaxed);
                }
                answer => return answer.map(|(all, _)| all),
            }
        }
        self.cluster.objects(&resource, self.namespace()).list(label).await.map(|(all, _)| all)
    }
}

/// A Deployment of a controller of Argo's.
struct Controller(Value);

impl Controller {
    /// Whether it works on objects of a namespace; empty: on any.
    fn drives(&self, namespace: &str) -> bool {
        let arguments = self.0["spec"]["template"]["spec"]["containers"][0]["args"].as_array();
        let mut arguments = arguments.into_iter().flatten().filter_map(Value::as_str);
        let (mut namespaced, mut managed) = (false, None);
        while let Some(argument) = arguments.next() {
            match argument.split_once('=').unwrap_or((argument, "")) {
                ("--namespaced", value) => namespaced = value != "false",
                ("--managed-namespace", "") => managed = arguments.next(),
                ("--managed-namespace", value) => managed = Some(value),
                _ => {}
            }
        }
        let own = self.0["metadata"]["namespace"].as_str().unwrap_or_default();
        !namespaced || namespace.is_empty() || managed.unwrap_or(own) == namespace
    }

    fn shown(&self) -> String {
        let text = |field: &str| self.0["metadata"][field].as_str().unwrap_or_default();
        format!("Deployment {}/{} runs", text("namespace"), text("name"))
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
    #[test]
    fn a_controller_of_one_namespace_works_nowhere_else() {
        let with = |arguments: &[&str]| {
            let container = json!({"args": arguments});
            Controller(json!({"metadata": {"namespace": "argo", "name": "c"},
                "spec": {"template": {"spec": {"containers": [container]}}}}))
        };
        for (arguments, drives) in [
            (&["--configmap", "c"][..], [true, true, true]),
            (&["--namespaced"], [true, true, false]),
            (&["--namespaced=false"], [true, true, true]),
            (&["--namespaced", "--managed-namespace", "team"], [true, false, true]),
            (&["--managed-namespace=team", "--namespaced"], [true, false, true]),
        ] {
            assert_eq!(
                ["", "argo", "team"].map(|name| with(arguments).drives(name)),
                drives,
                "{arguments:?}"
            );
        }
    }
}
