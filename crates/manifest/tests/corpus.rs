//! Every file of Argo's own examples loads, where they are at hand.

use std::path::{Path, PathBuf};

use tiphys_manifest::{LoadOptions, diagnostic, load};

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

#[test]
fn every_file_loads() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus");
    let mut found = Vec::new();
    files(&corpus, &mut found);
    if found.is_empty() {
        println!("SKIPPED: no corpus at {}", corpus.display());
        return;
    }
    let mut bad = Vec::new();
    for path in &found {
        let text = std::fs::read_to_string(path).expect("a readable file");
        let name = path
            .strip_prefix(&corpus)
            .unwrap_or(path)
            .display()
            .to_string();
        let loaded = load(&name, &text, &LoadOptions::default());
        for finding in loaded
            .diagnostics
            .iter()
            .filter(|finding| finding.code != "TIP-MAN-005")
        {
            println!("{}", diagnostic::short(finding));
        }
        if loaded.has_errors() {
            bad.push(name);
        }
    }
    assert!(found.len() >= 350, "{} files", found.len());
    assert_eq!(bad, Vec::<String>::new());
}
