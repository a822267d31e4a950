//! Logs on disk, in the form that the runner gives them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tiphys_core::Timestamp;
use tiphys_runner::log;

use super::{Fetched, LaunchError};
use crate::scratch::Scratch;

/// So many copies of kept logs are there at once.
const COPIES: usize = 16;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written.
    pub time: Timestamp,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Without its end.
    pub text: String,
}

/// Lines, and the number of the next one and where in the file it begins.
pub(crate) type Part = (Vec<LogLine>, (usize, u64));

/// Lines from line `from`, at most `max`; reading begins at a line and its place that are known from before. No file is
/// as good as an empty one.
pub(crate) fn read(file: &Path, known: (usize, u64), from: usize, max: usize) -> io::Result<Part> {
    read_as(file, known, from, max, |line| {
        let (time, stream, text) = log::parse(line)?;
        Some(LogLine { time, stream: stream.name().to_owned(), text })
    })
}

/// The same, with lines of another form.
pub(crate) fn read_as(
    file: &Path,
    known: (usize, u64),
    from: usize,
    max: usize,
    parse: impl Fn(&[u8]) -> Option<LogLine>,
) -> io::Result<Part> {
    let (mut line, mut byte) = known;
    let mut lines = Vec::new();
    let mut file = match File::open(file) {
        Ok(file) => BufReader::new(file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((lines, known)),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(byte))?;
    let mut text = Vec::new();
    while lines.len() < max {
        text.clear();
        let count = file.read_until(b'\n', &mut text)?;
        // What has no end yet is still being written.
        let Some(whole) = text.strip_suffix(b"\n") else {
            break;
        };
        if line >= from {
            lines.extend(parse(whole));
        }
        line += 1;
        byte += count as u64;
    }
    Ok((lines, (line, byte)))
}

/// A file of ours, until it is dropped.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) file: PathBuf,
    /// Where reading it stopped: line and byte.
    pub(crate) cursor: Mutex<(usize, u64)>,
}

impl Copied {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file, cursor: Mutex::default() }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Copies of kept logs, each of which is fetched once for many reads.
#[derive(Debug, Default)]
pub(crate) struct Copies(Mutex<VecDeque<(String, Arc<Copied>)>>);

impl Copies {
    /// The copy of a log, fetched unless it is there. `None`: there is no such log.
    pub(crate) async fn get<F>(
        &self,
        key: &str,
        scratch: &Scratch,
        fetch: impl FnOnce(PathBuf) -> F,
    ) -> Result<Option<Arc<Copied>>, LaunchError>
    where
        F: Future<Output = Result<Fetched, LaunchError>>,
    {
        let lock = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = lock().iter().find(|(known, _)| known == key).map(|(_, copy)| copy.clone());
        if known.is_some() {
            return Ok(known);
        }
        let copy = Arc::new(Copied::new(scratch.next()));
        match fetch(copy.file.clone()).await {
            Ok(Fetched::File) => {}
            Ok(Fetched::Folder) | Err(LaunchError::Absent(_)) => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut copies = lock();
        copies.push_back((key.to_owned(), copy.clone()));
        if copies.len() > COPIES {
            copies.pop_front();
        }
        Ok(Some(copy))
    }

    /// A copy is out of date.
    pub(crate) fn drop_copy(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != key);
    }
}
