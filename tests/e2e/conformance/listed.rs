//! What the list beside Argo's examples says of each: how it is to end, or why it is not compared.

use serde_json::Value;

use super::case::REJECTED;
use super::machine;

/// Images for which [`super::images`] has something on every machine, in the words of the list.
const IMAGES: [&str; 11] = ["a", "a*", "b", "c", "d", "n", "par", "s", "s1", "u", "w"];
/// What an example may need: what the server is given by [`super::corpus::manifests`], and what a cluster has.
const NEEDS: [&str; 6] = ["A", "K:CM", "K:PDB", "K:Secret", "T", "V"];
/// Features that are refused by name before anything runs, so that neither images nor servers are needed.
const REFUSED: [&str; 12] = [
    "ctrSet",
    "data",
    "http",
    "inA.oss",
    "memo",
    "outA.artifactory",
    "outA.hdfs",
    "outA.plugin",
    "plugin",
    "plugins",
    "sync",
    "wf.sync",
];
/// Examples that end by chance elsewhere. Here the dice are loaded (see [`machine`]), so that each ends in this way.
const LOADED: [(&str, &str); 12] = [
    ("coinflip-recursive.yaml", "Succeeded"),
    ("custom-metrics.yaml", "Succeeded"),
    ("resubmit.yaml", "Succeeded"),
    ("retry-backoff.yaml", "Succeeded"),
    ("retry-conditional.yaml", "Failed"),
    ("retry-container-to-completion.yaml", "Succeeded"),
    ("retry-container.yaml", "Succeeded"),
    ("retry-on-error.yaml", "Succeeded"),
    ("retry-script.yaml", "Succeeded"),
    ("retry-with-steps.yaml", "Succeeded"),
    ("template-defaults.yaml", "Succeeded"),
    ("workflow-template/retry-with-steps.yaml", "Succeeded"),
];
/// Examples that need the internet, and get what [`super::corpus`] puts in its place.
const REACHED: [&str; 4] =
    ["arguments-artifacts.yaml", "exit-handler-slack.yaml", "input-artifact-http.yaml", "sidecar.yaml"];
/// Examples that act on objects of a cluster which an account of ours may touch; see [`super::given`].
const ACT: [&str; 2] = ["k8s-set-owner-reference.yaml", "resource-delete-with-flags.yaml"];
/// Why further examples are not compared.
const APART: [(&str, &str); 16] = [
    ("daemoned-stateful-set-with-service.yaml", "it needs a cluster with names for its services"),
    ("forever.yaml", "it takes 17 minutes"),
    ("k8s-orchestration.yaml", "it needs kubectl in an image"),
    ("k8s-owner-reference.yaml", OBJECTS),
    ("k8s-patch-json-pod.yaml", OWN_POD),
    ("k8s-patch-json-workflow.yaml", OBJECTS),
    ("k8s-patch-merge-pod.yaml", OWN_POD),
    ("k8s-patch-pod.yaml", OWN_POD),
    ("k8s-wait-wf.yaml", OBJECTS),
    ("pod-spec-from-previous-step.yaml", "it needs a node with 10 GiB for one pod"),
    ("resource-flags.yaml", "it needs OpenShift"),
    ("variables-showcase.yaml", "its daemon is nc with options that only Alpine's takes"),
    ("work-avoidance.yaml", "it stores at an address of its own"),
    ("workflow-event-binding/event-consumer-workflowtemplate.yaml", "it needs the event that it is bound to"),
    ("workflow-of-workflows.yaml", OBJECTS),
    ("k8s-resource-log-selector.yaml", "it needs TFJob"),
];
const OBJECTS: &str = "its workflows are objects of a cluster: tests/e2e/objects.rs runs such";
const OWN_POD: &str = "it patches its own pod, and a resource template has none here";

fn words<'v>(entry: &'v Value, name: &str) -> impl Iterator<Item = &'v str> {
    entry[name].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// How an example is to end, or why it is not compared.
pub(super) fn expected(entry: &Value) -> Result<&'static str, String> {
    let file = entry["file"].as_str().unwrap_or_default();
    if !["W", "T", "CT", "C"].contains(&entry["kind"].as_str().unwrap_or_default()) {
        return Err("no workflow by itself".into());
    }
    if words(entry, "features").any(|feature| REFUSED.contains(&feature)) {
        return Ok("Succeeded");
    }
    if let Some((_, why)) = APART.iter().find(|(apart, _)| *apart == file) {
        return Err((*why).into());
    }
    let phase = phase(file, entry["expected"].as_str().unwrap_or_default());
    if phase == Ok(REJECTED) {
        return phase;
    }
    let here = |need: &str| match need {
        "I" => REACHED.contains(&file),
        "R" => ACT.contains(&file),
        need => NEEDS.contains(&need),
    };
    if let Some(need) = words(entry, "needs").find(|need| !here(need)) {
        return Err(of_need(need));
    }
    let images = machine::images();
    if let Some(image) =
        words(entry, "images").find(|image| !IMAGES.contains(image) && !images.contains(image))
    {
        return Err(format!("no stand-in for the image of {}", of_image(image)));
    }
    if words(entry, "features").any(|feature| feature == "ttl") {
        return Err("it takes itself away before anybody can look".into());
    }
    phase
}

/// The phase that the list says, where it says one.
fn phase(file: &str, said: &str) -> Result<&'static str, String> {
    if let Some((_, phase)) = LOADED.iter().find(|(loaded, _)| *loaded == file) {
        return Ok(phase);
    }
    if ["random", "p=", "p 0"].iter().any(|mark| said.contains(mark)) {
        return Err("it ends by chance".into());
    }
    if REACHED.contains(&file) {
        return Ok("Succeeded");
    }
    if said.contains(" if ") {
        return Err(format!("the list says: {said}"));
    }
    match said.split([' ', ':', ';']).next() {
        Some("object" | "suspends" | "Succeeded") => Ok("Succeeded"),
        Some("Failed") => Ok("Failed"),
        Some("rejected") => Ok(REJECTED),
        _ => Err(format!("the list says: {said}")),
    }
}

fn of_image(image: &str) -> &str {
    let known = [("p", "Python"), ("nd", "Node.js"), ("i", "InfluxDB")];
    known.iter().find(|(short, _)| *short == image).map_or(image, |(_, name)| name)
}

fn of_need(need: &str) -> String {
    let what = match need.trim_start_matches("X:") {
        "I" => "the internet",
        "C" => "an account of a cloud",
        "DRA" => "a driver of devices (DRA), without which its pod waits forever",
        "R" => "objects of a cluster",
        "Windows" => "a node of Windows, without which its pod waits forever",
        "privileged" => "a container with power over its host",
        other => other,
    };
    format!("it needs {what}")
}
