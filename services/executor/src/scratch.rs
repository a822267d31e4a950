//! Half-made things, in a folder that several processes may share: made here, then moved to their place.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tiphys_runner::proc;

/// One counter for the process, so that two users of a folder never meet.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Such a folder.
#[derive(Debug, Clone)]
pub(crate) struct Scratch {
    folder: PathBuf,
    /// This process: its number, and when it began, as numbers are used again.
    own: String,
}

impl Scratch {
    /// Makes the folder, and removes what processes left there that are gone.
    pub(crate) fn open(folder: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_name().to_str().is_some_and(is_made) {
                continue;
            }
            let removed = match entry.file_type()?.is_dir() {
                true => std::fs::remove_dir_all(entry.path()),
                false => std::fs::remove_file(entry.path()),
            };
            absent(removed)?;
        }
        let pid = i32::try_from(std::process::id()).unwrap_or_default();
        let start = proc::stat(pid).map_or(0, |stat| stat.start);
        Ok(Self { folder, own: format!("{pid}-{start}") })
    }

    /// A name that nobody else uses.
    pub(crate) fn next(&self) -> PathBuf {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{}-{number}", self.own))
    }
}

/// Whether its maker still lives.
fn is_made(name: &str) -> bool {
    let mut parts = name.split('-');
    let maker = parts.next().and_then(|pid| pid.parse().ok()).and_then(proc::stat);
    let start = parts.next().and_then(|start| start.parse::<u64>().ok());
    maker.is_some_and(|stat| Some(stat.start) == start && stat.state != 'Z')
}

/// Nothing to remove is as good as removed.
pub(crate) fn absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a folder with all that is in it.
pub(crate) fn remove(folder: &Path) -> io::Result<()> {
    absent(std::fs::remove_dir_all(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_living_make_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let scratch = Scratch::open(dir.path().join("s")).unwrap();
        let (ours, dead) = (scratch.next(), dir.path().join("s/1-1-0"));
        std::fs::write(&ours, "half").unwrap();
        std::fs::create_dir(&dead).unwrap();
        let other = Scratch::open(dir.path().join("s")).unwrap();
        assert!(ours.exists() && !dead.exists());
        assert_ne!(scratch.next(), other.next());
    }
}
