//! Argo's own examples, where they lie beside the checkout: each that uses only what is run reaches the end
//! that upstream expects.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Simulator, catalog, failed, good};
use serde_json::Value;
use tiphys_core::Timestamp;
use tiphys_core::workflow::Verb;
use tiphys_executor::launcher::{Archive, PodResult, PodSpec, StoredArtifact};
use tiphys_executor::node::Phase;
use tiphys_manifest::Kind;
use tiphys_manifest::load::{LoadOptions, load};

/// What the examples take for granted: an artifact repository that one names, and the executor's own folder for all others.
const REPOSITORIES: &str = "
apiVersion: v1
kind: ConfigMap
metadata:
  name: artifact-repositories
  namespace: default
  annotations: {workflows.argoproj.io/default-artifact-repository: own}
data:
  own: 'local: {}'
  my-key: 's3: {endpoint: minio:9000, bucket: my-bucket, insecure: true, accessKeySecret: {name: k, key: a}, secretKeySecret: {name: k, key: s}}'
";

/// Files that end otherwise here, and why.
const EXCEPTIONS: &[(&str, &str)] =
    &[("work-avoidance.yaml", "it fails only where its marker is missing; here its text alone is looked at")];

fn corpus() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    beside.join("argo-workflows").is_dir().then_some(beside)
}

/// What the images of the examples do, as far as it shows in their text.
fn act(pod: &PodSpec, now: Timestamp) -> PodResult {
    let text = format!("{} {}", pod.container, pod.script.clone().unwrap_or_default());
    let mut result = good(now);
    let code = [
        ("exit 1", 1),
        ("exit 2", 2),
        ("random.choice([1, 2])", 1),
        ("intentional failure", 1),
        ("\"false\"", 1),
    ];
    // What looks for a mount finds it.
    let fails = !text.contains("/proc/mounts");
    if let Some((_, code)) = code.iter().find(|(mark, _)| fails && text.contains(mark)) {
        result = failed(now, *code);
    }
    if pod.capture_result {
        result.result = Some(printed(&text));
    }
    for parameter in &pod.output_parameters {
        let value = parameter.default.clone().unwrap_or_else(|| "1".into());
        result.parameters.insert(parameter.name.clone(), value);
    }
    for output in pod.resource.iter().flat_map(|resource| &resource.outputs) {
        result.parameters.insert(output.name.clone(), "1".into());
    }
    for artifact in &pod.output_artifacts {
        result.artifacts.push(StoredArtifact {
            name: artifact.name.clone(),
            key: artifact.key.clone(),
            archive: Archive::Tar,
            size: 1,
            sha256: String::new(),
        });
    }
    result
}

/// As long as its text says that it sleeps, else a second.
fn takes(pod: &PodSpec) -> Duration {
    let text = pod.container.to_string().replace(['"', ','], " ");
    let slept = text.split("sleep ").nth(1).and_then(|rest| rest.split_whitespace().next());
    slept.and_then(as_sleep_reads).unwrap_or(Duration::from_secs(1))
}

/// A number and perhaps one unit, days among them, as the program `sleep` takes it.
fn as_sleep_reads(text: &str) -> Option<Duration> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit.trim_end_matches(';') {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    Some(Duration::from_secs(number.parse::<u64>().ok()? * seconds))
}

fn printed(text: &str) -> String {
    // `print(N + 1)`
    let sum = text.split("print(").nth(1).and_then(|rest| rest.split(" + 1)").next());
    if let Some(number) = sum.and_then(|number| number.parse::<i64>().ok()) {
        return (number + 1).to_string();
    }
    let rules = [
        ("\"evenness\"", r#"{"num": 1, "evenness": "odd"}"#),
        ("\"heads\"", "heads"),
        ("random.randint", "1"),
        ("json.dump", "[1, 2, 3]"),
        ("[{", "[1]"),
    ];
    let rule = rules.iter().find(|(mark, _)| text.contains(mark));
    rule.map_or("1", |(_, printed)| printed).to_owned()
}

#[test]
fn examples_end_as_upstream_expects() {
    let Some(corpus) = corpus() else {
        eprintln!("SKIPPED: no corpus beside the checkout");
        return;
    };
    let expected = fs::read_to_string(corpus.join("argo-workflows.expected.json")).unwrap();
    let expected: Vec<Value> = serde_json::from_str(&expected).unwrap();
    let folder = corpus.join("argo-workflows");
    let mut texts = Vec::new();
    for entry in &expected {
        let text = fs::read_to_string(folder.join(entry["file"].as_str().unwrap())).unwrap();
        texts.push(text);
    }
    let all: Vec<&str> = texts.iter().map(String::as_str).chain([REPOSITORIES]).collect();
    let catalog = catalog(&all);
    let (mut reached, mut unsupported, mut wrong) = (0, BTreeMap::new(), Vec::new());
    for (entry, text) in expected.iter().zip(&texts) {
        let file = entry["file"].as_str().unwrap();
        let wanted = entry["expected"].as_str().unwrap();
        let wanted = match wanted.split_whitespace().next() {
            Some("Succeeded") if !wanted.contains("random") => Phase::Succeeded,
            Some("Failed") if !wanted.contains("random") && !wanted.contains("without") => Phase::Failed,
            _ => continue,
        };
        let loaded = load(file, text, &LoadOptions::default());
        for object in loaded.objects.iter().filter(|object| object.kind == Kind::Workflow) {
            let mut simulator = Simulator::new(&object.document, catalog.clone(), act);
            simulator.takes = takes;
            simulator.run();
            for _ in 0..3 {
                simulator.command(Verb::Resume { node_field_selector: String::new() });
                simulator.run();
            }
            let code = simulator.state.nodes.values().find(|n| n.message.contains("TIP-EXE-100"));
            let whole = simulator.state.message.contains("TIP-EXE-100");
            let got = simulator.phase();
            let excepted = EXCEPTIONS.iter().any(|(name, _)| *name == file);
            if got == Some(wanted) {
                reached += 1;
                assert!(!excepted, "{file} ends as expected now; delete its exception");
            } else if code.is_some() || whole {
                let why = code.map_or(simulator.state.message.clone(), |n| n.message.clone());
                unsupported.insert(file.to_owned(), why);
            } else if !excepted {
                let why: Vec<String> = (simulator.state.nodes.values())
                    .filter(|node| !node.message.is_empty() && !node.message.starts_with("child"))
                    .map(|node| format!("{}: {}", node.display_name, node.message))
                    .take(4)
                    .collect();
                wrong.push(format!("{file}: {got:?} {} {why:#?}", simulator.state.message));
            }
        }
    }
    println!("{reached} examples end as expected; {} use what is not run yet", unsupported.len());
    for (file, why) in &unsupported {
        println!("  {file}: {why}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(reached >= 125, "{reached}");
}
