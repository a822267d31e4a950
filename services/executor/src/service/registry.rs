//! Which workflows there are, which of them are live, and which pod is whose.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tiphys_core::{PodKey, Timestamp};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::plan::Seen;
use crate::projection::Key;

/// What wakes the driver of a workflow. It carries no data but the names of what to look at.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    notify: Notify,
    /// Highest sequence in the journal that the follower came across.
    seen: AtomicU64,
    inner: Mutex<Mail>,
}

/// What is to be looked at.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// Pods whose state may have changed.
    pub(super) pods: BTreeSet<PodKey>,
    /// Pods that could not be started.
    pub(super) seen: Vec<Seen>,
    /// Pods that were told to stop; those that wait to be started are not.
    stopping: HashSet<PodKey>,
    /// Pods that were started or wait for it, with the room that they take.
    room: HashMap<PodKey, Option<OwnedSemaphorePermit>>,
    /// Of these, the ones that were handed to the launcher.
    started: HashSet<PodKey>,
}

impl Inbox {
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

    /// The pod ended: its room is free.
    pub(super) fn ended(&self, key: &PodKey) {
        let mut mail = self.lock();
        mail.room.remove(key);
        mail.started.remove(key);
        mail.stopping.remove(key);
    }
}

/// What is known of a workflow that ended.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    pub(super) at: Timestamp,
    /// When its `ttlStrategy` wants it gone.
    pub(super) expires: Option<Timestamp>,
    /// Of a journal whose pods were all tidied up: none.
    pub(super) sequence: u64,
}

/// All workflows.
#[derive(Debug, Default)]
pub(super) struct Registry {
    inner: Mutex<Tables>,
    /// Told when a workflow ended.
    pub(super) finished: Notify,
}

#[derive(Debug, Default)]
struct Tables {
    live: HashMap<Key, Arc<Inbox>>,
    finished: BTreeMap<Key, Finished>,
    pods: HashMap<PodKey, Key>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A record was stored. Gives a new inbox where the workflow has no driver and now needs one.
    pub(super) fn record(&self, key: &Key, sequence: u64, wants: bool) -> Option<Arc<Inbox>> {
        let mut tables = self.lock();
        if let Some(inbox) = tables.live.get(key) {
            inbox.record(sequence);
            return None;
        }
        if !wants {
            return None;
        }
        let inbox = Arc::new(Inbox::default());
        inbox.record(sequence);
        tables.live.insert(key.clone(), inbox.clone());
        Some(inbox)
    }

    /// The driver of a workflow wants to end. False: a record arrived that it has not read.
    pub(super) fn leave(&self, key: &Key, position: u64, finished: Option<Finished>) -> bool {
        let mut tables = self.lock();
        let newer = tables.live.get(key).is_some_and(|inbox| inbox.position() > position);
        if newer {
            return false;
        }
        tables.live.remove(key);
        match finished {
            Some(finished) => tables.finished.insert(key.clone(), finished),
            None => tables.finished.remove(key),
        };
        drop(tables);
        self.finished.notify_one();
        true
    }

    /// A workflow was found that ended earlier.
    pub(super) fn found(&self, key: Key, finished: Finished) {
        self.lock().finished.insert(key, finished);
    }

    /// A workflow goes on that had ended.
    pub(super) fn revived(&self, key: &Key) {
        self.lock().finished.remove(key);
    }

    pub(super) fn own(&self, pod: PodKey, key: &Key) {
        self.lock().pods.insert(pod, key.clone());
    }

    pub(super) fn disown(&self, pod: &PodKey) {
        self.lock().pods.remove(pod);
    }

    /// The inbox of whose pod this is.
    pub(super) fn owner(&self, pod: &PodKey) -> Option<Arc<Inbox>> {
        let tables = self.lock();
        let key = tables.pods.get(pod)?;
        tables.live.get(key).cloned()
    }

    /// The finished workflows, the oldest first.
    pub(super) fn finished(&self) -> Vec<(Key, Finished)> {
        let tables = self.lock();
        let all = tables.finished.iter();
        let mut all: Vec<(Key, Finished)> = all.map(|(k, f)| (k.clone(), f.clone())).collect();
        all.sort_by_key(|(_, finished)| (finished.at, finished.sequence));
        all
    }
}
