//! Logs of steps that their launchers have no more, or never had on this machine: as they were kept in the store that all
//! executors share, and as artifact `main-logs`.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use tiphys_core::{PodKey, Timestamp};

use crate::artifact::kept;
use crate::journal::State;
use crate::launcher::log_file::{self, Copied, Copies};
use crate::launcher::{ArtifactSource, ArtifactStore, LaunchError, LogLine};
use crate::node::Node;
use crate::scratch::Scratch;

/// The artifact that `archiveLogs` makes.
const ARTIFACT: &str = "main-logs";

/// Where the log of a step may be besides at its launcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepLog {
    /// Its attempt.
    pub key: PodKey,
    /// Its key in the store that all executors share, with times and both streams.
    pub kept: Option<String>,
    /// The key of artifact `main-logs`: the text alone.
    pub archived: Option<String>,
    /// When the step ended: the time of all lines of `archived`.
    pub finished: Option<Timestamp>,
}

impl StepLog {
    /// That of a node. `None`: it has no pod.
    #[must_use]
    pub fn of(state: &State, node: &Node) -> Option<Self> {
        let key = node.pod.clone()?;
        let kept = kept::of_pod(state, &key).and_then(|folder| kept::within(&folder, kept::LOG));
        let archived = node.outputs.artifact(ARTIFACT).and_then(|artifact| match &artifact.source {
            Some(ArtifactSource::Stored { key, .. }) => Some(key.clone()),
            _ => None,
        });
        Some(Self { key, kept, archived, finished: node.finished })
    }
}

/// Reads them.
pub struct KeptLogs {
    store: Arc<dyn ArtifactStore>,
    scratch: Scratch,
    copies: Copies,
}

impl KeptLogs {
    /// Reads from a store; copies are in `folder` for a while.
    ///
    /// # Errors
    /// When the folder cannot be made or tidied.
    pub fn open(store: Arc<dyn ArtifactStore>, folder: PathBuf) -> io::Result<Self> {
        Ok(Self { store, scratch: Scratch::open(folder)?, copies: Copies::default() })
    }

    /// Lines from line `from` (0 = first), at most `max`. `None`: the store has no log of the step.
    ///
    /// # Errors
    /// When the store cannot be used, or does not answer.
    pub async fn lines(
        &self,
        log: &StepLog,
        from: usize,
        max: usize,
    ) -> Result<Option<Vec<LogLine>>, LaunchError> {
        let Some(time) = log.finished else { return Ok(None) };
        let mut trouble = None;
        for (place, is_plain) in [(&log.kept, false), (&log.archived, true)] {
            let Some(place) = place else { continue };
            match self.copies.get(place, &self.scratch, |to| self.store.fetch(place, to)).await {
                Ok(Some(copy)) => {
                    let read = move || read(&copy, is_plain.then_some(time), from, max);
                    let read = tokio::task::spawn_blocking(read).await.map_err(io::Error::other).flatten();
                    let told = |error| LaunchError::Unavailable(format!("a log cannot be read: {error}"));
                    return read.map(Some).map_err(told);
                }
                Ok(None) => {}
                Err(error) => trouble = Some(error),
            }
        }
        trouble.map_or(Ok(None), Err)
    }
}

/// Reads on where reading stopped, if that was not behind `from`.
fn read(copy: &Copied, plain: Option<Timestamp>, from: usize, max: usize) -> io::Result<Vec<LogLine>> {
    let mut cursor = copy.cursor.lock().unwrap_or_else(PoisonError::into_inner);
    let known = if cursor.0 <= from { *cursor } else { (0, 0) };
    let (lines, read) = match plain {
        None => log_file::read(&copy.file, known, from, max)?,
        Some(time) => log_file::read_as(&copy.file, known, from, max, |line| {
            let text = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            Some(LogLine { time, stream: "stdout".to_owned(), text })
        })?,
    };
    *cursor = read;
    Ok(lines)
}
