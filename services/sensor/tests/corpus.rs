//! Every Sensor of the corpus compiles, but for those that are known to be wrong upstream.
//!
//! The corpus stands beside the repository where it is present, and is not part of it.

use std::path::{Path, PathBuf};

use tiphys_manifest::Kind;
use tiphys_manifest::load::{LoadOptions, load};
use tiphys_sensor::compile;

/// File and what is wrong with it.
const WRONG: [(&str, &str); 1] = [("trigger-openwhisk.yaml", "the trigger does nothing")];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "yaml" || end == "yml") {
            found.push(path);
        }
    }
}

#[test]
fn sensors_of_the_corpus_compile() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/corpus/argo-events");
    let mut all = Vec::new();
    files(&corpus, &mut all);
    if all.is_empty() {
        eprintln!("SKIPPED: there is no corpus at {}", corpus.display());
        return;
    }
    let (mut compiled, mut failed) = (0, Vec::new());
    for file in all {
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let options = LoadOptions { namespace: "ns".into() };
        for object in load(&name, &text, &options).objects {
            if object.kind != Kind::Sensor {
                continue;
            }
            match compile(&object) {
                Ok(_) => compiled += 1,
                Err(found) => failed.push((name.clone(), found[0].message.clone())),
            }
        }
    }
    let known = |(name, message): &(String, String)| {
        WRONG.iter().any(|(file, start)| name == file && message.starts_with(start))
    };
    let unknown: Vec<_> = failed.iter().filter(|one| !known(one)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(compiled > 80, "only {compiled} were found");
}
