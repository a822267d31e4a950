//! Reads the logs of steps that another process starts: for an API server that shares a machine with an executor.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tiphys_core::PodKey;
use tokio::sync::mpsc;

use super::folder::{self, Folder};
use super::{LaunchError, Launcher, LogLine, PodSpec, PodState, Secrets, blocking};

/// A launcher that starts nothing.
#[derive(Debug)]
pub struct LogReader {
    root: PathBuf,
    /// Where reading a log stopped: line and byte.
    cursors: Mutex<HashMap<PodKey, (usize, u64)>>,
}

impl LogReader {
    /// Reads below `root`, the steps' folder of an executor.
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root, cursors: Mutex::default() }
    }
}

fn refused() -> LaunchError {
    LaunchError::Unavailable("this process reads logs, and starts no steps".into())
}

#[async_trait]
impl Launcher for LogReader {
    fn path_of(&self, key: &PodKey, _on_host: bool, path: &str) -> String {
        folder::path_of(&self.root, key, path)
    }

    async fn start(&self, _: &PodSpec, _: Secrets) -> Result<(), LaunchError> {
        Err(refused())
    }

    async fn observe(&self, _: &PodKey) -> Result<PodState, LaunchError> {
        Err(refused())
    }

    fn changes(&self) -> Option<mpsc::Receiver<PodKey>> {
        None
    }

    async fn stop(&self, _: &PodKey) -> Result<(), LaunchError> {
        Err(refused())
    }

    async fn logs(&self, key: &PodKey, from: usize, max: usize) -> Result<Vec<LogLine>, LaunchError> {
        let folder = Folder::new(&self.root, key)?;
        let cursors = || self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cursors().get(key).copied().filter(|(line, _)| *line <= from);
        let read = blocking(move || folder.log(known.unwrap_or_default(), from, max)).await?;
        cursors().insert(key.clone(), read.cursor);
        Ok(read.lines)
    }

    async fn forget(&self, _: &PodKey) {}

    async fn remove(&self, _: &PodKey) {}
}
