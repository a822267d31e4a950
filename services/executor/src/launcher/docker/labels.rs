//! Labels by which containers and volumes are known again.

use std::collections::HashMap;

use super::{Config, PodSpec};

/// Whose they are: several installations may share an engine.
pub(super) const INSTALLATION: &str = "tiphys.dev/installation";
/// Key of the pod.
pub(super) const POD: &str = "tiphys.dev/pod";
/// What it is of the pod or the workflow: one of the roles below.
pub(super) const ROLE: &str = "tiphys.dev/role";
/// Uid of the workflow.
pub(super) const WORKFLOW: &str = "tiphys.dev/workflow-uid";
/// Present where the main container is under the runner.
pub(super) const RUNNER: &str = "tiphys.dev/runner";
/// When a plain container is out of time.
pub(super) const DEADLINE: &str = "tiphys.dev/deadline";
/// Present on a main container that is not all there is of its pod.
pub(super) const PARTS: &str = "tiphys.dev/parts";
/// Present on a daemon.
pub(super) const DAEMON: &str = "tiphys.dev/daemon";
/// How to see whether a daemon is ready.
pub(super) const PROBE: &str = "tiphys.dev/probe";

/// Where the log is kept; always there, so that no image and no manifest can say it.
pub(super) const KEEPS: &str = "tiphys.dev/keeps";

pub(super) const MAIN: &str = "main";
pub(super) const INIT: &str = "init";
pub(super) const SIDECAR: &str = "sidecar";
pub(super) const PAUSE: &str = "pause";
pub(super) const VOLUME: &str = "volume";
pub(super) const CLAIM: &str = "claim";

/// Those of a part of a pod. The manifest's own come along.
pub(super) fn of_pod(config: &Config, pod: &PodSpec, role: &str) -> HashMap<String, String> {
    let own = [(POD, pod.key.0.as_str()), (KEEPS, pod.keeps.as_deref().unwrap_or_default())];
    let mut all: HashMap<String, String> = pod.labels.clone().into_iter().collect();
    all.extend(of_workflow(config, pod, role));
    all.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    all
}

/// Those of what the pods of a workflow share.
pub(super) fn of_workflow(config: &Config, pod: &PodSpec, role: &str) -> HashMap<String, String> {
    let all =
        [(INSTALLATION, config.installation.as_str()), (ROLE, role), (WORKFLOW, pod.workflow_uid.as_str())];
    all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

/// A filter of the engine's lists.
pub(super) fn filter(config: &Config, wanted: &[(&str, &str)]) -> HashMap<String, Vec<String>> {
    let own = [(INSTALLATION, config.installation.as_str())];
    let labels = own.iter().chain(wanted).map(|(name, value)| format!("{name}={value}"));
    HashMap::from([("label".to_owned(), labels.collect())])
}
