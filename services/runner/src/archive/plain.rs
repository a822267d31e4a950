//! Folders as they are, file by file.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::Limits;
use super::pack::too_large;

/// Copies a file, or a folder with the files and folders below it, to `to`, where nothing is yet. Links, sockets,
/// pipes and devices are left out: a store of objects has no such thing.
///
/// # Errors
/// When something cannot be read or written, or it is more than anybody would take again.
pub fn copy(path: &Path, to: &Path) -> io::Result<()> {
    let Limits { bytes, entries, .. } = Limits::default();
    // Only here a link is followed: it is what the manifest names.
    if std::fs::metadata(path)?.is_dir() {
        folder(path, to, &mut Left { bytes, entries })
    } else {
        file(path, to, &mut Left { bytes, entries })
    }
}

/// What may still be copied.
struct Left {
    bytes: u64,
    entries: u64,
}

fn folder(path: &Path, to: &Path, left: &mut Left) -> io::Result<()> {
    DirBuilder::new().mode(0o755).create(to)?;
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        left.entries = left.entries.checked_sub(1).ok_or_else(too_large)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            folder(&from, &to, left)?;
        } else if kind.is_file() {
            file(&from, &to, left)?;
        }
    }
    Ok(())
}

fn file(path: &Path, to: &Path, left: &mut Left) -> io::Result<()> {
    let mut from = plain_file(path)?;
    let meta = from.metadata()?;
    left.bytes = left.bytes.checked_sub(meta.len()).ok_or_else(too_large)?;
    let mode = meta.permissions().mode() & 0o777 | 0o600;
    let mut to = OpenOptions::new().write(true).create_new(true).mode(mode).open(to)?;
    io::copy(&mut from, &mut to).map(drop)
}

/// Opens a file of the step. Not a pipe or a device: there the runner would wait for a writer, or read for ever.
pub(crate) fn plain_file(path: &Path) -> io::Result<File> {
    let file =
        OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::new(ErrorKind::InvalidInput, "it is no plain file"))
}
