//! The data folder: who may use it, and which format it has.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::BusError;
use crate::store::disk::{read_mark, sync_folder, unavailable};

/// The format that this version writes, and the newest it reads.
const FORMAT: u32 = 1;

/// A folder that is in use is waited for so long. Who was killed while it started a child left the lock to that, until
/// the child is the program that it was to be; on a busy machine that takes its time.
const PATIENCE: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(20);

/// A data folder that is ours alone.
pub(super) struct Folder {
    /// Held for as long as the folder is in use.
    pub(super) lock: File,
    pub(super) mark: File,
    /// Number of the last acknowledged commit, where the mark tells.
    pub(super) marked: Option<u64>,
}

impl Folder {
    /// Takes the folder, and makes it where there is none.
    pub(super) fn open(folder: &Path) -> Result<Self, BusError> {
        fs::create_dir_all(folder).map_err(|error| BusError::Unavailable {
            reason: format!("the data folder `{}` cannot be made: {error}", folder.display()),
        })?;
        let lock = take(folder)?;
        check_format(folder)?;
        let mut mark = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join("mark"))
            .map_err(unavailable)?;
        let mut content = Vec::new();
        mark.read_to_end(&mut content).map_err(unavailable)?;
        Ok(Self { lock, marked: read_mark(&content), mark })
    }
}

fn take(folder: &Path) -> Result<File, BusError> {
    let lock =
        OpenOptions::new().write(true).create(true).truncate(false).open(folder.join("lock")).map_err(
            |error| BusError::Unavailable {
                reason: format!("the data folder `{}` cannot be used: {error}", folder.display()),
            },
        )?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => {
                return Err(BusError::Locked { path: folder.display().to_string() });
            }
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
    }
}

/// Reads the format, and writes it where the folder is new. It is there before anything else is, so that
/// records never lie in a folder of unknown format.
fn check_format(folder: &Path) -> Result<(), BusError> {
    let path = folder.join("format");
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return write_format(folder),
        Err(error) => return Err(unavailable(error)),
    };
    match text.trim().parse::<u32>() {
        Ok(FORMAT) => Ok(()),
        Ok(found) if found > FORMAT => Err(BusError::Format { found, known: FORMAT }),
        _ => Err(BusError::Unavailable {
            reason: format!("`{}` holds no known format: `{}`", path.display(), text.trim()),
        }),
    }
}

fn write_format(folder: &Path) -> Result<(), BusError> {
    if folder.join("log").exists() {
        return Err(BusError::Unavailable {
            reason: format!(
                "`{}` holds a `log` and no `format`: it is no data folder, or a damaged one",
                folder.display()
            ),
        });
    }
    let draft = folder.join("format.draft");
    let mut file = File::create(&draft).map_err(unavailable)?;
    writeln!(file, "{FORMAT}")
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&draft, folder.join("format")))
        .and_then(|()| sync_folder(folder))
        .map_err(unavailable)
}
