//! Being told by the system that something changed.

use std::path::PathBuf;

use notify::event::{AccessKind, AccessMode, Event, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;
use tracing::warn;

/// A watch on a directory, as far as the system allows one.
pub(super) struct Watch {
    root: PathBuf,
    watcher: Option<RecommendedWatcher>,
    begun: bool,
    /// Said once that there is none.
    warned: bool,
}

impl Watch {
    /// A watch that has not begun. `wake` is told of changes.
    pub(super) fn new(root: PathBuf, wake: mpsc::Sender<()>) -> Self {
        let watcher = notify::recommended_watcher(move |event| {
            if may_have_changed(&event) {
                let _ = wake.try_send(());
            }
        });
        let mut this = Self { root, watcher: None, begun: false, warned: false };
        match watcher {
            Ok(watcher) => this.watcher = Some(watcher),
            Err(error) => this.warn(&error),
        }
        this
    }

    /// Begins the watch where it has not begun. Whether it stands.
    pub(super) fn begin(&mut self) -> bool {
        if let (false, Some(watcher)) = (self.begun, &mut self.watcher) {
            match watcher.watch(&self.root, RecursiveMode::Recursive) {
                Ok(()) => self.begun = true,
                Err(error) => self.warn(&error),
            }
        }
        self.begun
    }

    /// Ends it: a directory that is made anew is another one to the system.
    pub(super) fn end(&mut self) {
        if let Some(watcher) = &mut self.watcher {
            let _ = watcher.unwatch(&self.root);
        }
        self.begun = false;
    }

    fn warn(&mut self, error: &notify::Error) {
        if !std::mem::replace(&mut self.warned, true) {
            warn!(
                directory = %self.root.display(),
                %error,
                "the system tells of no changes here; the directory is read again and again instead"
            );
        }
    }
}

/// Whether there is something to look at. That a file was read is no news: it was probably us.
fn may_have_changed(event: &notify::Result<Event>) -> bool {
    match event {
        Ok(event) => match event.kind {
            EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
            _ => true,
        },
        // Events may be missing.
        Err(_) => true,
    }
}
