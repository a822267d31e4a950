//! The log of a step: one line of text per line of output, `TIME o TEXT` (or `e` for standard error).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;

/// Name of the file.
pub const FILE: &str = "log";
/// A longer line is split.
pub const LONGEST_LINE: usize = 64 * 1024;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    /// `stdout` or `stderr`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Output => "stdout",
            Self::Error => "stderr",
        }
    }

    const fn letter(self) -> u8 {
        match self {
            Self::Output => b'o',
            Self::Error => b'e',
        }
    }
}

/// Reads one line of the file back, its end removed. Nothing if it is none.
#[must_use]
pub fn parse(line: &[u8]) -> Option<(Timestamp, Stream, String)> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (time, rest) = line.split_at_checked(space)?;
    let time = std::str::from_utf8(time).ok()?.parse().ok()?;
    let (stream, text) = match rest {
        [b' ', b'o', b' ', text @ ..] => (Stream::Output, text),
        [b' ', b'e', b' ', text @ ..] => (Stream::Error, text),
        _ => return None,
    };
    Some((time, stream, String::from_utf8_lossy(text).into_owned()))
}

/// Writes the log. A disk that refuses ends the log, never the step.
#[derive(Debug)]
pub(crate) struct Log {
    file: Option<File>,
    left: u64,
    limit: u64,
    partial: [Vec<u8>; 2],
    buffer: Vec<u8>,
}

impl Log {
    /// Begins a log of at most `limit` bytes.
    pub(crate) fn create(dir: &Path, limit: u64) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(dir.join(FILE))?;
        Ok(Self {
            file: Some(file),
            left: limit,
            limit,
            partial: [Vec::new(), Vec::new()],
            buffer: Vec::new(),
        })
    }

    /// Keeps nothing.
    pub(crate) const fn none() -> Self {
        Self { file: None, left: 0, limit: 0, partial: [Vec::new(), Vec::new()], buffer: Vec::new() }
    }

    /// Takes what was read from a stream.
    pub(crate) fn take(&mut self, stream: Stream, bytes: &[u8], now: Timestamp) {
        if self.file.is_none() {
            return;
        }
        let mut partial = std::mem::take(&mut self.partial[stream as usize]);
        let time = format!("{now:.9}");
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Some(line) = piece.strip_suffix(b"\n") {
                partial.extend_from_slice(line);
                self.lines(stream, &time, &mut partial, 0);
            } else {
                partial.extend_from_slice(piece);
                self.lines(stream, &time, &mut partial, LONGEST_LINE);
            }
        }
        self.partial[stream as usize] = partial;
        self.flush();
    }

    /// A line of our own.
    pub(crate) fn note(&mut self, text: &str, now: Timestamp) {
        self.line(Stream::Error, &format!("{now:.9}"), text.as_bytes());
        self.flush();
    }

    /// Ends the log: a last line without an end is a line too.
    pub(crate) fn finish(&mut self, now: Timestamp) {
        for stream in [Stream::Output, Stream::Error] {
            let mut partial = std::mem::take(&mut self.partial[stream as usize]);
            if !partial.is_empty() {
                self.lines(stream, &format!("{now:.9}"), &mut partial, 0);
            }
        }
        self.flush();
    }

    /// Writes what is in `partial` in lines of the longest length until no more than `keep` bytes are left.
    fn lines(&mut self, stream: Stream, time: &str, partial: &mut Vec<u8>, keep: usize) {
        let mut from = 0;
        while partial.len() - from > LONGEST_LINE {
            let end = boundary(partial, from + LONGEST_LINE);
            self.line(stream, time, &partial[from..end]);
            from = end;
        }
        if keep == 0 {
            self.line(stream, time, &partial[from..]);
            from = partial.len();
        }
        partial.drain(..from);
    }

    fn line(&mut self, stream: Stream, time: &str, text: &[u8]) {
        if self.left == 0 {
            return;
        }
        let length = (time.len() + text.len() + 4) as u64;
        if length > self.left {
            let marker = format!("tiphys: the log is full at {} bytes; the rest is not kept", self.limit);
            self.left = 0;
            self.append(Stream::Error, time, marker.as_bytes());
            return;
        }
        self.left -= length;
        self.append(stream, time, text);
    }

    fn append(&mut self, stream: Stream, time: &str, text: &[u8]) {
        self.buffer.extend_from_slice(time.as_bytes());
        self.buffer.extend_from_slice(&[b' ', stream.letter(), b' ']);
        self.buffer.extend_from_slice(text);
        self.buffer.push(b'\n');
    }

    fn flush(&mut self) {
        if let Some(file) = &mut self.file
            && file.write_all(&self.buffer).is_err()
        {
            self.file = None;
        }
        self.buffer.clear();
    }
}

/// The place at or up to three bytes before `at` that does not cut a character of UTF-8 in two.
fn boundary(bytes: &[u8], at: usize) -> usize {
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|place| bytes.get(*place).is_none_or(|byte| byte & 0xC0 != 0x80))
        .unwrap_or(at)
}

/// The last bytes of a stream.
#[derive(Debug, Default)]
pub(crate) struct Tail(Vec<u8>);

impl Tail {
    /// As many bytes as Argo keeps.
    pub(crate) const MOST: usize = 256 * 1024;

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        if self.0.len() > 2 * Self::MOST {
            self.trim();
        }
    }

    fn trim(&mut self) {
        let surplus = self.0.len().saturating_sub(Self::MOST);
        self.0.drain(..surplus);
    }

    /// As text, one line end at the end removed.
    pub(crate) fn into_text(mut self) -> String {
        self.trim();
        let bytes = self.0.strip_suffix(b"\n").unwrap_or(&self.0);
        String::from_utf8_lossy(bytes).into_owned()
    }
}

#[cfg(test)]
mod tests;
