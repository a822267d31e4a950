//! What a runner reports.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::spec::Archive;

/// Name of the file.
pub const FILE: &str = "exit.json";

/// The report on a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// When the runner began; absent if it never did.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
    /// Exit code of the command, 128 + N after signal N; absent if it never ran or its end was not seen.
    pub exit_code: Option<i32>,
    /// How it ended.
    pub verdict: Verdict,
    /// Argo's message; empty on success.
    pub message: String,
    /// The end of standard output, if it was wanted.
    pub result: Option<String>,
    /// Output parameters.
    pub parameters: BTreeMap<String, String>,
    /// Output artifacts, ready to be stored.
    pub artifacts: Vec<Packed>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// Exit code 0, every output there.
    Succeeded,
    /// The command failed, was ended, or ran out of time.
    Failed,
    /// Something around it failed.
    Error,
}

/// An output artifact that lies in the folder `artifacts`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packed {
    /// Name.
    pub name: String,
    /// Key in the artifact store.
    pub key: String,
    /// How it is packed.
    pub archive: Archive,
    /// File name.
    pub file: String,
}

impl Exit {
    /// A report that the step could not be carried through.
    #[must_use]
    pub const fn error(started: Option<Timestamp>, finished: Timestamp, message: String) -> Self {
        Self {
            started,
            finished,
            exit_code: None,
            verdict: Verdict::Error,
            message,
            result: None,
            parameters: BTreeMap::new(),
            artifacts: Vec::new(),
        }
    }

    /// Reads the report of a folder.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn read(dir: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(dir.join(FILE))?;
        serde_json::from_slice(&bytes).map_err(io::Error::from)
    }

    /// Writes the report: whole or not at all, and durable when this returns.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        crate::durable::replace(dir, FILE, &serde_json::to_vec(self)?)
    }
}
