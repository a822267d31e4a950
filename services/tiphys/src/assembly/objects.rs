//! Objects of a cluster as the manifests of a process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiphys_catalog::kubernetes::{Brief, Config, KubernetesFeeder, PART, Shown};
use tiphys_core::chain;
use tiphys_core::workflow::{Command, Submission};
use tiphys_kit::{Backoff, CancellationToken, Health};
use tiphys_manifest::Kind;
use tiphys_server::Shared;
use tracing::warn;

/// Kinds, and whether Secrets and ConfigMaps that they name are read, too.
type Kinds = &'static [(Kind, bool)];

/// What each service reads, and no more. The EventBus tells all of them where the bus is.
pub(crate) const BUS: Kinds = &[(Kind::EventBus, true)];
pub(crate) const EVENTSOURCE: Kinds = &[(Kind::EventBus, true), (Kind::EventSource, true)];
pub(crate) const SENSOR: Kinds = &[(Kind::EventBus, true), (Kind::Sensor, false)];
pub(crate) const TRIGGER: Kinds = &[
    (Kind::EventBus, true),
    (Kind::Sensor, true),
    (Kind::WorkflowTemplate, false),
    (Kind::CronWorkflow, false),
];
pub(crate) const EXECUTOR: Kinds = &[
    (Kind::EventBus, true),
    (Kind::WorkflowTemplate, true),
    (Kind::ClusterWorkflowTemplate, true),
    (Kind::CronWorkflow, true),
];
/// The API shows everything, and reads what archived logs need.
pub(crate) const SERVER: Kinds = &[
    (Kind::EventBus, true),
    (Kind::EventSource, false),
    (Kind::Sensor, false),
    (Kind::WorkflowTemplate, true),
    (Kind::ClusterWorkflowTemplate, true),
    (Kind::CronWorkflow, true),
];

/// What a service reads.
pub(crate) fn config(kinds: Kinds, namespace: Option<String>, argo_too: bool) -> Config {
    let resolved = kinds.iter().filter(|(_, resolved)| *resolved);
    Config {
        namespace,
        argo_too,
        kinds: kinds.iter().map(|(kind, _)| *kind).collect(),
        resolved: resolved.map(|(kind, _)| *kind).collect(),
    }
}

/// Reads the objects for the first time, however long the cluster is away. From then on what was read is in force, and a
/// cluster that goes away is told of without the process being less ready. False: told to stop.
pub(crate) async fn read_patiently(
    objects: &KubernetesFeeder,
    health: &Health,
    stop: &CancellationToken,
) -> bool {
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
    loop {
        let read = tokio::select! {
            () = stop.cancelled() => return false,
            read = objects.read() => read,
        };
        match read {
            Ok(()) => {
                health.only_tell(PART);
                return true;
            }
            Err(error) => {
                warn!(error = chain(&error), "waiting for the objects of the cluster");
                health.failing(PART, chain(&error));
            }
        }
        tokio::select! {
            () = stop.cancelled() => return false,
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}

/// What the API knows of workflows.
struct ShownByApi(Shared);

/// What the API knows of workflows, for their objects.
pub(crate) fn shown_by(api: &Shared) -> Arc<dyn Shown> {
    Arc::new(ShownByApi(api.clone()))
}

impl Shown for ShownByApi {
    fn workflow(&self, namespace: &str, name: &str) -> Option<Value> {
        self.0.workflow(namespace, name)
    }

    fn brief(&self, namespace: &str, name: &str) -> Option<Brief> {
        let (uid, over) = self.0.workflow_brief(namespace, name)?;
        Some(Brief { uid, over })
    }

    fn asked(&self, namespace: &str, name: &str) -> Option<(Submission, Vec<Command>)> {
        self.0.workflow_asked(namespace, name)
    }

    fn names(&self) -> Vec<(String, String)> {
        self.0.workflow_names()
    }

    fn runs(&self, namespace: &str, name: &str) -> Vec<(String, String)> {
        self.0.workflows_of_cron(namespace, name)
    }
}
