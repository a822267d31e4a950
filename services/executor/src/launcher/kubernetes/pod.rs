//! From what the executor wants to the Pod that Kubernetes is given. Pure.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tiphys_core::Timestamp;

use super::parcel::{self, Parcelled};
use super::token::Keys;
use super::{Config, patch};
use crate::launcher::{LaunchError, PodGc, PodSpec};
use crate::plan::claim_name;

/// Labels and annotations of ours.
pub(super) const INSTALLATION: &str = "tiphys.dev/installation";
/// The identity of the attempt.
pub(super) const KEY: &str = "tiphys.dev/pod-key";
/// The workflow's uid.
pub(super) const UID: &str = "tiphys.dev/workflow-uid";
/// When the pod goes.
pub(super) const GC: &str = "tiphys.dev/pod-gc";
/// How long after its end, in seconds.
pub(super) const GC_DELAY: &str = "tiphys.dev/pod-gc-delay";
/// Where what outlives it is kept.
pub(super) const KEEPS: &str = "tiphys.dev/keeps";
/// Label of a pod that stays until its workflow is deleted.
pub(super) const KEPT: &str = "tiphys.dev/kept";
/// The main container is run by the runner; `relay` where it has to be connected to.
pub(super) const RUNNER: &str = "tiphys.dev/runner";
/// Its workflow has a disruption budget.
pub(super) const BUDGET: &str = "tiphys.dev/budget";
/// Argo's.
pub(super) const WORKFLOW: &str = "workflows.argoproj.io/workflow";
/// Argo's: whether its end was taken note of.
pub(super) const COMPLETED: &str = "workflows.argoproj.io/completed";
/// Argo's.
pub(super) const NODE_ID: &str = "workflows.argoproj.io/node-id";
const NODE_NAME: &str = "workflows.argoproj.io/node-name";
/// Longest value of a label.
const LABEL: usize = 63;
/// Name of the main container.
pub(super) const MAIN: &str = "main";

/// A pod to be created, and what is to be put into the store before.
#[derive(Debug)]
pub(super) struct Built {
    pub(super) pod: Value,
    pub(super) parcel: Option<Vec<u8>>,
    /// The runner is in it.
    pub(super) runner: bool,
}

/// Builds it. Errors are for the author of the workflow.
pub(super) fn build(spec: &PodSpec, config: &Config, now: Timestamp) -> Result<Built, LaunchError> {
    let mut pod = pod_spec(spec, config, now);
    for patch in &spec.pod.patches {
        if let Value::Object(patch) = patch {
            patch::merge(&mut pod, patch);
        }
    }
    pod.insert("restartPolicy".into(), json!("Never"));
    if main_of(&mut pod).is_none() {
        return Err(LaunchError::Missing(format!(
            "template {}: its podSpecPatch leaves no container {MAIN}",
            spec.template
        )));
    }
    if config.restricted {
        super::restrict::restrict(spec, &mut pod)?;
    }
    let parcelled = parcel::wrap(spec, config, now, &mut pod)?;
    let (runner, parcel) = match parcelled {
        Parcelled::Plain => (None, None),
        Parcelled::Runner { relay, stored } => (Some(if relay { "relay" } else { "dial" }), stored),
    };
    let metadata = metadata(spec, config, runner);
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod});
    Ok(Built { pod, parcel, runner: runner.is_some() })
}

/// The main container.
pub(super) fn main_of(pod: &mut Map<String, Value>) -> Option<&mut Map<String, Value>> {
    let containers = pod.get_mut("containers")?.as_array_mut()?;
    containers.iter_mut().find(|container| container["name"] == MAIN)?.as_object_mut()
}

/// Adds to a list that may not be there yet.
pub(super) fn add(table: &mut Map<String, Value>, list: &str, entry: Value) {
    if let Value::Array(entries) = table.entry(list).or_insert_with(|| json!([])) {
        entries.push(entry);
    }
}

/// The pod as its author wants it.
fn pod_spec(spec: &PodSpec, config: &Config, now: Timestamp) -> Map<String, Value> {
    let mut pod = spec.pod.spec.clone();
    let mut main = spec.container.as_object().cloned().unwrap_or_default();
    main.insert("name".into(), json!(MAIN));
    let named: Vec<String> = main
        .get("env")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|variable| variable["name"].as_str().map(str::to_owned))
        .collect();
    let own = [
        ("TIPHYS_POD_KEY", spec.key.0.as_str()),
        ("TIPHYS_NAMESPACE", &spec.namespace),
        ("TIPHYS_WORKFLOW", &spec.workflow),
        ("TIPHYS_TEMPLATE", &spec.template),
        ("TIPHYS_NODE_ID", &spec.node_id),
    ];
    let own = own.into_iter().chain(config.environment.iter().map(|(n, v)| (n.as_str(), v.as_str())));
    for (name, value) in own.filter(|(name, _)| !named.iter().any(|other| other == name)) {
        add(&mut main, "env", json!({"name": name, "value": literal(value)}));
    }
    if main.get("env").is_some_and(Value::is_null) {
        main.remove("env");
    }
    let mut containers = vec![Value::Object(main)];
    containers.extend(spec.pod.sidecars.iter().cloned());
    pod.insert("containers".into(), Value::Array(containers));
    // A step has no rights in the cluster unless its author asks for them.
    pod.entry("automountServiceAccountToken").or_insert(json!(false));
    pod.entry("terminationGracePeriodSeconds").or_insert(json!(spec.grace.as_secs()));
    if let Some(deadline) = spec.deadline {
        let left = deadline.duration_since(now).as_secs().max(1);
        pod.entry("activeDeadlineSeconds").or_insert(json!(left));
    }
    if !spec.pod.avoid.is_empty() {
        avoid(&mut pod, &spec.pod.avoid);
    }
    pod
}

/// A value in which nothing is to be replaced: `$` would be taken for the beginning of `$(VAR)`.
pub(super) fn literal(value: &str) -> String {
    value.replace('$', "$$")
}

/// Argo's `retryStrategy.affinity`: not on the nodes where earlier attempts failed.
fn avoid(pod: &mut Map<String, Value>, nodes: &[String]) {
    let expression = json!({"key": "kubernetes.io/hostname", "operator": "NotIn", "values": nodes});
    let place = ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
    let mut table = pod;
    for name in place {
        let Some(next) = table.entry(name).or_insert_with(|| json!({})).as_object_mut() else { return };
        table = next;
    }
    let terms = table.entry("nodeSelectorTerms").or_insert_with(|| json!([{}]));
    // One of the terms has to hold, so that each has to say it.
    for term in terms.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        add(term, "matchExpressions", expression.clone());
    }
}

fn metadata(spec: &PodSpec, config: &Config, runner: Option<&str>) -> Value {
    let mut labels = spec.labels.clone();
    let mut annotations = spec.annotations.clone();
    let own = [
        (WORKFLOW, spec.workflow.as_str()),
        (COMPLETED, "false"),
        (INSTALLATION, &config.installation),
        (KEY, &spec.key.0),
        (UID, &spec.workflow_uid),
    ];
    labels.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    // A name may be longer than a label.
    let long: Vec<String> =
        labels.iter().filter(|(_, value)| value.len() > LABEL).map(|(name, _)| name.clone()).collect();
    for name in long.iter().filter(|name| *name == WORKFLOW) {
        if let Some(value) = labels.remove(name) {
            annotations.insert(name.clone(), value);
        }
    }
    annotations.insert(NODE_ID.into(), spec.node_id.clone());
    annotations.insert(NODE_NAME.into(), spec.pod.node_name.clone());
    annotations.entry("kubectl.kubernetes.io/default-container".into()).or_insert_with(|| MAIN.into());
    let gc = match spec.pod.gc {
        PodGc::Later | PodGc::Kept => None,
        PodGc::OnCompletion => Some("completion"),
        PodGc::OnSuccess => Some("success"),
    };
    if spec.pod.gc == PodGc::Kept {
        labels.insert(KEPT.into(), "true".into());
    }
    let delay = Some(spec.pod.gc_delay).filter(|delay| !delay.is_zero());
    let delay = delay.map(|delay| delay.as_secs_f64().to_string());
    let budget = spec.pod.disruption_budget.as_ref().map(|_| "true");
    let keeps = spec.keeps.as_deref().map(|folder| Keys::new(&config.key).sealed(&spec.key, folder));
    if let Some(keeps) = keeps {
        annotations.insert(KEEPS.into(), keeps);
    }
    for (name, value) in [(GC, gc), (GC_DELAY, delay.as_deref()), (RUNNER, runner), (BUDGET, budget)] {
        annotations.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }
    json!({"name": spec.name, "namespace": spec.namespace, "labels": labels, "annotations": annotations})
}

fn shared_labels(spec: &PodSpec, config: &Config) -> BTreeMap<&'static str, String> {
    let mut labels =
        BTreeMap::from([(INSTALLATION, config.installation.clone()), (UID, spec.workflow_uid.clone())]);
    if spec.workflow.len() <= LABEL {
        labels.insert(WORKFLOW, spec.workflow.clone());
    }
    labels
}

/// The volume claims that the pods of a workflow share.
pub(super) fn claims(spec: &PodSpec, config: &Config) -> Vec<Value> {
    let each = spec.pod.claims.iter().map(|claim| {
        let name = claim["metadata"]["name"].as_str().unwrap_or_default();
        let mut labels = json!(shared_labels(spec, config));
        let own = claim["metadata"]["labels"].as_object().into_iter().flatten();
        if let Value::Object(labels) = &mut labels {
            own.for_each(|(name, value)| drop(labels.insert(name.clone(), value.clone())));
        }
        json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {
                "name": claim_name(&spec.workflow, name),
                "namespace": spec.namespace,
                "labels": labels,
                "annotations": claim["metadata"].get("annotations").cloned().unwrap_or(json!({})),
            },
            "spec": claim["spec"],
        })
    });
    each.collect()
}

/// The disruption budget of a workflow, which is called as it.
pub(super) fn budget(spec: &PodSpec, config: &Config) -> Option<Value> {
    let mut budget = spec.pod.disruption_budget.clone()?;
    let labels = shared_labels(spec, config);
    budget.insert("selector".into(), json!({"matchLabels": labels}));
    Some(json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": spec.workflow, "namespace": spec.namespace, "labels": labels},
        "spec": budget,
    }))
}

#[cfg(test)]
mod tests;
