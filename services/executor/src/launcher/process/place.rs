//! The folder of all step folders: which one it is, and who may use it together.
//!
//! Several processes may have it open, if they see each other's processes: those of one boot, in one space of
//! process numbers. To others every runner would look dead, and they would declare steps lost that run.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use super::{LaunchError, unavailable};
use crate::scratch::Scratch;

/// Holds the folder's identity.
const IDENTITY: &str = ".identity";
/// Locked, shared, by those who have the folder open; says what they see.
const LOCK: &str = ".lock";
/// Folders that are being filled.
const DRAFTS: &str = ".drafts";
/// Several that come at once may hinder each other for a moment.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

/// A folder that is open.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) identity: String,
    pub(super) drafts: Scratch,
    _lock: File,
}

impl Place {
    /// Opens the folder. Waits a moment for others; not to be called where that holds somebody up.
    pub(super) fn open(root: &Path, boot: &str) -> Result<Self, LaunchError> {
        let disk = |error: io::Error| unavailable(&error);
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(disk)?;
        let space = std::fs::read_link("/proc/self/ns/pid").map_err(disk)?;
        let lock = lock(root, &format!("{boot} {}\n", space.display()))?;
        let drafts = Scratch::open(root.join(DRAFTS)).map_err(disk)?;
        let identity = identity(root, &drafts).map_err(disk)?;
        Ok(Self { identity, drafts, _lock: lock })
    }
}

fn lock(root: &Path, sees: &str) -> Result<File, LaunchError> {
    let disk = |error: io::Error| unavailable(&error);
    let path = root.join(LOCK);
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(disk)?;
    for _ in 0..TRIES {
        file.lock_shared().map_err(disk)?;
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_string(&mut text)).map_err(disk)?;
        if text == sees {
            return Ok(file);
        }
        file.unlock().map_err(disk)?;
        match file.try_lock() {
            Ok(()) => {
                let written = file.set_len(0).and_then(|()| file.seek(SeekFrom::Start(0)));
                written.and_then(|_| file.write_all(sees.as_bytes())).map_err(disk)?;
                file.unlock().map_err(disk)?;
            }
            Err(TryLockError::WouldBlock) => std::thread::sleep(PAUSE),
            Err(TryLockError::Error(error)) => return Err(disk(error)),
        }
    }
    Err(LaunchError::Unavailable(format!(
        "{} is in use by an executor on another machine or in another container, whose processes are not visible \
         from here: give each of them a folder of its own",
        root.display()
    )))
}

/// Made once, with the folder.
fn identity(root: &Path, drafts: &Scratch) -> io::Result<String> {
    let path = root.join(IDENTITY);
    loop {
        match std::fs::read_to_string(&path) {
            Ok(text) => return Ok(text.trim().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let draft = drafts.next();
        std::fs::write(&draft, std::fs::read_to_string("/proc/sys/kernel/random/uuid")?)?;
        File::open(&draft)?.sync_all()?;
        match std::fs::hard_link(&draft, &path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => std::fs::remove_file(&draft)?,
        }
        tiphys_runner::durable::sync_folder(root)?;
    }
}
