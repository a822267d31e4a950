//! The folder of a step on disk.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use tiphys_core::PodKey;
use tiphys_runner::durable::sync_folder;
use tiphys_runner::{Exit, Spec, Started, exit, log, spec, started};

use super::{LaunchError, LogLine, unavailable};
use crate::launcher::log_file;
use crate::scratch::{self, absent};

/// Files that the manifest names by an absolute path stand below this.
const FILES: &str = "files";
/// The working folder.
const WORK: &str = "work";
/// The script of a script template.
const SCRIPT: &str = "script";

/// See `Launcher::path_of`. Nothing of `path` leads outside of the folder.
pub(super) fn path_of(root: &Path, key: &PodKey, path: &str) -> String {
    let own = root.join(&key.0);
    if Path::new(path).starts_with(&own) && !path.contains("..") {
        return path.to_owned();
    }
    let mut place = own.join(FILES);
    for part in Path::new(path).components() {
        if let Component::Normal(name) = part {
            place.push(name);
        }
    }
    place.to_string_lossy().into_owned()
}

/// Keys of all folders whose result was not yet taken note of.
pub(super) fn scan(root: &Path) -> Result<Vec<PodKey>, LaunchError> {
    let listed = || {
        let mut keys = Vec::new();
        for entry in std::fs::read_dir(root)? {
            let entry = entry?;
            if entry.path().join(spec::FILE).exists()
                && let Some(name) = entry.file_name().to_str()
            {
                keys.push(PodKey(name.to_owned()));
            }
        }
        Ok(keys)
    };
    listed().map_err(|error| unavailable(&error))
}

/// A step's folder, there or not.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) root: PathBuf,
    pub(super) key: PodKey,
    pub(super) path: PathBuf,
    /// Where its files are while it is being filled; then it is moved to `path`.
    pub(super) built: PathBuf,
}

/// What a folder tells.
#[derive(Debug)]
pub(super) enum Found {
    /// Nothing was spawned in it.
    Nothing,
    /// Ready, and not yet claimed.
    Ready(Box<Spec>),
    /// Claimed.
    Claimed(Box<Spec>, Started),
    /// Reported.
    Reported(Box<Exit>),
}

/// A part of a log.
pub(super) struct LogPart {
    pub(super) lines: Vec<LogLine>,
    /// Line and byte behind the last one.
    pub(super) cursor: (usize, u64),
}

impl Folder {
    pub(super) fn new(root: &Path, key: &PodKey) -> Result<Self, LaunchError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if key.0.is_empty() || !key.0.bytes().all(plain) {
            return Err(LaunchError::Missing(format!("{:?} is no key of a pod", key.0)));
        }
        let path = root.join(&key.0);
        Ok(Self { root: root.to_owned(), key: key.clone(), built: path.clone(), path })
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The same folder, while it is being filled at another place. What is written in its files names the
    /// places where everything will be.
    pub(super) fn draft(&self, built: PathBuf) -> Self {
        Self { built, ..self.clone() }
    }

    /// Where a file of the folder is now; any other path as it is.
    pub(super) fn now(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.path).map_or_else(|_| path.to_owned(), |part| self.built.join(part))
    }

    pub(super) fn work(&self) -> PathBuf {
        self.file(WORK)
    }

    pub(super) fn script(&self) -> PathBuf {
        self.file(SCRIPT)
    }

    /// Where the step finds the file that its manifest calls `path`.
    pub(super) fn path_of(&self, path: &str) -> PathBuf {
        path_of(&self.root, &self.key, path).into()
    }

    /// Makes the draft, empty.
    pub(super) fn create(&self) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(&self.built)
    }

    /// Moves the draft to its place, unless somebody else's is there: what is there was whole when it came.
    pub(super) fn publish(&self) -> io::Result<()> {
        match std::fs::rename(&self.built, &self.path) {
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
                self.discard()
            }
            other => other,
        }?;
        // The file's own name goes to disk with the file on the file systems in use; that of the folder does not.
        sync_folder(&self.root)
    }

    /// Takes away a folder in which nothing was ever spawned: the remains of a removal, or of an earlier version.
    pub(super) fn clear(&self, aside: PathBuf) -> io::Result<()> {
        absent(std::fs::rename(&self.path, &aside))?;
        let moved = Self { path: aside, ..self.clone() };
        match moved.look() {
            Ok(Found::Nothing) => moved.remove(),
            // Another process has put a whole one there in between.
            _ => std::fs::rename(&moved.path, &self.path),
        }
    }

    /// Removes the draft.
    pub(super) fn discard(&self) -> io::Result<()> {
        scratch::remove(&self.built)
    }

    /// Whether a runner ever had it; so also when it was tidied since.
    pub(super) fn was_started(&self) -> bool {
        self.file(started::FILE).exists() || self.file(exit::FILE).exists()
    }

    pub(super) fn look(&self) -> io::Result<Found> {
        let spec = match Spec::read(&self.path) {
            Ok(spec) => Box::new(spec),
            Err(error) => {
                return match Exit::read(&self.path) {
                    Ok(exit) => Ok(Found::Reported(Box::new(exit))),
                    // Missing or cut short: its writer was killed before it spawned anything.
                    Err(_) if !self.was_started() => Ok(Found::Nothing),
                    Err(_) => Err(error),
                };
            }
        };
        // In this order: a runner claims first and reports last.
        match (Exit::read(&self.path), Started::read(&self.path)?) {
            (Ok(exit), _) => Ok(Found::Reported(Box::new(exit))),
            (Err(_), Some(started)) => Ok(Found::Claimed(spec, started)),
            (Err(_), None) => Ok(Found::Ready(spec)),
        }
    }

    /// Lines from line `from`; reading begins at a place known from before.
    pub(super) fn log(&self, known: (usize, u64), from: usize, max: usize) -> Result<LogPart, LaunchError> {
        let read = log_file::read(&self.file(log::FILE), known, from, max);
        let (lines, cursor) = read.map_err(|error| unavailable(&error))?;
        Ok(LogPart { lines, cursor })
    }

    /// Removes what is of no use any more; the log and the report stay, and that it was started.
    pub(super) fn tidy(&self) -> io::Result<()> {
        for name in [FILES, WORK, spec::ARTIFACTS] {
            absent(std::fs::remove_dir_all(self.file(name)))?;
        }
        for name in [SCRIPT, spec::STOP, spec::FILE] {
            absent(std::fs::remove_file(self.file(name)))?;
        }
        Ok(())
    }

    /// Removes everything.
    pub(super) fn remove(&self) -> io::Result<()> {
        scratch::remove(&self.path)
    }
}
