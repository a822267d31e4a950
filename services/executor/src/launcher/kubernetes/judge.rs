//! What the status of a Pod means, as Argo reads it. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStateTerminated, ContainerStatus, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tiphys_core::Timestamp;
use tiphys_runner::pod::{Left, Report};

use super::parcel::NAME as INSTALLER;
use super::pod::{MAIN, RUNNER};
use crate::launcher::{PodResult, PodState, PodVerdict, StoredArtifact};

/// Annotation of a pod whose other containers were ended by us, as its main one had.
pub(super) const ENDED: &str = "tiphys.dev/ended";
/// Never heals: the end is not waited for.
const HOPELESS: [&str; 2] = ["InvalidImageName", "ErrImageNeverPull"];
/// May heal, so that some time is given.
const STUCK: [&str; 8] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];
/// Every pod passes through these; they tell nothing.
const PASSING: [&str; 2] = ["PodInitializing", "ContainerCreating"];
/// The pod was gone without anybody having seen how its command ended.
pub(super) const DELETED: &str = "pod deleted";

/// What is seen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Sight {
    /// Its main container does not run yet.
    Pending { message: String, trouble: Trouble },
    /// It runs.
    Running { started: Timestamp, ready: bool, address: Option<String> },
    /// It ended.
    Ended {
        result: Box<PodResult>,
        /// The report was too long for the pod, and is in the store.
        put: bool,
        /// Other containers still run, and are to be ended.
        others: bool,
    },
}

/// Whether a pod that waits will ever run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    /// Perhaps.
    Stuck,
    /// No.
    Hopeless,
}

/// Looks at a pod. `stopping`: it was told to end by us.
pub(super) fn sight(pod: &Pod, now: Timestamp, stopping: bool) -> Sight {
    let default = PodStatus::default();
    let status = pod.status.as_ref().unwrap_or(&default);
    let main = of(status, MAIN).and_then(|container| container.state.as_ref());
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if over || main.is_some_and(|state| state.terminated.is_some()) {
        return ended(pod, status, main.and_then(|state| state.terminated.as_ref()), now, stopping, over);
    }
    if let Some(running) = main.and_then(|state| state.running.as_ref()) {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        return Sight::Running {
            started: running.started_at.as_ref().map_or(now, |time| time.0),
            ready: conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True"),
            address: status.pod_ip.clone().filter(|address| !address.is_empty()),
        };
    }
    waiting(status, pod.metadata.namespace.as_deref().unwrap_or_default())
}

/// The same for those who wait for the pod.
pub(super) fn state(pod: &Pod, now: Timestamp) -> PodState {
    match sight(pod, now, false) {
        Sight::Pending { message, .. } => PodState::Pending { message },
        Sight::Running { started, ready, address } => PodState::Running { started, ready, address },
        Sight::Ended { result, .. } => PodState::Ended(result),
    }
}

/// Whether a node has it: what it waits for then, only its kubelet knows.
pub(super) fn has_node(pod: &Pod) -> bool {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).is_some_and(|name| !name.is_empty())
}

fn of<'s>(status: &'s PodStatus, name: &str) -> Option<&'s ContainerStatus> {
    containers(status).iter().find(|container| container.name == name)
}

fn containers(status: &PodStatus) -> &[ContainerStatus] {
    status.container_statuses.as_deref().unwrap_or_default()
}

fn initial(status: &PodStatus) -> &[ContainerStatus] {
    status.init_container_statuses.as_deref().unwrap_or_default()
}

fn join(reason: &str, message: &str) -> String {
    match (reason, message) {
        (reason, "") => reason.to_owned(),
        ("", message) => message.to_owned(),
        (reason, message) => format!("{reason}: {message}"),
    }
}

/// What to do about a Secret or ConfigMap that the kubelet does not find.
fn absent(reason: &str, message: &str, namespace: &str) -> String {
    let kind = ["secret", "configmap"].into_iter().find(|kind| message.starts_with(kind));
    match kind {
        Some(kind) if reason == "CreateContainerConfigError" && message.ends_with("not found") => format!(
            "; a {kind} of the manifests that Tiphys reads is not copied into the cluster: apply it with kubectl in \
             namespace {namespace}"
        ),
        _ => String::new(),
    }
}

fn waiting(status: &PodStatus, namespace: &str) -> Sight {
    let waits = initial(status).iter().chain(containers(status));
    let waits = waits.filter_map(|container| container.state.as_ref()?.waiting.as_ref());
    for wait in waits {
        let reason = wait.reason.as_deref().unwrap_or_default();
        if reason.is_empty() || PASSING.contains(&reason) {
            continue;
        }
        let trouble = match reason {
            _ if HOPELESS.contains(&reason) => Trouble::Hopeless,
            _ if STUCK.contains(&reason) => Trouble::Stuck,
            _ => Trouble::None,
        };
        let told = wait.message.as_deref().unwrap_or_default();
        let message = join(reason, told) + &absent(reason, told, namespace);
        return Sight::Pending { message, trouble };
    }
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let unschedulable = conditions.iter().find(|c| c.reason.as_deref() == Some("Unschedulable"));
    let message = unschedulable.map_or(String::new(), |condition| {
        join("Unschedulable", condition.message.as_deref().unwrap_or_default())
    });
    Sight::Pending { message, trouble: Trouble::None }
}

fn ended(
    pod: &Pod,
    status: &PodStatus,
    main: Option<&ContainerStateTerminated>,
    now: Timestamp,
    stopping: bool,
    over: bool,
) -> Sight {
    let annotations = pod.metadata.annotations.as_ref();
    let has = |name| annotations.is_some_and(|all| all.contains_key(name));
    let ours = has(ENDED);
    let left = main.filter(|_| has(RUNNER)).and_then(|end| end.message.as_deref()).and_then(left);
    let mut result = match &left {
        Some(Left::Report(report)) => reported(report),
        _ => plain(status, main, now),
    };
    result.host = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    if let Some((verdict, message)) = verdict(pod, status, main, &result, left.as_ref(), stopping, ours) {
        result.verdict = verdict;
        result.message = message;
    }
    let others = !over && containers(status).iter().any(|other| other.name != MAIN && !is_over(other));
    Sight::Ended { result: Box::new(result), put: left == Some(Left::Put), others }
}

fn left(message: &str) -> Option<Left> {
    serde_json::from_str(message).ok()
}

fn is_over(container: &ContainerStatus) -> bool {
    container.state.as_ref().is_some_and(|state| state.terminated.is_some())
}

/// The result of a container without a runner, good until told otherwise.
fn plain(status: &PodStatus, main: Option<&ContainerStateTerminated>, now: Timestamp) -> PodResult {
    // What could not start began in 1970, containerd says.
    let real = |time: &&Time| time.0 > Timestamp::UNIX_EPOCH;
    let began = main.and_then(|end| end.started_at.as_ref()).filter(real).or(status.start_time.as_ref());
    PodResult {
        started: main.and(began).map(|time| time.0),
        finished: main.and_then(|end| end.finished_at.as_ref()).filter(real).map_or(now, |time| time.0),
        exit_code: main.map(|end| end.exit_code),
        verdict: PodVerdict::Succeeded,
        message: String::new(),
        result: None,
        parameters: BTreeMap::new(),
        artifacts: Vec::new(),
        host: None,
    }
}

/// What a runner reported.
pub(super) fn reported(report: &Report) -> PodResult {
    let (mut result, packed) = PodResult::reported(report.exit.clone());
    let stored = packed.iter().zip(&report.receipts);
    let stored =
        stored.map(|(packed, receipt)| StoredArtifact::of(packed, receipt.size, receipt.sha256.clone()));
    result.artifacts = stored.collect();
    result
}

/// The result of a pod whose report was in the store. What speaks against it besides the report was `seen`.
pub(super) fn complete(report: &[u8], seen: PodResult, now: Timestamp) -> PodResult {
    match serde_json::from_slice::<Report>(report) {
        Ok(report) => {
            let mut result = PodResult { host: seen.host, ..reported(&report) };
            if result.verdict == PodVerdict::Succeeded && seen.verdict != PodVerdict::Succeeded {
                (result.verdict, result.message) = (seen.verdict, seen.message);
            }
            result
        }
        Err(error) => PodResult {
            finished: now,
            verdict: PodVerdict::Error,
            message: format!("the report of the step cannot be read: {error}"),
            ..seen
        },
    }
}

/// What speaks against success, most telling first. None: what `result` says.
fn verdict(
    pod: &Pod,
    status: &PodStatus,
    main: Option<&ContainerStateTerminated>,
    result: &PodResult,
    left: Option<&Left>,
    stopping: bool,
    ours: bool,
) -> Option<(PodVerdict, String)> {
    let failed = status.phase.as_deref() == Some("Failed");
    let well = main.is_some_and(|end| end.exit_code == 0) && result.verdict == PodVerdict::Succeeded;
    if failed
        && !ours
        && let Some(told) = of_pod(status)
    {
        return Some(told);
    }
    if !well && (main.is_none() || pod.metadata.deletion_timestamp.is_some()) && !stopping {
        if let Some(why) = disruption(status) {
            return Some((PodVerdict::Error, format!("{DELETED}: {why}")));
        }
        if pod.metadata.deletion_timestamp.is_some() {
            return Some((PodVerdict::Error, DELETED.to_owned()));
        }
    }
    if let Some(end) = main.filter(|end| is_unknown(end)) {
        return Some((PodVerdict::Error, of_container(MAIN, end)));
    }
    if let Some(Left::Report(_)) = left
        && result.verdict != PodVerdict::Succeeded
    {
        // The runner does not see that it was memory that its command ran out of.
        let end = main.filter(|end| end.reason.as_deref() == Some("OOMKilled"))?;
        let code = result.exit_code.unwrap_or(end.exit_code);
        return Some((PodVerdict::Failed, format!("{MAIN}: OOMKilled (exit code {code})")));
    }
    if let Some(told) = of_containers(status, ours) {
        return Some(told);
    }
    let runner = pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(RUNNER));
    if runner && left.is_none() && main.is_some() {
        let message = "the runner left no report of the step".to_owned();
        return Some((PodVerdict::Error, message));
    }
    if main.is_none() {
        let message =
            join(status.reason.as_deref().unwrap_or_default(), "the end of the main container was not seen");
        return Some((PodVerdict::Error, message));
    }
    None
}

/// A container that the kubelet lost.
fn is_unknown(end: &ContainerStateTerminated) -> bool {
    end.reason.as_deref() == Some("ContainerStatusUnknown")
}

/// What the pod says of itself: evicted, out of time, refused by its node.
fn of_pod(status: &PodStatus) -> Option<(PodVerdict, String)> {
    let reason = status.reason.as_deref().unwrap_or_default();
    let message = status.message.as_deref().unwrap_or_default();
    if reason.is_empty() && message.is_empty() {
        return None;
    }
    let verdict = if reason == "NodeLost" { PodVerdict::Error } else { PodVerdict::Failed };
    Some((verdict, if message.is_empty() { reason.to_owned() } else { message.to_owned() }))
}

/// Why the cluster ended the pod, as it says.
pub(super) fn disruption(status: &PodStatus) -> Option<String> {
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let target = conditions.iter().find(|c| c.type_ == "DisruptionTarget" && c.status == "True")?;
    Some(join(target.reason.as_deref().unwrap_or_default(), target.message.as_deref().unwrap_or_default()))
}

fn of_container(name: &str, end: &ContainerStateTerminated) -> String {
    let reason = end.reason.as_deref().unwrap_or("Error");
    let message = format!("{name}: {reason} (exit code {})", end.exit_code);
    match end.message.as_deref().unwrap_or_default() {
        "" => message,
        text => format!("{message}: {text}"),
    }
}

/// Init containers first, then the main one, then those beside it.
fn of_containers(status: &PodStatus, ours: bool) -> Option<(PodVerdict, String)> {
    let mut all: Vec<&ContainerStatus> = containers(status).iter().collect();
    all.sort_by_key(|container| container.name != MAIN);
    for container in initial(status).iter().chain(all) {
        let Some(ContainerState { waiting, terminated, .. }) = &container.state else { continue };
        let name = container.name.as_str();
        let beside = name != MAIN;
        if let Some(waiting) = waiting.as_ref().filter(|_| status.phase.as_deref() == Some("Failed")) {
            let (reason, message) = (waiting.reason.as_deref(), waiting.message.as_deref());
            let why = join(reason.unwrap_or_default(), message.unwrap_or_default());
            return Some((
                PodVerdict::Error,
                format!("Pod failed before {name} container starts due to {why}"),
            ));
        }
        let Some(end) = terminated.as_ref().filter(|end| end.exit_code != 0) else { continue };
        // Killed because the main container had ended, most likely.
        if beside && (ours || matches!(end.exit_code, 137 | 143)) {
            continue;
        }
        let verdict = if name == INSTALLER { PodVerdict::Error } else { PodVerdict::Failed };
        return Some((verdict, of_container(name, end)));
    }
    None
}

#[cfg(test)]
mod tests;
