//! Logs: of a container from the engine, of one that is gone from our own folder. One whose spec names a store that all executors
//! share is kept there; whoever reads it asks that store.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::PoisonError;

use bollard::container::LogOutput;
use bollard::query_parameters::LogsOptions;
use futures::StreamExt;
use tiphys_core::{PodKey, Timestamp};

use super::engine::Trouble;
use super::files::Temporary;
use super::{LaunchError, LogLine, Shared, blocking, labels, part};
use crate::artifact::kept;
use crate::launcher::log_file;

/// Folder of the logs, below that of the launcher.
pub(super) const FOLDER: &str = "logs";
/// Where logs are read in another part than before, so many places are remembered.
const PLACES: usize = 4096;

/// Where reading a log stopped.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cursor {
    /// Line and byte of a file.
    File(usize, u64),
    /// The first line of a second, in the engine's log.
    Engine(usize, i64),
}

/// Puts together what the engine gives in pieces: it cuts long lines.
#[derive(Debug, Default)]
struct Joiner {
    open: HashMap<&'static str, (Timestamp, Vec<u8>)>,
}

impl Joiner {
    fn take(&mut self, output: LogOutput) -> Option<LogLine> {
        let stream = match output {
            LogOutput::StdErr { .. } => "stderr",
            _ => "stdout",
        };
        let message = output.into_bytes();
        let space = message.iter().position(|byte| *byte == b' ')?;
        let (time, text) = message.split_at_checked(space + 1)?;
        let time = std::str::from_utf8(time).ok()?.trim_end().parse().ok()?;
        let (_, line) = self.open.entry(stream).or_insert_with(|| (time, Vec::new()));
        match text.strip_suffix(b"\n") {
            None => {
                line.extend_from_slice(text);
                None
            }
            Some(end) => {
                line.extend_from_slice(end);
                let (time, line) = self.open.remove(stream)?;
                Some(Self::line(time, stream, &line))
            }
        }
    }

    fn line(time: Timestamp, stream: &str, text: &[u8]) -> LogLine {
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        LogLine { time, stream: stream.to_owned(), text: String::from_utf8_lossy(text).into_owned() }
    }

    /// The last lines, where they have no end.
    fn rest(self) -> Vec<LogLine> {
        self.open.into_iter().map(|(stream, (time, text))| Self::line(time, stream, &text)).collect()
    }
}

impl Shared {
    fn log_file(&self, key: &PodKey) -> PathBuf {
        self.config.folder.join(FOLDER).join(&key.0)
    }

    /// See `Launcher::logs`.
    pub(super) async fn logs(
        &self,
        key: &PodKey,
        from: usize,
        max: usize,
    ) -> Result<Vec<LogLine>, LaunchError> {
        let cursor = self.cursors.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        let file = self.log_file(key);
        // Kept before the container goes: so it is looked for first and last.
        for _ in 0..2 {
            if file.exists() {
                return self.lines_of_file(key, cursor, from, max).await;
            }
            let known = match cursor {
                Some(Cursor::Engine(line, second)) if line <= from => (line, second),
                _ => (0, 0),
            };
            match self.lines_of_engine(key, known, from, max).await {
                Err(Trouble::Absent(_)) => {}
                Err(trouble) => return Err(LaunchError::Unavailable(trouble.text().to_owned())),
                Ok(lines) => return Ok(lines),
            }
        }
        Ok(Vec::new())
    }

    async fn lines_of_file(
        &self,
        key: &PodKey,
        cursor: Option<Cursor>,
        from: usize,
        max: usize,
    ) -> Result<Vec<LogLine>, LaunchError> {
        let file = self.log_file(key);
        let known = match cursor {
            Some(Cursor::File(line, byte)) if line <= from => (line, byte),
            _ => (0, 0),
        };
        let (lines, (line, byte)) = blocking(move || log_file::read(&file, known, from, max)).await?;
        self.remember(key, Cursor::File(line, byte));
        Ok(lines)
    }

    fn remember(&self, key: &PodKey, cursor: Cursor) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if cursors.len() >= PLACES {
            cursors.clear();
        }
        cursors.insert(key.clone(), cursor);
    }

    /// Reads from a second on, whose first line is known by its number.
    async fn lines_of_engine(
        &self,
        key: &PodKey,
        known: (usize, i64),
        from: usize,
        max: usize,
    ) -> Result<Vec<LogLine>, Trouble> {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            timestamps: true,
            since: i32::try_from(known.1).unwrap_or_default(),
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        let name = part::main_name(&self.config, key);
        let mut pieces = Box::pin(self.docker.logs(&name, Some(options)));
        let (mut joiner, mut lines) = (Joiner::default(), Vec::new());
        let (mut number, mut cursor) = (known.0, known);
        let mut whole = true;
        while let Some(piece) = pieces.next().await {
            let Some(line) = joiner.take(piece?) else { continue };
            if line.time.as_second() != cursor.1 {
                cursor = (number, line.time.as_second());
            }
            if number >= from {
                if lines.len() >= max {
                    whole = false;
                    break;
                }
                lines.push(line);
            }
            number += 1;
        }
        // What has no end yet may still be written, unless its container has ended.
        if whole && lines.len() < max && !self.runs(&name).await? {
            for line in joiner.rest() {
                if number >= from && lines.len() < max {
                    lines.push(line);
                }
                number += 1;
            }
        }
        self.remember(key, Cursor::Engine(cursor.0, cursor.1));
        Ok(lines)
    }

    async fn runs(&self, name: &str) -> Result<bool, Trouble> {
        let inspected = self.inspect(name).await?;
        Ok(inspected.state.and_then(|state| state.running) == Some(true))
    }

    /// Keeps the log of a container in a file, whole or not at all.
    pub(super) async fn save_log(&self, key: &PodKey) -> Result<(), LaunchError> {
        let file = self.log_file(key);
        if file.exists() {
            return Ok(());
        }
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            timestamps: true,
            tail: "all".to_owned(),
            ..LogsOptions::default()
        };
        let mut pieces = Box::pin(self.docker.logs(&part::main_name(&self.config, key), Some(options)));
        let (mut joiner, mut text) = (Joiner::default(), String::new());
        while let Some(piece) = pieces.next().await {
            match piece.map_err(Trouble::from) {
                Ok(piece) => joiner.take(piece).into_iter().for_each(|line| put(&mut text, &line)),
                // It has no log, as it never began.
                Err(Trouble::Absent(_) | Trouble::Refused(_)) => break,
                Err(trouble) => return Err(trouble.into()),
            }
        }
        joiner.rest().iter().for_each(|line| put(&mut text, line));
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        let draft = Temporary(self.scratch.next());
        let written = draft.0.clone();
        blocking(move || std::fs::write(written, text)).await?;
        if let Some(shared) = self.shared_log(key).await? {
            match self.store.put(&shared, draft.0.clone()).await {
                Ok(_) => return Ok(()),
                Err(why) => {
                    tracing::warn!(%key, %why, "a log is kept on this machine, as its store does not take it");
                }
            }
        }
        blocking(move || std::fs::rename(&draft.0, &file)).await
    }

    /// Where the log goes in the store that all executors share, as its container says; `None`: nowhere.
    async fn shared_log(&self, key: &PodKey) -> Result<Option<String>, LaunchError> {
        let inspected = match self.inspect(&part::main_name(&self.config, key)).await {
            Ok(inspected) => inspected,
            Err(Trouble::Absent(_)) => return Ok(None),
            Err(trouble) => return Err(trouble.into()),
        };
        let labels = inspected.config.and_then(|config| config.labels).unwrap_or_default();
        Ok(labels.get(labels::KEEPS).and_then(|folder| kept::within(folder, kept::LOG)))
    }

    pub(super) async fn remove_log(&self, key: &PodKey) {
        let file = self.log_file(key);
        let removed = blocking(move || crate::scratch::absent(std::fs::remove_file(file))).await;
        if let Err(error) = removed {
            tracing::warn!(%key, %error, "a log could not be removed");
        }
    }
}

fn put(text: &mut String, line: &LogLine) {
    let letter = if line.stream == "stderr" { 'e' } else { 'o' };
    // A string takes everything.
    let _ = writeln!(text, "{:.9} {letter} {}", line.time, line.text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_put_together() {
        let mut joiner = Joiner::default();
        let out = |text: &str| LogOutput::StdOut { message: text.to_owned().into() };
        let err = |text: &str| LogOutput::StdErr { message: text.to_owned().into() };
        assert_eq!(joiner.take(out("2026-01-02T03:04:05.000000001Z begin ")), None);
        let line = joiner.take(err("2026-01-02T03:04:06Z other\n")).unwrap();
        assert_eq!((line.stream.as_str(), line.text.as_str()), ("stderr", "other"));
        let line = joiner.take(out("2026-01-02T03:04:07Z and end\r\n")).unwrap();
        assert_eq!((line.stream.as_str(), line.text.as_str()), ("stdout", "begin and end"));
        assert_eq!(line.time.to_string(), "2026-01-02T03:04:05.000000001Z");
        assert_eq!(joiner.take(out("2026-01-02T03:04:08Z no end")), None);
        assert_eq!(joiner.rest()[0].text, "no end");
    }
}
