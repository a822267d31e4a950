//! The dependency table. An edge that is not in it fails; so does one that is in it and no longer exists.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Crate by crate, the crates of ours that it may use.
const TABLE: [(&str, &[&str]); 15] = [
    ("core", &[]),
    ("manifest", &["core"]),
    ("lang", &[]),
    ("kit", &["core"]),
    ("bus", &["core"]),
    ("proto", &[]),
    ("catalog", &["core", "manifest", "lang", "bus", "kit"]),
    ("eventsource", &["core", "manifest", "lang", "kit", "catalog", "bus", "proto"]),
    ("sensor", &["core", "manifest", "lang", "kit", "catalog", "bus"]),
    ("trigger", &["core", "manifest", "lang", "kit", "catalog", "bus", "proto"]),
    ("runner", &[]),
    ("payload", &[]),
    ("executor", &["core", "manifest", "lang", "kit", "catalog", "bus", "runner"]),
    ("server", &["core", "manifest", "kit", "catalog", "bus", "sensor", "trigger", "executor"]),
    (
        "tiphys",
        &[
            "core",
            "manifest",
            "lang",
            "kit",
            "catalog",
            "bus",
            "eventsource",
            "sensor",
            "trigger",
            "executor",
            "runner",
            "payload",
            "server",
        ],
    ),
];

/// Crates that stay free of I/O: none of these may be reached by normal dependencies.
const PURE: [&str; 3] = ["core", "manifest", "lang"];
const NEVER_IN_PURE: [&str; 4] = ["tokio", "reqwest", "axum", "kube"];

/// What is built here: crates of other systems were never fetched.
fn host() -> String {
    let output = Command::new("rustc").arg("-vV").output().expect("rustc runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

fn metadata() -> serde_json::Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host()])
        .current_dir(crate::root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn ours(name: &str) -> Option<&str> {
    if name == "tiphys" { Some(name) } else { name.strip_prefix("tiphys-") }
}

/// Normal and build dependencies, by package name.
fn edges(metadata: &serde_json::Value) -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata["packages"].as_array().expect("packages");
    packages
        .iter()
        .map(|package| {
            let name = package["name"].as_str().unwrap().to_owned();
            let needs = package["dependencies"].as_array().unwrap().iter();
            let needs = needs.filter(|d| d["kind"] != "dev").map(|d| d["name"].as_str().unwrap().to_owned());
            (name, needs.collect())
        })
        .collect()
}

#[test]
fn arrows_point_down() {
    let edges = edges(&metadata());
    for (name, may) in TABLE {
        let package = if name == "tiphys" { name.to_owned() } else { format!("tiphys-{name}") };
        let have: BTreeSet<&str> = edges
            .get(&package)
            .unwrap_or_else(|| panic!("{package} exists"))
            .iter()
            .filter_map(|n| ours(n))
            .collect();
        let may: BTreeSet<&str> = may.iter().copied().collect();
        assert_eq!(have, may, "{package}: what it uses (left) against the table (right)");
    }
    let rooms = ["eventsource", "sensor", "trigger", "executor"];
    for (name, may) in TABLE.iter().filter(|(name, _)| rooms.contains(name)) {
        assert!(!may.iter().any(|other| rooms.contains(other)), "{name} sees another room");
    }
}

#[test]
fn the_deciders_world_is_pure() {
    let metadata = metadata();
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a resolved graph");
    let name_of = |id: &str| {
        metadata["packages"].as_array().unwrap().iter().find(|p| p["id"] == id).unwrap()["name"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    for pure in PURE {
        let start = nodes.iter().find(|n| name_of(n["id"].as_str().unwrap()) == format!("tiphys-{pure}"));
        let mut todo = vec![start.expect("the crate exists")["id"].as_str().unwrap()];
        let mut seen = BTreeSet::new();
        while let Some(id) = todo.pop() {
            if !seen.insert(id) {
                continue;
            }
            let node = nodes.iter().find(|n| n["id"] == id).unwrap();
            for dependency in node["deps"].as_array().unwrap() {
                let normal = dependency["dep_kinds"].as_array().unwrap().iter().any(|k| k["kind"].is_null());
                if normal {
                    todo.push(dependency["pkg"].as_str().unwrap());
                }
            }
        }
        for id in seen {
            let name = name_of(id);
            assert!(!NEVER_IN_PURE.contains(&name.as_str()), "{pure} reaches {name}");
        }
    }
}
