//! What an adapter that keeps its own log can be told.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tiphys_core::{Clock, SystemClock};

/// Settings of the memory and the embedded adapter.
#[derive(Clone)]
pub struct Options {
    /// Stamps messages, ages them, and ends claims.
    pub clock: Arc<dyn Clock>,
    /// A message (subject, headers and payload) may have so many bytes.
    pub max_message: usize,
    /// How often messages are looked at for their age.
    pub look_every: Duration,
    /// How often the positions of consumers are written, where nothing else is written meanwhile.
    pub save_every: Duration,
    /// Embedded only: when the disk has less room than this, publishes are refused, so that what must
    /// still be written (acks, removals, the store's own files) finds room.
    pub reserve: u64,
    /// Embedded only: tells how many bytes the disk of a folder still takes.
    pub free_space: fn(&Path) -> std::io::Result<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            max_message: (1 << 20) + (64 << 10),
            look_every: Duration::from_secs(60),
            save_every: Duration::from_millis(200),
            reserve: 256 << 20,
            free_space,
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("max_message", &self.max_message)
            .field("look_every", &self.look_every)
            .field("save_every", &self.save_every)
            .field("reserve", &self.reserve)
            .finish_non_exhaustive()
    }
}

fn free_space(folder: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}
