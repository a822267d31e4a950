//! Each option of a pod that is read from a manifest has its line on the pages of the launchers, and its proof.

use std::collections::BTreeSet;

use serde::Serialize;
use tiphys_manifest::workflow::{Script, Template, WorkflowSpec};

use crate::places::{CONTAINER, PLACES};

const PAGES: [(&str, &str); 3] = [
    ("docker.md", include_str!("../../../../docs/launchers/docker.md")),
    ("kubernetes.md", include_str!("../../../../docs/launchers/kubernetes.md")),
    ("process.md", include_str!("../../../../docs/launchers/process.md")),
];

/// What concerns no pod, or is the step itself.
const APART: [&str; 40] = [
    "annotations",
    "args",
    "arguments",
    "artifactGC",
    "artifactRepositoryRef",
    "archiveLocation",
    "command",
    "container",
    "containerSet",
    "dag",
    "data",
    "entrypoint",
    "failFast",
    "hooks",
    "http",
    "image",
    "inputs",
    "memoize",
    "metrics",
    "name",
    "onExit",
    "outputs",
    "parallelism",
    "pendingTimeout",
    "plugin",
    "plugins",
    "resource",
    "script",
    "shutdown",
    "source",
    "steps",
    "suspend",
    "synchronization",
    "templateDefaults",
    "templates",
    "timeout",
    "workflowMetadata",
    "workflowTemplateRef",
    // The manifest's own words for a launcher of ours.
    "archiveLogs",
    "executor",
];

/// Options that are no member of a pod, and where it is shown what becomes of them.
const ELSEWHERE: [(&str, &str); 10] = [
    ("activeDeadlineSeconds", "kubernetes/written.rs"),
    ("daemon", "kubernetes/option.rs"),
    ("podDisruptionBudget", "kubernetes/option.rs"),
    ("podGC", "pods/collect.rs"),
    ("podSpecPatch", "kubernetes/written.rs"),
    ("restartPolicy", "pods/template.yaml"),
    ("retryStrategy", "pods/written.rs"),
    ("ttlStrategy", "service.rs"),
    ("volumeClaimGC", "service/ended.rs"),
    ("volumeClaimTemplates", "pods.rs"),
];

fn members<T: Serialize + Default>() -> BTreeSet<String> {
    let whole = serde_json::to_value(T::default()).unwrap();
    whole.as_object().unwrap().keys().cloned().collect()
}

/// All that a manifest may say of a pod, from the types that it is read into.
fn options() -> BTreeSet<String> {
    let all = [members::<WorkflowSpec>(), members::<Template>(), members::<Script>()];
    all.into_iter().flatten().filter(|name| !APART.contains(&name.as_str())).collect()
}

/// The table of a page that tells of options.
fn table(page: &str) -> &str {
    let table = page.split("## What becomes of each").nth(1).unwrap();
    table.split("\n## ").next().unwrap()
}

#[test]
fn lint_tells_of_what_the_page_of_processes_says_has_no_effect() {
    let rows = table(PAGES[2].1).lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let without = rows.filter(|(_, fate)| fate.starts_with("no effect"));
    let told: BTreeSet<&str> = without.flat_map(|(names, _)| names.split('`').skip(1).step_by(2)).collect();
    let known: BTreeSet<&str> = tiphys_manifest::lint::process::WITHOUT_EFFECT.into_iter().collect();
    assert_eq!(told, known);
}

#[test]
fn each_option_has_its_line_on_the_page_of_each_launcher() {
    let mut missing = Vec::new();
    for (page, text) in PAGES {
        let table = table(text);
        // A name stands alone between its marks, or before a value or one of its own members.
        let told = |name: &str| ["`", ":", "."].iter().any(|end| table.contains(&format!("`{name}{end}")));
        let options = options();
        missing.extend(options.iter().filter(|name| !told(name)).map(|name| format!("{page}: {name}")));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn each_option_has_its_proof() {
    let known = PLACES.iter().map(|(name, _)| *name).chain(CONTAINER.iter().copied());
    let known: BTreeSet<&str> = known.chain(ELSEWHERE.iter().map(|(name, _)| *name)).collect();
    let options = options();
    let options: BTreeSet<&str> = options.iter().map(String::as_str).collect();
    assert_eq!(known, options);
    for (name, file) in ELSEWHERE {
        let place = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/");
        let text = std::fs::read_to_string(format!("{place}{file}")).unwrap();
        assert!(text.to_lowercase().contains(&name.to_lowercase()), "{name} is not in {file}");
    }
}
