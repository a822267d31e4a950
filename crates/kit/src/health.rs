//! Liveness and readiness: each part says by itself whether it is ready, and why not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Beginnings of the names of parts that are told, and do not count.
const TOLD: [&str; 2] = ["eventsource/", "role/"];

/// Which parts of the process are ready. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<Parts>>);

#[derive(Debug, Default)]
struct Parts {
    all: BTreeMap<String, Option<String>>,
    /// Those that are told, and do not count.
    told: BTreeSet<String>,
}

impl Health {
    /// Declares a part, not ready until it says so.
    pub fn expect(&self, part: &str) {
        self.set(part, Some("starting".into()));
    }

    /// The part is ready.
    pub fn ready(&self, part: &str) {
        self.set(part, None);
    }

    /// The part is not ready, for this reason.
    pub fn failing(&self, part: &str, reason: impl Into<String>) {
        self.set(part, Some(reason.into()));
    }

    /// From now on the part is told and does not count: the process serves without it.
    pub fn only_tell(&self, part: &str) {
        self.lock().told.insert(part.into());
    }

    /// The part exists no longer.
    pub fn forget(&self, part: &str) {
        self.lock().all.remove(part);
    }

    /// The parts that are not ready, with the reason.
    #[must_use]
    pub fn problems(&self) -> BTreeMap<String, String> {
        let parts = self.lock();
        parts.all.iter().filter_map(|(part, why)| Some((part.clone(), why.clone()?))).collect()
    }

    /// Whether the process can serve. A single source that is down, or another process, does not keep it from that:
    /// those are told, but do not count.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let parts = self.lock();
        let told = |part: &str| {
            TOLD.iter().any(|beginning| part.starts_with(beginning)) || parts.told.contains(part)
        };
        parts.all.iter().all(|(part, why)| why.is_none() || told(part))
    }

    /// All parts, with the reason of those that are not ready.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<String, Option<String>> {
        self.lock().all.clone()
    }

    fn set(&self, part: &str, why: Option<String>) {
        self.lock().all.insert(part.into(), why);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Parts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
