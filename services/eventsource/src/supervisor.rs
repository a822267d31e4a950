//! Keeps one source running.

use std::time::Duration;

use serde_json::Value;
use tiphys_core::{Classify as _, Fault};
use tiphys_kit::Backoff;

use crate::kind::{Running, Scope};

/// A source that ran so long before it broke starts with short pauses again.
const HEALTHY: Duration = Duration::from_secs(60);

/// Keeps one source running.
pub(crate) struct Supervisor {
    /// What stands in the manifest.
    pub(crate) config: Value,
    /// How it is run.
    pub(crate) run: fn(&Value, Scope) -> Running,
    /// What surrounds it.
    pub(crate) scope: Scope,
}

impl Supervisor {
    /// Runs it, and again when it breaks: after growing pauses, or, where the fault is in what users wrote, when
    /// something changes there: a missing Secret may come.
    pub(crate) async fn supervise(self) {
        let stop = self.scope.stop.clone();
        let mut changed = self.scope.catalog.changed();
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));
        self.scope.report.begin();
        loop {
            let began = tokio::time::Instant::now();
            changed.mark_unchanged();
            let Err(failure) = (self.run)(&self.config, self.scope.clone()).await else {
                return;
            };
            if stop.is_cancelled() {
                return;
            }
            self.scope.down(&failure);
            if began.elapsed() > HEALTHY {
                backoff.reset();
            }
            let wait = backoff.next_wait();
            let transient = failure.fault() == Fault::Transient;
            tokio::select! {
                () = stop.cancelled() => return,
                _ = changed.changed(), if !transient => {}
                () = tokio::time::sleep(wait), if transient => {}
            }
        }
    }
}
