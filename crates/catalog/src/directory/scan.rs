//! The files of a directory, and what each gave when it was last good.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tiphys_core::id::digest;
use tiphys_manifest::{Diagnostic, LoadOptions, Object, codes, load};

/// Deeper folders are not looked into.
const MAX_DEPTH: usize = 16;
/// More files are not read.
const MAX_FILES: usize = 10_000;
/// Larger files are not read; a manifest may have half as much.
const MAX_BYTES: u64 = 2 * load::MAX_TEXT as u64;

/// What is known of a directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    root: PathBuf,
    namespace: String,
    files: BTreeMap<PathBuf, File>,
}

#[derive(Debug, Default)]
struct File {
    digest: String,
    /// Of the last version without errors; of a file that never had one, what was good in it.
    objects: Vec<Arc<Object>>,
    /// Of the newest version.
    diagnostics: Vec<Diagnostic>,
    /// Its objects are those of an earlier look: it was empty at this one.
    emptied: bool,
}

impl Scan {
    pub(super) fn new(root: PathBuf, namespace: &str) -> Self {
        Self { root, namespace: namespace.to_owned(), files: BTreeMap::new() }
    }

    /// Reads the files that changed.
    pub(super) fn look(&mut self) -> io::Result<()> {
        let mut found = Vec::new();
        collect(&self.root, 0, &mut found)?;
        self.files.retain(|path, _| found.contains(path));
        for path in found {
            let mut file = self.files.remove(&path).unwrap_or_default();
            file.read(&path, &self.namespace);
            self.files.insert(path, file);
        }
        Ok(())
    }

    /// All objects and findings, in order of the files' names.
    pub(super) fn result(&self) -> (Vec<Arc<Object>>, Vec<Diagnostic>) {
        let files = self.files.values();
        let objects = files.clone().flat_map(|file| file.objects.iter().cloned());
        let diagnostics = files.flat_map(|file| file.diagnostics.iter().cloned());
        (objects.collect(), diagnostics.collect())
    }

    /// Whether a file is empty that was not; it may be in the middle of a save.
    pub(super) fn unsettled(&self) -> bool {
        self.files.values().any(|file| file.emptied)
    }
}

impl File {
    fn read(&mut self, path: &Path, namespace: &str) {
        let name = path.display().to_string();
        let text = match read_text(path) {
            Ok(text) => text,
            Err(reason) => {
                self.digest.clear();
                let help = if self.objects.is_empty() {
                    "nothing of it is used"
                } else {
                    "what it said before stays in force"
                };
                self.diagnostics = vec![codes::UNREADABLE.finding(&name, reason, help.into())];
                return;
            }
        };
        if text.trim().is_empty() && !self.objects.is_empty() && !self.emptied {
            self.emptied = true;
            self.digest.clear();
            return;
        }
        self.emptied = false;
        let digest = digest(&[&text], 16);
        if digest == self.digest {
            return;
        }
        self.digest = digest;
        // Other tools' YAML may lie beside: it is not ours to judge.
        if !text.contains("apiVersion") {
            (self.objects, self.diagnostics) = (Vec::new(), Vec::new());
            return;
        }
        let loaded = load::load(&name, &text, &LoadOptions::new(namespace));
        let bad = loaded.has_errors();
        self.diagnostics = loaded
            .diagnostics
            .into_iter()
            .filter(|finding| finding.code != codes::NOT_AN_OBJECT.id)
            .collect();
        // A bad save takes nothing out of force: neither what became bad nor what stands beside it.
        if bad && !self.objects.is_empty() {
            self.diagnostics.push(codes::KEPT.finding(
                &name,
                "the file has errors, so what it said before stays in force".into(),
                "mend the errors above".into(),
            ));
            return;
        }
        self.objects = loaded.objects.into_iter().map(Arc::new).collect();
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    if size.len() > MAX_BYTES {
        return Err(format!("the file has {} bytes; it is not read", size.len()));
    }
    let bytes = std::fs::read(path).map_err(|error| format!("the file cannot be read: {error}"))?;
    String::from_utf8(bytes).map_err(|_| "the file is not UTF-8 text".into())
}

/// Manifests below a folder, sorted. Links to files are followed, links to folders are not: they may lead in a
/// circle. Names that begin with a dot are skipped.
fn collect(dir: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries: Vec<_> = std::fs::read_dir(dir)?.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') || found.len() >= MAX_FILES {
            continue;
        }
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && depth < MAX_DEPTH {
            // A folder that vanishes meanwhile is no failure; the root is.
            let _ = collect(&path, depth + 1, found);
        } else if is_manifest(&path) && path.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
}
