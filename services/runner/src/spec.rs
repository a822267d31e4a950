//! What a runner is told: everything about the step but its secrets.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of the file.
pub const FILE: &str = "spec.json";
/// Its presence asks the runner to end the step, or not to begin it.
pub const STOP: &str = "stop";
/// Folder of packed output artifacts.
pub const ARTIFACTS: &str = "artifacts";
/// A secret `NAME` reaches the runner as the variable `TIPHYS_SECRET_NAME`, never through a file.
pub const SECRET_PREFIX: &str = "TIPHYS_SECRET_";

/// The step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spec {
    /// Identity of the attempt.
    pub key: String,
    /// Boot id of the machine when this was written.
    pub boot: String,
    /// When this was written.
    pub written: Timestamp,
    /// The program, found in PATH by whoever wrote this.
    pub program: PathBuf,
    /// Its arguments with its own name in front, `$(VAR)` not yet replaced.
    pub command: Vec<String>,
    /// Where the script of a script template stands; appended to the arguments.
    pub script: Option<PathBuf>,
    /// Working folder; empty: where the runner is.
    pub work: PathBuf,
    /// The step is in a container with the runner: it has the runner's environment, its output is the runner's too,
    /// and its exit code; a program without a slash is looked for in PATH there.
    #[serde(default)]
    pub contained: bool,
    /// Input artifacts that the runner places; their contents lie in the folder [`crate::input::FOLDER`].
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// The environment of the command, in order: a value may use `$(VAR)` of those before it.
    pub environment: Vec<Variable>,
    /// Output parameters.
    pub parameters: Vec<Parameter>,
    /// Output artifacts.
    pub artifacts: Vec<Output>,
    /// Key under which the log is to be stored as artifact `main-logs`.
    pub log_key: Option<String>,
    /// Whether standard output is the result.
    pub capture: bool,
    /// Whether the log of a step in a container is written to its folder, too: for whoever hands it over from there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keep_log: bool,
    /// Bytes of log that are kept.
    pub log_limit: u64,
    /// When the step is out of time.
    pub deadline: Option<Timestamp>,
    /// Milliseconds between TERM and KILL.
    pub grace: u64,
}

/// A variable of the command's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Name.
    pub name: String,
    /// Value; a secret has none here, see [`SECRET_PREFIX`].
    pub value: Option<String>,
}

/// An input artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Name.
    pub name: String,
    /// Where it belongs.
    pub path: PathBuf,
    /// File mode, if the manifest gives one.
    pub mode: Option<u32>,
    /// How it is packed.
    pub archive: Archive,
    /// A part of it.
    pub sub_path: Option<String>,
    /// Whether its content may be missing.
    #[serde(default)]
    pub optional: bool,
}

/// An output parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The file as the manifest calls it, for messages.
    pub shown: String,
    /// Used when there is no file.
    pub default: Option<String>,
}

/// An output artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Name.
    pub name: String,
    /// The file or folder.
    pub path: PathBuf,
    /// The same as the manifest calls it, for messages.
    pub shown: String,
    /// Key in the artifact store.
    pub key: String,
    /// How it is packed.
    pub archive: Archive,
    /// Whether it may be missing.
    pub optional: bool,
}

/// How an artifact is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Archive {
    /// `.tgz`, the default.
    #[default]
    Tar,
    /// `.tgz` with this gzip level, 0 (none) to 9 (smallest).
    TarLevel(u32),
    /// `.zip`.
    Zip,
    /// As it is; a folder file by file.
    None,
}

impl Archive {
    /// What the name of a file packed so ends with.
    #[must_use]
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Tar | Self::TarLevel(_) => ".tgz",
            Self::Zip => ".zip",
            Self::None => "",
        }
    }
}

impl Spec {
    /// Reads the spec of a folder.
    ///
    /// # Errors
    /// When there is none, or it is not whole (its writer was killed).
    pub fn read(dir: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(dir.join(FILE))?;
        serde_json::from_slice(&bytes).map_err(io::Error::from)
    }
}
