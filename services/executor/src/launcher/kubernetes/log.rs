//! Logs of pods: of one that is there as the API server has it, of one that is gone as it was kept in the artifact store.

mod mark;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _};
use kube::api::LogParams;
use tiphys_core::{PodKey, Timestamp};
use tokio::sync::Semaphore;

use super::ask::{Failure, Kind, within};
use super::pod::MAIN;
use super::record::Place;
use super::shelf::Thing;
use super::{REQUEST, Shared, lock};
use crate::launcher::log_file::{self, Copied, Copies};
use crate::launcher::{Fetched, LaunchError, LogLine};
use mark::{Mark, Marks};

/// Where reading stopped is remembered of so many logs.
const CURSORS: usize = 4096;
/// So many logs are read at the same time to be kept.
const READERS: usize = 64;
/// A longer line is cut, as the runner cuts it.
const LONGEST: usize = tiphys_runner::log::LONGEST_LINE;
/// Read at once.
const CHUNK: usize = 32 << 10;

/// A log as the API server sends it.
pub(super) type Text = Box<dyn AsyncRead + Send + Unpin>;

/// What is remembered of logs.
#[derive(Debug)]
pub(super) struct Logs {
    cursors: Mutex<HashMap<PodKey, Cursor>>,
    copies: Copies,
    /// Logs that we put into the store that all share, of the latest.
    shared: Mutex<HashSet<PodKey>>,
    /// Logs that are being read to be kept.
    busy: Mutex<HashSet<PodKey>>,
    /// Room for them: a node that is drained ends many pods at once.
    pub(super) readers: Semaphore,
}

impl Default for Logs {
    fn default() -> Self {
        Self {
            cursors: Mutex::default(),
            copies: Copies::default(),
            shared: Mutex::default(),
            busy: Mutex::default(),
            readers: Semaphore::new(READERS),
        }
    }
}

/// Where reading a log stopped.
#[derive(Debug, Clone, Copy)]
enum Cursor {
    /// Line and byte of what was kept.
    Kept(usize, u64),
    /// At the API server.
    Server(Option<Mark>),
}

impl Logs {
    fn remember(&self, key: &PodKey, cursor: Cursor) {
        let mut cursors = lock(&self.cursors);
        if cursors.len() >= CURSORS {
            cursors.clear();
        }
        cursors.insert(key.clone(), cursor);
    }

    /// A log is read to be kept from now on. False: it is already.
    pub(super) fn begin(&self, key: &PodKey) -> bool {
        lock(&self.busy).insert(key.clone())
    }

    /// Whether a log is being read to be kept.
    pub(super) fn is_busy(&self, key: &PodKey) -> bool {
        lock(&self.busy).contains(key)
    }

    /// It was read, or is not wanted any more.
    pub(super) fn end(&self, key: &PodKey) {
        lock(&self.busy).remove(key);
    }

    /// Another log is kept now, or none; whether in the store that all share.
    pub(super) fn changed(&self, key: &PodKey, is_shared: bool) {
        self.copies.drop_copy(&key.0);
        lock(&self.cursors).remove(key);
        let mut shared = lock(&self.shared);
        if !is_shared {
            shared.remove(key);
            return;
        }
        if shared.len() >= CURSORS {
            shared.clear();
        }
        shared.insert(key.clone());
    }

    fn is_shared(&self, key: &PodKey) -> bool {
        lock(&self.shared).contains(key)
    }
}

impl Shared {
    /// See `Launcher::logs`.
    pub(super) async fn logs(
        &self,
        key: &PodKey,
        from: usize,
        max: usize,
    ) -> Result<Vec<LogLine>, LaunchError> {
        let cursor = lock(&self.logs.cursors).get(key).copied();
        // What a runner handed over may be in another order than what its container wrote: a reader who has begun with that
        // goes on with it.
        let begun = from > 0 && matches!(cursor, Some(Cursor::Server(..)));
        if !begun && let Some(lines) = self.kept_lines(key, cursor, from, max).await? {
            return Ok(lines);
        }
        if let Some(place) = self.place(key).await?
            && let Some(lines) = self.lines_of_server(key, &place, cursor, from, max).await?
        {
            return Ok(lines);
        }
        // Kept before the pod goes: so it is looked for first and last.
        let kept = self.kept_lines(key, cursor, from, max).await?;
        kept.ok_or_else(|| LaunchError::Absent("the log went with its pod, and none was kept here".into()))
    }

    /// Lines of what was kept; `None`: nothing was.
    async fn kept_lines(
        &self,
        key: &PodKey,
        cursor: Option<Cursor>,
        from: usize,
        max: usize,
    ) -> Result<Option<Vec<LogLine>>, LaunchError> {
        let Some(copy) = self.kept(key).await? else { return Ok(None) };
        let known = match cursor {
            Some(Cursor::Kept(line, byte)) if line <= from => (line, byte),
            _ => (0, 0),
        };
        let read = tokio::task::spawn_blocking(move || log_file::read(&copy.file, known, from, max)).await;
        let read = read.map_err(std::io::Error::other).and_then(|read| read);
        let (lines, (line, byte)) = read.map_err(|error| unavailable(&error))?;
        self.logs.remember(key, Cursor::Kept(line, byte));
        Ok(Some(lines))
    }

    /// Whether the log of a pod is kept, be it by another executor in the store that all share.
    pub(super) async fn is_kept(&self, key: &PodKey, place: &Place) -> bool {
        if matches!(self.kept(key).await, Ok(Some(_))) {
            return true;
        }
        if place.keeps.is_none() {
            return false;
        }
        let (shelf, copy) = (self.shelf(key, Some(place), Thing::Log), Copied::new(self.scratch.next()));
        matches!(self.fetch(&shelf, copy.file.clone()).await, Ok(Fetched::File))
    }

    /// Whether a better log may be kept than the API server has. Where no runner hands its own over, the store that all share
    /// is not asked: what it has is the same.
    pub(super) async fn has_better(&self, key: &PodKey, place: &Place) -> bool {
        match self.config.address {
            Some(_) => self.is_kept(key, place).await,
            None => matches!(self.kept(key).await, Ok(Some(_))),
        }
    }

    /// A copy of what was kept, as far as we know: nobody asks the store that all share for what may not be there.
    async fn kept(&self, key: &PodKey) -> Result<Option<Arc<Copied>>, LaunchError> {
        let place = self.known_place(key).filter(|_| self.logs.is_shared(key));
        let shelf = self.shelf(key, place.as_ref(), Thing::Log);
        self.logs.copies.get(&key.0, &self.scratch, |to| self.fetch(&shelf, to)).await
    }

    /// Asks the API server for the log of a pod, from a second on; what is yet to be written, too, if `follow` says so.
    pub(super) async fn open_log(
        &self,
        place: &Place,
        since: Option<Timestamp>,
        follow: bool,
        limit: Duration,
    ) -> Result<Text, Failure> {
        let options = LogParams {
            container: Some(MAIN.into()),
            timestamps: true,
            since_time: since,
            follow,
            ..LogParams::default()
        };
        let api = self.api(&place.namespace);
        let opened = self.ask(within(limit, api.log_stream(&place.name, &options))).await?;
        Ok(Box::new(opened))
    }

    async fn is_there(&self, place: &Place) -> Result<bool, LaunchError> {
        let api = self.api(&place.namespace);
        match self.ask(within(REQUEST, api.get_metadata(&place.name))).await {
            Ok(found) => Ok(found.metadata.uid.as_deref() == Some(&*place.uid)),
            Err(failure) if failure.kind == Kind::Missing => Ok(false),
            Err(failure) => Err(LaunchError::Unavailable(failure.text)),
        }
    }

    /// Lines of a pod that is there; `None`: it is not. The API server does not say which stream a line came from.
    async fn lines_of_server(
        &self,
        key: &PodKey,
        place: &Place,
        cursor: Option<Cursor>,
        from: usize,
        max: usize,
    ) -> Result<Option<Vec<LogLine>>, LaunchError> {
        let known = match cursor {
            Some(Cursor::Server(mark)) => mark.filter(|mark| mark.good_from <= from),
            _ => None,
        };
        let mut stream = match self.open_log(place, known.map(Mark::time), false, REQUEST).await {
            Ok(stream) => stream,
            // A kubelet says the same of a pod that it has not heard of yet.
            Err(failure) if failure.kind == Kind::Missing => {
                return Ok(self.is_there(place).await?.then(Vec::new));
            }
            // It waits to start.
            Err(failure) if failure.kind == Kind::Refused => return Ok(Some(Vec::new())),
            Err(failure) => return Err(LaunchError::Unavailable(failure.text)),
        };
        let (mut part, mut buffer, mut found) = (Lines::default(), vec![0; CHUNK], Vec::new());
        let mut marks = Marks::at(known);
        loop {
            let count = stream.read(&mut buffer).await.map_err(|error| unavailable(&error))?;
            let lines = match buffer.get(..count) {
                Some(bytes) if count > 0 => part.take(bytes),
                _ => part.rest().into_iter().collect(),
            };
            for line in lines {
                if found.len() >= max {
                    break;
                }
                let (number, time) = (marks.next, line.time);
                if number >= from {
                    found.push(line);
                }
                marks.take(time);
            }
            if count == 0 || found.len() >= max {
                break;
            }
        }
        self.logs.remember(key, Cursor::Server(marks.mark().or(known)));
        Ok(Some(found))
    }
}

fn unavailable(error: &std::io::Error) -> LaunchError {
    LaunchError::Unavailable(format!("a log cannot be read: {error}"))
}

/// Makes lines of what the API server sends: a time, a space and the text, of which a long one is cut.
#[derive(Debug, Default)]
pub(super) struct Lines {
    part: Vec<u8>,
    /// Of a line whose beginning was cut off already.
    time: Option<Timestamp>,
}

impl Lines {
    /// Takes bytes, and gives the lines that they end.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Vec<LogLine> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Some(end) = piece.strip_suffix(b"\n") {
                self.part.extend_from_slice(end);
                lines.extend(self.line());
                self.time = None;
            } else {
                self.part.extend_from_slice(piece);
                if self.part.len() >= LONGEST {
                    lines.extend(self.line());
                }
            }
        }
        lines
    }

    /// The last line, where it has no end.
    pub(super) fn rest(&mut self) -> Option<LogLine> {
        if self.part.is_empty() { None } else { self.line() }
    }

    /// What there is, as a line; `None`: all of it was cut off and told already.
    fn line(&mut self) -> Option<LogLine> {
        let whole = String::from_utf8_lossy(&std::mem::take(&mut self.part)).into_owned();
        let (time, text) = match self.time {
            Some(_) if whole.is_empty() => return None,
            Some(time) => (time, whole),
            None => parse(whole),
        };
        self.time = Some(time);
        Some(LogLine { time, stream: "stdout".to_owned(), text })
    }
}

/// A time, a space and the text.
fn parse(line: String) -> (Timestamp, String) {
    let (time, text) = line.split_once(' ').unwrap_or((&line, ""));
    match time.parse() {
        Ok(time) => (time, text.to_owned()),
        Err(_) => (Timestamp::UNIX_EPOCH, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_time() {
        for (line, second, text) in [
            ("2026-11-30T12:00:00.123456789Z hello world\n", 1_796_040_000, "hello world"),
            ("2026-11-30T12:00:00Z \n", 1_796_040_000, ""),
            ("2026-11-30T12:00:00Z\n", 1_796_040_000, ""),
            ("no time at all\n", 0, "no time at all"),
        ] {
            let mut lines = Lines::default();
            // However it comes in pieces.
            let mut read: Vec<LogLine> =
                line.as_bytes().chunks(7).flat_map(|piece| lines.take(piece)).collect();
            assert_eq!((read.len(), lines.rest()), (1, None));
            let read = read.remove(0);
            assert_eq!((read.time.as_second(), read.text.as_str()), (second, text), "{line}");
        }
    }

    #[test]
    fn a_long_line_is_cut_and_each_piece_has_its_time() {
        let mut lines = Lines::default();
        let mut read = lines.take(format!("2026-11-30T12:00:00Z {}", "x".repeat(LONGEST)).as_bytes());
        read.extend(lines.take(b"tail\n2026-11-30T12:00:01Z next\n2026-11-30T12:00:02Z open"));
        read.extend(lines.rest());
        let told: Vec<(i64, usize)> =
            read.iter().map(|line| (line.time.as_second() - 1_796_040_000, line.text.len())).collect();
        assert_eq!(told, [(0, LONGEST), (0, 4), (1, 4), (2, 4)]);
        // A line that ends where it was cut is no second one.
        let mut lines = Lines::default();
        let whole = format!("2026-11-30T12:00:00Z {}\n", "x".repeat(LONGEST));
        let (begin, end) = whole.split_at(whole.len() - 1);
        assert_eq!(lines.take(begin.as_bytes()).len() + lines.take(end.as_bytes()).len(), 1);
    }
}
