//! Files that are whole or absent, and survive a loss of power.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes `dir/name` by way of a temporary file; synced, with its folder, when this returns.
///
/// # Errors
/// When the disk refuses.
pub fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    // Two processes may write the same: each a whole one.
    let temporary = dir.join(format!("{name}.new-{}", std::process::id()));
    let mut file = create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, dir.join(name))?;
    sync_folder(dir)
}

/// Makes the names in a folder durable.
///
/// # Errors
/// When the disk refuses.
pub fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Opens a file for writing that only its owner reads, empty.
///
/// # Errors
/// When the disk refuses.
pub fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}
