//! How one source is: in the diagnostics, in readiness, and in the log, where one that stays away is told of
//! once in ten seconds at most.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tiphys_core::{Classify as _, chain};
use tiphys_kit::{CancellationToken, Health};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::Error;
use crate::finding::{Findings, Spot};

/// A source that stays away is told of once in this time.
const QUIET: Duration = Duration::from_secs(10);

/// Where a source says how it is. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Report(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    part: String,
    spot: Spot,
    findings: Findings,
    health: Health,
    stop: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    down: bool,
    told: Option<Instant>,
}

impl Report {
    /// For a source that runs until `stop`; after that it has nothing more to say, since its successor may
    /// have the same name.
    pub(crate) fn new(
        part: String,
        spot: Spot,
        findings: Findings,
        health: Health,
        stop: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner { part, spot, findings, health, stop, state: Mutex::default() }))
    }

    /// It is about to start.
    pub(crate) fn begin(&self) {
        self.0.health.failing(&self.name(), "connecting");
    }

    /// The name under which the source stands in readiness.
    fn name(&self) -> String {
        format!("eventsource/{}", self.0.part)
    }

    /// It receives.
    pub(crate) fn up(&self) {
        if self.0.stop.is_cancelled() {
            return;
        }
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.down) {
            info!(source = self.0.part, "the event source receives again");
        }
        state.told = None;
        drop(state);
        self.0.findings.set(&self.0.part, Vec::new());
        self.0.health.ready(&self.name());
    }

    /// It does not receive.
    pub(crate) fn down(&self, error: &Error) {
        if self.0.stop.is_cancelled() {
            return;
        }
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        let tell = state.told.is_none_or(|told| told.elapsed() >= QUIET);
        if tell {
            state.told = Some(Instant::now());
        }
        state.down = true;
        drop(state);
        if tell {
            let (code, help) = (error.code(), error.help());
            warn!(source = self.0.part, code, "the event source is down: {}; {help}", chain(error));
        }
        self.0.findings.replace(&self.0.part, vec![self.0.spot.failure(error)]);
        self.0.health.failing(&self.name(), chain(error));
    }

    /// It exists no longer.
    pub(crate) fn forget(&self) {
        self.0.findings.set(&self.0.part, Vec::new());
        self.0.health.forget(&self.name());
    }
}
