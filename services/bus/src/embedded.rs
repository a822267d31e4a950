//! The embedded adapter: a bus in a folder, with no server to install.
//!
//! The folder holds `format` (a number), `lock` (held while the bus is open), `log` (the database),
//! `blobs` (content-addressed files) and `mark` (how far commits were acknowledged). A `torn-…` file is what
//! was cut off the database's journal after a loss of power.

mod folder;
mod journal;
mod load;

use std::path::Path;
use std::sync::Arc;

use self::folder::Folder;
use crate::error::BusError;
use crate::log::LogBus;
use crate::options::Options;
use crate::port::Bus;
use crate::store::disk::{DiskStore, Tables, unavailable};

/// Opens the bus in a folder, making both if they are not there. Blocks while it reads what is known of
/// each message.
///
/// # Errors
/// The folder is in use by another process, of a newer format, damaged, or on a disk that refuses.
pub fn open(folder: &Path, options: Options) -> Result<Arc<dyn Bus>, BusError> {
    let Folder { lock, mark, marked } = Folder::open(folder)?;
    let log = folder.join("log");
    journal::check(&log, folder)?;
    let read = |error| unreadable(folder, error);
    let tables = Tables::open(&log).map_err(unavailable).map_err(read)?;
    let loaded = load::load(&tables).map_err(read)?;
    if let Some(marked) = marked.filter(|marked| *marked > loaded.commits) {
        return Err(BusError::Unavailable {
            reason: format!(
                "the data folder `{}` is damaged: commit {marked} was acknowledged, and only {} are there; \
                 restore a copy, or remove the file `mark` in it to go on with what is left",
                folder.display(),
                loaded.commits
            ),
        });
    }
    let store = DiskStore::new(folder, options.clone(), tables, loaded.commits, mark, lock);
    let bus = LogBus::threaded(options, Arc::new(store), loaded.state)?;
    Ok(Arc::new(bus))
}

/// What the database cannot read, with what to do about it.
fn unreadable(folder: &Path, error: BusError) -> BusError {
    let BusError::Unavailable { reason } = error else { return error };
    BusError::Unavailable {
        reason: format!(
            "the data folder `{}` is damaged, or its disk does not give it; nothing in it was deleted. Restore a \
             copy of it, or move it away to begin with an empty one ({reason})",
            folder.display()
        ),
    }
}
