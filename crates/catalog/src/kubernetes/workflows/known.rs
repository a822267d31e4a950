//! What is kept in mind of the Workflow objects.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};
use tokio::sync::Notify;

/// Written by Argo and by us: what stands there is over.
pub(super) const COMPLETED: &str = "workflows.argoproj.io/completed";
/// What Argo calls the phase.
pub(super) const PHASE: &str = "workflows.argoproj.io/phase";

/// Namespace and name.
pub(super) type Key = (String, String);

/// The Workflow objects of the cluster.
#[derive(Default)]
pub(super) struct Workflows {
    tables: Mutex<Tables>,
    /// How often all objects were begun to be read, and how often that had been when it last came to an end.
    lists: (AtomicU64, AtomicU64),
    /// Something is to be looked at.
    pub(super) news: Notify,
}

#[derive(Default)]
struct Tables {
    known: HashMap<Key, Known>,
    /// Workflows whose status is to be looked at.
    fresh: Vec<Key>,
    /// Those whose objects were deleted by hand: they get no other while they end.
    going: HashSet<Key>,
    /// Objects, by uid, that are to go and could not be deleted.
    stale: Vec<(Key, String)>,
}

/// What is kept in mind of one object.
#[derive(Clone, Default)]
pub(super) struct Known {
    /// The object's.
    pub(super) uid: String,
    /// The uid of its workflow: the object's own, unless the object was made for a workflow that was there before.
    pub(super) workflow: String,
    /// The version of it that is known.
    pub(super) version: String,
    /// Its labels and status as the cluster has them. Null once it is over.
    pub(super) live: Value,
    pub(super) suspended: bool,
    pub(super) shutdown: String,
    /// Its workflow is run here.
    pub(super) ours: bool,
}

impl Workflows {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, key: &Key) -> Option<Known> {
        self.lock().known.get(key).cloned()
    }

    /// Names and uids of all.
    pub(super) fn uids(&self) -> Vec<(Key, String)> {
        self.lock().known.iter().map(|(key, known)| (key.clone(), known.uid.clone())).collect()
    }

    /// Those that are to be looked at since it was asked last.
    pub(super) fn fresh(&self) -> Vec<Key> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// Has these looked at.
    pub(super) fn look_at(&self, keys: impl IntoIterator<Item = Key>) {
        self.lock().fresh.extend(keys);
        self.news.notify_one();
    }

    pub(super) fn insert(&self, key: Key, known: Known) {
        self.lock().known.insert(key, known);
    }

    pub(super) fn forget(&self, key: &Key) {
        self.lock().known.remove(key);
    }

    /// The object was deleted by hand.
    pub(super) fn goes(&self, key: &Key) {
        let mut tables = self.lock();
        tables.known.remove(key);
        tables.going.insert(key.clone());
    }

    pub(super) fn is_going(&self, key: &Key) -> bool {
        self.lock().going.contains(key)
    }

    /// Its workflow is gone. What was known of its object.
    pub(super) fn gone(&self, key: &Key) -> Option<Known> {
        let mut tables = self.lock();
        tables.going.remove(key);
        tables.known.remove(key)
    }

    /// An object could not be deleted now.
    pub(super) fn stays(&self, key: &Key, uid: &str) {
        self.lock().stale.push((key.clone(), uid.to_owned()));
        self.news.notify_one();
    }

    /// Whether an object is to be deleted once more.
    pub(super) fn has_stale(&self) -> bool {
        !self.lock().stale.is_empty()
    }

    /// Those that are, since it was asked last.
    pub(super) fn stale(&self) -> Vec<(Key, String)> {
        std::mem::take(&mut self.lock().stale)
    }

    /// Changes what is known of the object of this uid. Answers what is known then.
    pub(super) fn change(&self, key: &Key, uid: &str, change: impl FnOnce(&mut Known)) -> Option<Known> {
        let mut tables = self.lock();
        let known = tables.known.get_mut(key).filter(|known| known.uid == uid)?;
        change(known);
        Some(known.clone())
    }

    /// All objects are read from now on.
    pub(super) fn are_being_listed(&self) {
        self.lists.0.fetch_add(1, Ordering::AcqRel);
    }

    /// All objects were read.
    pub(super) fn are_listed(&self) {
        self.lists.1.store(self.lists.0.load(Ordering::Acquire), Ordering::Release);
    }

    /// Whether all objects were read once, so that one that is not known is not there.
    pub(super) fn is_listed(&self) -> bool {
        self.lists.1.load(Ordering::Acquire) > 0
    }

    /// Which list the news are followed from; none while there is to be another.
    pub(super) fn list(&self) -> Option<u64> {
        let (begun, ended) = (self.lists.0.load(Ordering::Acquire), self.lists.1.load(Ordering::Acquire));
        (begun == ended).then_some(begun)
    }
}

impl Known {
    /// An object as it was read.
    pub(super) fn of(object: &Value) -> Self {
        Self {
            uid: text(&object["metadata"]["uid"]),
            workflow: text(&object["metadata"]["uid"]),
            version: text(&object["metadata"]["resourceVersion"]),
            live: live_of(object),
            suspended: object["spec"]["suspend"].as_bool().unwrap_or_default(),
            shutdown: text(&object["spec"]["shutdown"]),
            ours: false,
        }
    }

    /// Whether an object is older than what is known: answers and news overtake each other.
    pub(super) fn is_newer_than(&self, object: &Value) -> bool {
        let number = |version: &str| version.parse::<u128>().ok();
        let theirs = object["metadata"]["resourceVersion"].as_str().and_then(number);
        matches!((number(&self.version), theirs), (Some(ours), Some(theirs)) if ours > theirs)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Whether an object says that its workflow is over.
pub(super) fn is_over(object: &Value) -> bool {
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    object["metadata"]["labels"][COMPLETED] == "true" || matches!(phase, "Succeeded" | "Failed" | "Error")
}

/// What of an object is written by us.
pub(super) fn live_of(object: &Value) -> Value {
    let labels = &object["metadata"]["labels"];
    let labels: Map<String, Value> = [PHASE, COMPLETED]
        .into_iter()
        .filter(|name| labels[*name].is_string())
        .map(|name| (name.to_owned(), labels[name].clone()))
        .collect();
    json!({"labels": labels, "status": object["status"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_version_is_told_from_a_newer_one() {
        let object = |version: &str| json!({"metadata": {"resourceVersion": version}});
        let known = Known::of(&object("1000"));
        assert!(known.is_newer_than(&object("999")));
        assert!(!known.is_newer_than(&object("1000")));
        assert!(!known.is_newer_than(&object("1001")));
        // What cannot be compared is taken for news.
        assert!(!known.is_newer_than(&object("a")));
    }
}
