//! Logs on disk, in the form that the runner gives them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind, Seek, SeekFrom};
use std::path::Path;

use serde::{Deserialize, Serialize};
use tiphys_core::Timestamp;
use tiphys_runner::log;

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
pub(super) type Part = (Vec<LogLine>, (usize, u64));

/// Lines from line `from`, at most `max`; reading begins at a line and its place that are known from before. No file is
/// as good as an empty one.
pub(super) fn read(file: &Path, known: (usize, u64), from: usize, max: usize) -> io::Result<Part> {
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
        if line >= from
            && let Some((time, stream, text)) = log::parse(whole)
        {
            lines.push(LogLine { time, stream: stream.name().to_owned(), text });
        }
        line += 1;
        byte += count as u64;
    }
    Ok((lines, (line, byte)))
}
