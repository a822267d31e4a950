//! What wakes the driver of a workflow, and what it keeps in mind of pods.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tiphys_core::PodKey;
use tiphys_kit::CancellationToken;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::plan::Seen;

/// What wakes the driver of a workflow. It carries no data but the names of what to look at.
#[derive(Debug)]
pub(super) struct Inbox {
    notify: Notify,
    /// Highest sequence in the journal that the follower came across.
    seen: AtomicU64,
    inner: Mutex<Mail>,
    /// The launcher that has its pods, once there is one.
    launcher: OnceLock<Arc<str>>,
    /// The workflow is let go: another executor's from now on, or this one ends.
    pub(super) stop: CancellationToken,
    /// The driver has ended.
    pub(super) over: CancellationToken,
}

/// What is to be looked at.
#[derive(Debug, Default)]
struct Mail {
    /// Pods whose state may have changed.
    pods: BTreeSet<PodKey>,
    /// Pods that could not be started.
    seen: Vec<Seen>,
    /// Pods that were told to stop; those that wait to be started are not.
    stopping: HashSet<PodKey>,
    /// Pods that were started or wait for it, with the room that they take.
    room: HashMap<PodKey, Option<OwnedSemaphorePermit>>,
    /// Of these, the ones that were handed to the launcher.
    started: HashSet<PodKey>,
}

impl Inbox {
    pub(super) fn new(stop: CancellationToken, sequence: u64, launcher: Option<Arc<str>>) -> Self {
        Self {
            notify: Notify::new(),
            seen: AtomicU64::new(sequence),
            inner: Mutex::default(),
            launcher: launcher.map(OnceLock::from).unwrap_or_default(),
            stop,
            over: CancellationToken::new(),
        }
    }

    /// The workflow is bound to this launcher.
    pub(super) fn bind(&self, launcher: Option<&Arc<str>>) {
        if let Some(launcher) = launcher {
            let _ = self.launcher.set(launcher.clone());
        }
    }

    pub(super) fn launcher(&self) -> Option<Arc<str>> {
        self.launcher.get().cloned()
    }

    pub(super) async fn woken(&self) {
        self.notify.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Mail> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record stands in the journal.
    pub(super) fn record(&self, sequence: u64) {
        self.seen.fetch_max(sequence, Ordering::AcqRel);
        self.notify.notify_one();
    }

    pub(super) fn position(&self) -> u64 {
        self.seen.load(Ordering::Acquire)
    }

    /// A pod may have changed.
    pub(super) fn pod(&self, key: PodKey) {
        self.lock().pods.insert(key);
        self.notify.notify_one();
    }

    /// Something is known of a pod that the launcher does not know.
    pub(super) fn seen(&self, seen: Seen) {
        self.lock().seen.push(seen);
        self.notify.notify_one();
    }

    /// Takes what is to be looked at.
    pub(super) fn take(&self) -> (BTreeSet<PodKey>, Vec<Seen>) {
        let mut mail = self.lock();
        (std::mem::take(&mut mail.pods), std::mem::take(&mut mail.seen))
    }

    /// Puts back what could not be dealt with.
    pub(super) fn put_back(&self, pods: impl IntoIterator<Item = PodKey>, seen: Vec<Seen>) {
        let mut mail = self.lock();
        mail.pods.extend(pods);
        mail.seen.extend(seen);
    }

    /// The pod waits to be started. False: it does already, or was started.
    pub(super) fn waits(&self, key: &PodKey) -> bool {
        let mut mail = self.lock();
        let new = !mail.room.contains_key(key);
        if new {
            mail.room.insert(key.clone(), None);
        }
        new
    }

    /// Whether the pod was started, or waits for it.
    pub(super) fn knows(&self, key: &PodKey) -> bool {
        self.lock().room.contains_key(key)
    }

    /// The pod is about to be started, in this room. False: it was told to stop before.
    pub(super) fn starts(&self, key: &PodKey, room: Option<OwnedSemaphorePermit>) -> bool {
        let mut mail = self.lock();
        if mail.stopping.contains(key) {
            return false;
        }
        mail.room.insert(key.clone(), room);
        mail.started.insert(key.clone());
        true
    }

    /// The pod was found running.
    pub(super) fn runs(&self, key: &PodKey) {
        let mut mail = self.lock();
        mail.room.entry(key.clone()).or_default();
        mail.started.insert(key.clone());
    }

    /// The pod is told to stop, for the first time. True: it was started, so that the launcher must be told.
    pub(super) fn stops(&self, key: &PodKey) -> bool {
        let mut mail = self.lock();
        mail.stopping.insert(key.clone()) && mail.started.contains(key)
    }

    /// Whether the pod was told to stop.
    pub(super) fn is_stopping(&self, key: &PodKey) -> bool {
        self.lock().stopping.contains(key)
    }

    /// The pod ended: its room is free.
    pub(super) fn ended(&self, key: &PodKey) {
        let mut mail = self.lock();
        mail.room.remove(key);
        mail.started.remove(key);
        mail.stopping.remove(key);
    }
}
