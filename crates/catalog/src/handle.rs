//! The handle and the snapshot.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tiphys_manifest::{Diagnostic, Kind, Object};
use tokio::sync::watch;

/// Key of an object: kind, namespace (empty for cluster-wide kinds), name.
pub type Key = (Kind, String, String);

/// All objects at one moment.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Grows with each change.
    pub revision: u64,
    /// The objects. Where two feeders give the same key, the one that was added to the catalog first wins.
    pub objects: BTreeMap<Key, Arc<Object>>,
    /// What is wrong with what was read.
    pub diagnostics: Vec<Diagnostic>,
}

impl Snapshot {
    /// One object.
    #[must_use]
    pub fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        let namespace = if kind.is_cluster_wide() {
            ""
        } else {
            namespace
        };
        self.objects
            .get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// All objects of a kind, in order of namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects
            .iter()
            .filter(move |((k, _, _), _)| *k == kind)
            .map(|(_, object)| object)
    }
}

/// The handle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    sets: Mutex<Vec<(Vec<Arc<Object>>, Vec<Diagnostic>)>>,
    current: watch::Sender<Arc<Snapshot>>,
}

/// One origin of objects. Each [`Feeder::replace`] gives the full set of that origin.
#[derive(Debug)]
pub struct Feeder {
    shared: Arc<Shared>,
    index: usize,
}

impl Default for Catalog {
    fn default() -> Self {
        Self::new()
    }
}

impl Catalog {
    /// An empty catalog.
    #[must_use]
    pub fn new() -> Self {
        let (current, _) = watch::channel(Arc::new(Snapshot::default()));
        Self {
            shared: Arc::new(Shared {
                sets: Mutex::new(Vec::new()),
                current,
            }),
        }
    }

    /// Adds an origin of objects.
    #[must_use]
    pub fn feeder(&self) -> Feeder {
        let mut sets = self
            .shared
            .sets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        sets.push((Vec::new(), Vec::new()));
        Feeder {
            shared: self.shared.clone(),
            index: sets.len() - 1,
        }
    }

    /// The newest snapshot.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.current.borrow().clone()
    }

    /// Tells of each new snapshot.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.shared.current.subscribe()
    }
}

impl Feeder {
    /// Replaces all objects and diagnostics of this origin. Nothing happens where they are the same.
    pub fn replace(&self, objects: Vec<Arc<Object>>, diagnostics: Vec<Diagnostic>) {
        let mut sets = self
            .shared
            .sets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(set) = sets.get_mut(self.index) else {
            return;
        };
        *set = (objects, diagnostics);
        let mut next = Snapshot {
            revision: self.shared.current.borrow().revision + 1,
            ..Snapshot::default()
        };
        for (objects, diagnostics) in sets.iter() {
            for object in objects {
                let namespace = if object.kind.is_cluster_wide() {
                    String::new()
                } else {
                    object.namespace.clone()
                };
                next.objects
                    .entry((object.kind, namespace, object.name.clone()))
                    .or_insert_with(|| object.clone());
            }
            next.diagnostics.extend(diagnostics.iter().cloned());
        }
        // Sent under the lock, so that two feeders cannot overtake each other.
        self.shared.current.send_replace(Arc::new(next));
    }
}
