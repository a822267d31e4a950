//! Every file of Argo's own examples loads, where they are at hand, and every example in our documents.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tiphys_manifest::{LoadOptions, Object, diagnostic, lint, load};

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return;
    };
    let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            found.push(path);
        }
    }
}

fn text_of(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of what is wrong with each file, and all objects.
fn read(root: &Path, found: &[PathBuf]) -> (Vec<String>, Vec<Arc<Object>>) {
    let (mut bad, mut objects) = (Vec::new(), Vec::new());
    for path in found {
        let text = text_of(path);
        let name = path.strip_prefix(root).unwrap_or(path).display().to_string();
        let loaded = load(&name, &text, &LoadOptions::default());
        let errors = loaded.diagnostics.iter().filter(|finding| finding.is_error());
        bad.extend(errors.map(diagnostic::short));
        objects.extend(loaded.objects.into_iter().map(Arc::new));
    }
    (bad, objects)
}

#[test]
fn every_file_of_argo_loads() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let mut found = Vec::new();
    files(&corpus, &mut found);
    if found.is_empty() {
        println!("SKIPPED: Argo's examples are not at hand (looked for {})", corpus.display());
        return;
    }
    let (bad, objects) = read(&corpus, &found);
    assert_eq!(bad, Vec::<String>::new());
    assert!(found.len() >= 350 && objects.len() >= 340, "{} objects", objects.len());
    let findings = lint::check(&objects);
    for finding in &findings {
        println!("{}", diagnostic::short(finding));
    }
    let wrong = findings.iter().filter(|finding| finding.is_error());
    let wrong: Vec<String> = wrong.map(diagnostic::short).collect();
    assert_eq!(wrong, Vec::<String>::new());
}

/// What tripped readers before, in our own words; each file is right, and nothing is to be said of it.
#[test]
fn tricky_files_load_without_a_word() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut found = Vec::new();
    files(&data, &mut found);
    assert!(found.len() >= 3, "{} files", found.len());
    for path in &found {
        let text = text_of(path);
        let loaded = load(&path.display().to_string(), &text, &LoadOptions::default());
        let said: Vec<String> = loaded.diagnostics.iter().map(diagnostic::short).collect();
        assert_eq!(said, Vec::<String>::new());
        assert!(!loaded.objects.is_empty());
    }
}

/// The examples in a document: what stands between fences that say `yaml`.
fn examples(text: &str) -> impl Iterator<Item = &str> {
    text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next())
}

/// A whole object of an example: what is a part of one gets the rest.
fn whole(example: &str) -> String {
    let within = |above: &str, by: usize| {
        let lines = example.lines().map(|line| format!("\n{}{line}", " ".repeat(by)));
        format!("apiVersion: argoproj.io/v1alpha1\n{above}{}\n", lines.collect::<String>())
    };
    let sensor = "kind: Sensor\nmetadata: {name: s}\nspec:\n  dependencies:\n    - {name: dep, eventSourceName: a, eventName: b}\n    - {name: alert, eventSourceName: a, eventName: c}";
    match example.split(':').next().unwrap_or_default() {
        "apiVersion" => example.to_owned(),
        "auth" => {
            within("kind: EventSource\nmetadata: {name: e}\nspec:\n  webhook:\n    x:\n      endpoint: /x", 6)
        }
        "triggers" => within(sensor, 2),
        _ => within(&format!("{sensor}\n  triggers:\n    - template:\n        name: t"), 8),
    }
}

/// Whoever copies an example out of a document finds that it is right.
#[test]
fn the_examples_in_our_documents_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (folder, at_least) in [("docs/sources", 7), ("docs/triggers", 8)] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap();
        let seen: usize = entries.map(|entry| valid_examples(&entry.unwrap().path())).sum();
        assert!(seen >= at_least, "{seen} examples in {folder}");
    }
    assert_eq!(valid_examples(&root.join("docs/artifacts.md")), 2);
}

/// Looks at each example of a page, and counts them.
fn valid_examples(path: &Path) -> usize {
    let text = text_of(path);
    // That page shows the settings of Falcosidekick too, beside objects.
    let foreign = |example: &&str| path.ends_with("falcosidekick.md") && !example.starts_with("apiVersion");
    let mut seen = 0;
    for example in examples(&text).filter(|example| !foreign(example)) {
        let loaded = load(&path.display().to_string(), &whole(example), &LoadOptions::default());
        let mut findings = loaded.diagnostics;
        let objects: Vec<_> = loaded.objects.into_iter().map(Arc::new).collect();
        assert!(!objects.is_empty(), "{}: {example}", path.display());
        findings.extend(lint::check(&objects));
        // What stands in other files is not here, and some senders have no key to show.
        findings.retain(|finding| {
            !["TIP-MAN-020", "TIP-MAN-025", "TIP-MAN-029"].contains(&finding.code.as_str())
        });
        let said: Vec<String> = findings.iter().map(diagnostic::short).collect();
        assert_eq!(said, Vec::<String>::new(), "{example}");
        seen += 1;
    }
    seen
}
