//! The same workflow ends the same way everywhere: as processes, in containers, in pods. Each file of `conformance/` says how it
//! is to end, and where it cannot run and why; outputs and exit codes are compared among the launchers.
//!
//! Argo's own examples join where they lie beside the checkout and `TIPHYS_CONFORMANCE` says `corpus`: those whose images can
//! be stood for by a shell and its tools.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};
use tiphys_servers::kubernetes;
use tiphys_tests::{Server, root};

/// What came of a workflow: its phase, and of each pod phase, exit code, result and parameters, by the node's name.
#[derive(Debug, PartialEq)]
struct Outcome {
    phase: String,
    pods: BTreeMap<String, Value>,
    /// It uses what is not run yet, or not there; the message that says so.
    refused: Option<String>,
}

struct Case {
    name: String,
    file: PathBuf,
    expected: String,
    /// Launchers on which it cannot run, and why.
    not_on: BTreeMap<String, String>,
    /// Only its phase is compared.
    phase_only: bool,
}

fn own() -> Vec<Case> {
    let mut cases: Vec<Case> = std::fs::read_dir(root().join("tests/e2e/conformance"))
        .unwrap()
        .map(|entry| {
            let file = entry.unwrap().path();
            let text = std::fs::read_to_string(&file).unwrap();
            let said = |word: &str| text.lines().find_map(|line| line.strip_prefix(word)).map(str::to_owned);
            let not_on = text.lines().filter_map(|line| line.strip_prefix("# not on ")?.split_once(": "));
            Case {
                name: file.file_stem().unwrap().to_string_lossy().into_owned(),
                expected: said("# expected: ").expect("a file says how it ends"),
                not_on: not_on.map(|(place, why)| (place.to_owned(), why.to_owned())).collect(),
                phase_only: said("# phase only: ").is_some(),
                file,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// Argo's examples that a shell and its tools are enough for.
fn corpus() -> Vec<Case> {
    let corpus = root().join("../shared/corpus");
    let wanted = std::env::var("TIPHYS_CONFORMANCE").is_ok_and(|what| what == "corpus");
    let Ok(text) = std::fs::read_to_string(corpus.join("argo-workflows.expected.json")) else {
        return Vec::new();
    };
    if !wanted {
        return Vec::new();
    }
    let all: Vec<Value> = serde_json::from_str(&text).unwrap();
    let plain = |entry: &&Value| {
        let list = |name: &str| entry[name].as_array().cloned().unwrap_or_default();
        entry["kind"] == "W"
            && ["Succeeded", "Failed"].contains(&entry["expected"].as_str().unwrap())
            && list("images").iter().all(|image| ["a", "b"].contains(&image.as_str().unwrap_or_default()))
            && list("needs").is_empty()
            // One that waits for somebody, and one that takes itself away.
            && !list("features").iter().any(|feature| feature == "susp" || feature == "ttl")
    };
    let cases = all.iter().filter(plain).map(|entry| Case {
        name: entry["file"].as_str().unwrap().to_owned(),
        file: corpus.join("argo-workflows").join(entry["file"].as_str().unwrap()),
        expected: entry["expected"].as_str().unwrap().to_owned(),
        not_on: BTreeMap::new(),
        phase_only: true,
    });
    cases.collect()
}

/// Runs all cases on a server, in this namespace.
fn run(place: &str, namespace: &str, server: &Server, cases: &[Case]) -> BTreeMap<String, Outcome> {
    let there = ["--namespace", namespace];
    let mut names = BTreeMap::new();
    for case in cases.iter().filter(|case| !case.not_on.contains_key(place)) {
        let submitted =
            server.cli(&[&there[..], &["-o", "name", "submit", case.file.to_str().unwrap()]].concat());
        let name = String::from_utf8_lossy(&submitted.stdout).trim().to_owned();
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(submitted.status.success() && !name.is_empty(), "{place}: {}: {submitted:?}", case.name);
        names.insert(case.name.clone(), name);
    }
    let looked = names.into_iter().map(|(case, name)| {
        let _ = server.cli(&[&there[..], &["wait", &name, "--timeout", "5m"]].concat());
        let workflow = server.json(&[&there[..], &["get", &name]].concat());
        (case, outcome(&workflow))
    });
    looked.collect()
}

fn outcome(workflow: &Value) -> Outcome {
    let nodes = workflow["status"]["nodes"].as_object().cloned().unwrap_or_default();
    let pods = nodes.values().filter(|node| node["type"] == "Pod").map(|node| {
        let outputs = &node["outputs"];
        let parameters = outputs["parameters"].as_array().cloned().unwrap_or_default();
        let told = json!({"phase": node["phase"], "exitCode": outputs["exitCode"], "result": outputs["result"],
            "parameters": parameters.iter().map(|p| json!([p["name"], p["value"]])).collect::<Vec<_>>()});
        (node["displayName"].as_str().unwrap_or_default().to_owned(), told)
    });
    let messages = nodes.values().filter_map(|node| node["message"].as_str());
    let refused =
        messages.chain(workflow["status"]["message"].as_str()).find(|text| text.contains("TIP-EXE-10"));
    Outcome {
        refused: refused.map(str::to_owned),
        phase: workflow["status"]["phase"].as_str().unwrap_or_default().to_owned(),
        pods: pods.collect(),
    }
}

/// An empty folder of manifests.
fn nothing() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn images() -> [&'static str; 5] {
    ["busybox:1", "busybox:latest", "alpine:latest", "alpine:3.23", "alpine:3.7"]
}

/// Compares a launcher with what is expected and with the processes; tells its score.
fn compare(
    place: &str,
    cases: &[Case],
    found: &BTreeMap<String, Outcome>,
    first: &BTreeMap<String, Outcome>,
) {
    let (mut good, mut wrong, mut refused) = (0, Vec::new(), Vec::new());
    for case in cases {
        let Some(outcome) = found.get(&case.name) else { continue };
        if let Some(why) = outcome.refused.as_ref().filter(|_| case.phase_only) {
            refused.push(format!("{} ({why})", case.name));
            continue;
        }
        let same = case.phase_only || first.get(&case.name).is_none_or(|first| first == outcome);
        if outcome.phase == case.expected && same {
            good += 1;
        } else {
            let first = first.get(&case.name);
            wrong.push(format!(
                "{}: expected {}, {outcome:?}; as processes {first:?}",
                case.name, case.expected
            ));
        }
    }
    let left_out: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{} ({})", case.name, case.not_on.get(place)?)))
        .collect();
    let left_out = [left_out, refused].concat();
    let run = good + wrong.len();
    println!("{place}: {good} of {run} as expected; not applicable: {}", left_out.len());
    left_out.iter().for_each(|case| println!("  {case}"));
    assert!(wrong.is_empty(), "{place}:\n{}", wrong.join("\n"));
}

fn as_processes(cases: &[Case]) -> BTreeMap<String, Outcome> {
    let folder = nothing();
    let server = Server::with(folder.path(), &["--launcher", "process"], &[]);
    run("process", "default", &server, cases)
}

#[test]
fn processes_and_containers_agree() {
    let cases: Vec<Case> = own().into_iter().chain(corpus()).collect();
    let processes = as_processes(&cases);
    compare("process", &cases, &processes, &BTreeMap::new());
    let Some(engine) = tiphys_servers::docker() else { return };
    let [made, others @ ..] = images();
    engine.import_busybox(made);
    for image in others {
        tiphys_servers::docker::run(&mut engine.docker(&["tag", made, image]));
    }
    let folder = nothing();
    let host = engine.host();
    let server = Server::with(folder.path(), &["--launcher", "docker"], &[("DOCKER_HOST", &host)]);
    compare("docker", &cases, &run("docker", "default", &server, &cases), &processes);
}

#[test]
fn processes_and_pods_agree() {
    let Some(cluster) = super::pods::cluster() else { return };
    let cases: Vec<Case> = own().into_iter().chain(corpus()).collect();
    let processes = as_processes(&cases);
    let busybox = tempfile::tempdir().unwrap();
    kubernetes::busybox_folder(busybox.path());
    for image in images() {
        if image != "busybox:1" {
            cluster.import_folder(image, busybox.path(), &json!({"Env": ["PATH=/bin"]}));
        }
    }
    let (namespace, folder) = (cluster.namespace(), nothing());
    let server = super::pods::dev(cluster, &namespace, folder.path(), &[]);
    let found = run("kubernetes", &namespace, &server, &cases);
    compare("kubernetes", &cases, &found, &processes);
}
