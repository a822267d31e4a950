//! Logs outlive their pods: what the API server has is kept in the artifact store before a pod goes. Runners that reach us hand
//! over their own log, which tells the streams apart; then nothing is read here.
//!
//! Nobody waits for it and nothing fails by it: what cannot be read is said in the place of the log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _};
use tiphys_core::{PodKey, Timestamp};
use tiphys_kit::Backoff;
use tokio::io::AsyncWriteExt as _;

use super::ask::Kind;
use super::log::Lines;
use super::record::Place;
use super::shelf::Thing;
use super::{REQUEST, Shared};
use crate::launcher::{LogLine, PodState};

/// So often a log is asked for before its pod goes without it.
const TRIES: u32 = 3;
/// A log that was written to its end is read within this time.
const READS: Duration = Duration::from_secs(60);
/// One that is still written is read for no longer: its pod has been told to end.
const FOLLOWS: Duration = Duration::from_secs(600);
/// A pod is told to end after so long, whether its log is followed by then or not.
const OPENS: Duration = Duration::from_secs(5);
/// Read at once.
const CHUNK: usize = 32 << 10;

impl Shared {
    /// Keeps the log of a pod that has ended, unless that was done. False: the launcher stops, and the pod is to stay.
    pub(super) async fn keep_log(&self, key: &PodKey, place: &Place) -> bool {
        if !self.logs.begin(key) {
            return true;
        }
        let goes_on = self.has_better(key, place).await || self.read_log(key, place).await;
        self.logs.end(key);
        goes_on
    }

    async fn read_log(&self, key: &PodKey, place: &Place) -> bool {
        let _room = self.logs.readers.acquire().await;
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        loop {
            let why = match self.open_log(place, None, false, REQUEST).await {
                Ok(stream) => {
                    self.store_log(key, place, stream, READS).await;
                    return !self.tasks.stop().is_cancelled();
                }
                // It is gone, or never began.
                Err(failure) if matches!(failure.kind, Kind::Missing | Kind::Refused) => {
                    tracing::debug!(%key, why = failure.text, "a pod has no log");
                    return true;
                }
                Err(failure) => failure.text,
            };
            if backoff.attempts() + 1 >= TRIES {
                tracing::warn!(%key, why, "a log cannot be read, and its pod goes without");
                self.put_word(key, place, &format!("it could not be read before its pod went: {why}")).await;
                return true;
            }
            if !self.pause(backoff.next_wait()).await {
                return false;
            }
        }
    }

    /// Keeps the log of a pod that is about to end, to its last line. Returns when it is being read: the pod can be told then.
    /// Where very many end at once, some are read at their end instead.
    pub(super) async fn follow_log(self: &Arc<Self>, key: &PodKey, place: &Place) {
        if self.logs.readers.available_permits() == 0 || !self.logs.begin(key) {
            return;
        }
        let stream = match self.open_log(place, None, true, OPENS).await {
            Ok(stream) => stream,
            Err(failure) => {
                tracing::debug!(%key, why = failure.text, "the log of a pod that ends cannot be followed");
                self.logs.end(key);
                // Its end was heard of meanwhile, and left to us.
                if let Some(PodState::Ended(result)) = self.state(key)
                    && failure.kind == Kind::Missing
                {
                    self.keep_word(key, place, &result.message).await;
                }
                return;
            }
        };
        let (shared, key, place) = (Arc::clone(self), key.clone(), place.clone());
        self.tasks.spawn("follow log", async move {
            let _room = shared.logs.readers.acquire().await;
            shared.store_log(&key, &place, stream, FOLLOWS).await;
            shared.logs.end(&key);
        });
    }

    /// Reads a log, and keeps what was read, unless a runner handed over its own by then.
    async fn store_log(
        &self,
        key: &PodKey,
        place: &Place,
        stream: impl AsyncRead + Send + Unpin,
        limit: Duration,
    ) {
        let drafted = async {
            let mut draft = Draft::create(self.scratch.next(), self.config.log_limit).await?;
            let read = tokio::time::timeout(limit, draft.copy(stream)).await;
            match read {
                Ok(Ok(())) => {}
                // What was read until then is better than nothing.
                Ok(Err(error)) => {
                    draft.say(self.clock.now(), &format!("the log broke off here: {error}")).await?
                }
                Err(_) => {
                    draft
                        .say(self.clock.now(), &format!("the log was read for {limit:?}, not to its end"))
                        .await?
                }
            }
            draft.file.flush().await?;
            Ok::<_, std::io::Error>(draft)
        };
        let drafted = tokio::select! {
            drafted = drafted => drafted,
            // The pod stays, or is found again at its end.
            () = self.tasks.stop().cancelled() => return,
        };
        match drafted {
            // Its workflow may have been deleted meanwhile.
            Ok(draft) if !self.has_better(key, place).await && self.logs.is_busy(key) => {
                self.put_log(key, place, &draft).await
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(%key, %error, "a log cannot be written down"),
        }
    }

    /// Says why there is no log, in its place.
    pub(super) async fn keep_word(&self, key: &PodKey, place: &Place, why: &str) {
        if !self.logs.is_busy(key) && !self.is_kept(key, place).await {
            self.put_word(key, place, why).await;
        }
    }

    async fn put_word(&self, key: &PodKey, place: &Place, why: &str) {
        let drafted = async {
            let mut draft = Draft::create(self.scratch.next(), self.config.log_limit).await?;
            draft.say(self.clock.now(), &format!("there is no log of this step: {why}")).await?;
            draft.file.flush().await?;
            Ok::<_, std::io::Error>(draft)
        };
        match drafted.await {
            Ok(draft) => self.put_log(key, place, &draft).await,
            Err(error) => tracing::warn!(%key, %error, "a log cannot be written down"),
        }
    }

    async fn put_log(&self, key: &PodKey, place: &Place, draft: &Draft) {
        let shelf = self.shelf(key, Some(place), Thing::Log);
        let stored = self.put(&shelf, draft.place.clone()).await;
        self.logs.changed(key, matches!(stored, Ok((_, true))));
        if let Err(error) = stored {
            tracing::warn!(%key, %error, "a log cannot be kept");
        }
    }

    /// What is kept of a pod's log goes.
    pub(super) async fn drop_log(&self, key: &PodKey) {
        self.logs.end(key);
        if let Err(why) = self.drop_own_log(key).await {
            tracing::warn!(%key, %why, "what was kept of a log stays in the store");
        }
        self.logs.changed(key, false);
    }
}

/// A log on its way to the store, in the form that the runner gives it.
struct Draft {
    file: tokio::io::BufWriter<tokio::fs::File>,
    place: PathBuf,
    /// Bytes that it may yet take, of so many in all.
    left: u64,
    limit: u64,
}

impl Draft {
    async fn create(place: PathBuf, limit: u64) -> std::io::Result<Self> {
        let file = tokio::io::BufWriter::new(tokio::fs::File::create(&place).await?);
        Ok(Self { file, place, left: limit, limit })
    }

    /// Takes all lines, as far as there is room.
    async fn copy(&mut self, mut stream: impl AsyncRead + Send + Unpin) -> std::io::Result<()> {
        let (mut part, mut buffer) = (Lines::default(), vec![0; CHUNK]);
        loop {
            let count = stream.read(&mut buffer).await?;
            let lines = match buffer.get(..count) {
                Some(bytes) if count > 0 => part.take(bytes),
                _ => part.rest().into_iter().collect(),
            };
            for line in lines {
                let written = written('o', &line);
                let length = written.len() as u64;
                if length > self.left {
                    let full = format!("the log is full at {} bytes; the rest is not kept", self.limit);
                    return self.say(line.time, &full).await;
                }
                self.left -= length;
                self.file.write_all(written.as_bytes()).await?;
            }
            if count == 0 {
                return Ok(());
            }
        }
    }

    /// A line of our own.
    async fn say(&mut self, time: Timestamp, text: &str) -> std::io::Result<()> {
        let text = format!("tiphys: {}", text.replace('\n', " "));
        let line = LogLine { time, stream: String::new(), text };
        self.file.write_all(written('e', &line).as_bytes()).await
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.place);
    }
}

fn written(stream: char, line: &LogLine) -> String {
    format!("{:.9} {stream} {}\n", line.time, line.text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::log_file;

    async fn drafted(text: &str, limit: u64) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let mut draft = Draft::create(folder.path().join("draft"), limit).await.unwrap();
        draft.copy(text.as_bytes()).await.unwrap();
        draft.file.flush().await.unwrap();
        let (lines, _) = log_file::read(&draft.place, (0, 0), 0, usize::MAX).unwrap();
        lines.into_iter().map(|line| (line.stream, line.text)).collect()
    }

    #[tokio::test]
    async fn a_log_is_kept_as_far_as_there_is_room() {
        let text = "2026-11-30T12:00:00.5Z one\n2026-11-30T12:00:01Z \n2026-11-30T12:00:02Z three";
        let told = |text: &str| ("stdout".to_owned(), text.to_owned());
        assert_eq!(drafted(text, 1000).await, [told("one"), told(""), told("three")]);
        let cut = drafted(text, 80).await;
        assert_eq!(cut[..2], [told("one"), told("")]);
        assert!(cut[2].0 == "stderr" && cut[2].1.contains("full at 80 bytes"), "{cut:?}");
        assert_eq!(cut.len(), 3);
    }
}
