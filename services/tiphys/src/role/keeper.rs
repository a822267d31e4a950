//! What the bus service does once the streams are there: it makes room in them, looks whether they still are, and tells
//! what is unsafe about the server.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tiphys_bus::{Bus, Finding, StreamConfig};
use tiphys_core::chain;
use tiphys_kit::{CancellationToken, Health};
use tiphys_manifest::{Diagnostic, diagnostic::Severity};
use tokio::time::Instant;
use tracing::{info, warn};

use super::connect::PART;

/// Room is made so often.
const TEND: Duration = Duration::from_secs(1);
/// The streams and the server are looked at so often.
const LOOK: Duration = Duration::from_secs(30);
/// What goes wrong each second is told of once in this time.
const QUIET: Duration = Duration::from_secs(10);

/// Looks after a bus.
pub(super) struct Keeper {
    bus: Arc<dyn Bus>,
    streams: Vec<StreamConfig>,
    health: Health,
    found: Found,
}

/// What was found, for the status.
#[derive(Clone)]
pub(super) struct Found {
    /// Of the EventBus object.
    fixed: Arc<Vec<Diagnostic>>,
    now: Arc<Mutex<Vec<Finding>>>,
}

impl Found {
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        self.fixed.iter().cloned().chain(now.iter().map(diagnostic)).collect()
    }
}

fn diagnostic(finding: &Finding) -> Diagnostic {
    Diagnostic {
        code: finding.code.into(),
        severity: Severity::Warning,
        file: "NATS".into(),
        line: 0,
        column: 0,
        path: String::new(),
        object: String::new(),
        message: finding.message.clone(),
        help: finding.help.into(),
        source: String::new(),
    }
}

impl Keeper {
    pub(super) fn new(
        bus: Arc<dyn Bus>,
        streams: Vec<StreamConfig>,
        of_object: Vec<Diagnostic>,
        health: Health,
    ) -> (Self, Found) {
        let found = Found { fixed: Arc::new(of_object), now: Arc::default() };
        (Self { bus, streams, health, found: found.clone() }, found)
    }

    /// Until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) -> Result<(), Infallible> {
        for finding in self.found.fixed.iter() {
            warn!("{}", tiphys_manifest::diagnostic::short(finding));
        }
        let (mut looked, mut told) = (None::<Instant>, None::<Instant>);
        loop {
            if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                // What is away is looked for again at once.
                looked = self.look().await.then(Instant::now);
            }
            if let Err(error) = self.bus.tend().await
                && told.is_none_or(|told| told.elapsed() >= QUIET)
            {
                warn!("no room is made in the streams: {}", chain(&error));
                told = Some(Instant::now());
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(TEND) => {}
            }
        }
    }

    /// A stream that is gone is told of, never made again in silence. Whether all are there.
    async fn look(&self) -> bool {
        let mut wrong = None;
        for stream in &self.streams {
            if let Err(error) = self.bus.info(&stream.name).await {
                wrong = Some(chain(&error));
                break;
            }
        }
        match wrong {
            None => self.health.ready(PART),
            // What is unsafe about a server that is away nobody knows: what was known stays.
            Some(why) => {
                self.health.failing(PART, why);
                return false;
            }
        }
        let found = self.bus.findings().await;
        let mut now = self.found.now.lock().unwrap_or_else(PoisonError::into_inner);
        for finding in found.iter().filter(|finding| !now.contains(finding)) {
            warn!(code = finding.code, "{}; {}", finding.message, finding.help);
        }
        for finding in now.iter().filter(|finding| !found.contains(finding)) {
            info!(code = finding.code, "no longer so: {}", finding.message);
        }
        *now = found;
        true
    }
}
