//! Who has a step folder: written once, by the first runner that gets there.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::proc;

/// Name of the file.
pub const FILE: &str = "started";

/// A runner. The pid alone would not do: pids are used again, within one boot and after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its process id.
    pub pid: i32,
    /// Its start, in clock ticks since boot.
    pub since: u64,
    /// The boot id of the machine.
    pub boot: String,
    /// When it began.
    pub time: Timestamp,
}

impl Started {
    /// Takes the folder. False: another runner has it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn claim(&self, dir: &Path) -> io::Result<bool> {
        // Written beside and then linked: linking is exclusive, and nobody ever reads half of it.
        let temporary = dir.join(format!("{FILE}.{}", self.pid));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&temporary)?
            .write_all(&serde_json::to_vec(self)?)?;
        let linked = std::fs::hard_link(&temporary, dir.join(FILE));
        std::fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Who has the folder, if anybody.
    ///
    /// # Errors
    /// When the disk refuses, or the file was tampered with.
    pub fn read(dir: &Path) -> io::Result<Option<Self>> {
        match std::fs::read(dir.join(FILE)) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether this very process is there, in the boot with this id. A zombie is not.
    #[must_use]
    pub fn is_alive(&self, boot: &str) -> bool {
        self.boot == boot
            && proc::stat(self.pid).is_some_and(|now| now.start == self.since && now.state != 'Z')
    }
}
