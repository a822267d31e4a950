//! The handle and the snapshot.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use secrecy::SecretString;
use tiphys_manifest::load::path::Path;
use tiphys_manifest::{Diagnostic, Kind, Object, Spec, codes};
use tokio::sync::watch;

use crate::held::Reader;

/// Key of an object: kind, namespace (empty for cluster-wide kinds), name (of an object that has none, what its
/// generated names begin with).
pub type Key = (Kind, String, String);

/// The key of an object.
#[must_use]
pub fn key_of(object: &Object) -> Key {
    let namespace = if object.kind.is_cluster_wide() { String::new() } else { object.namespace.clone() };
    let name = if object.name.is_empty() { &object.generate_name } else { &object.name };
    (object.kind, namespace, name.clone())
}

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
        let namespace = if kind.is_cluster_wide() { "" } else { namespace };
        self.objects.get(&(kind, namespace.to_owned(), name.to_owned()))
    }

    /// One value of a Secret or a ConfigMap.
    ///
    /// # Errors
    /// Says which of both is absent, the object or its key.
    pub fn value(&self, kind: Kind, namespace: &str, name: &str, key: &str) -> Result<SecretString, Absent> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        let value = match self.get(kind, &namespace, &name).map(|object| &object.spec) {
            Some(Spec::Secret(secret)) => secret.data.get(key).cloned(),
            Some(Spec::ConfigMap(map)) => map.data.get(key).cloned().map(SecretString::from),
            _ => return Err(Absent::Object { kind, namespace, name }),
        };
        value.ok_or_else(|| Absent::Key { kind, namespace, name, key: key.to_owned() })
    }

    /// All objects of a kind, in order of namespace and name.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Arc<Object>> {
        self.objects.iter().filter(move |((k, _, _), _)| *k == kind).map(|(_, object)| object)
    }
}

/// A value that a manifest names by object and key, and that is not there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Absent {
    /// The object.
    #[error("{kind} `{namespace}/{name}` does not exist; apply it")]
    Object {
        /// Its kind.
        kind: Kind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// The key of an object that is there.
    #[error("{kind} `{namespace}/{name}` has no key `{key}`; add it")]
    Key {
        /// Its kind.
        kind: Kind,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
}

/// The handle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Catalog {
    shared: Arc<Shared>,
}

/// What one feeder gave.
type Origin = (Vec<Arc<Object>>, Vec<Diagnostic>);

#[derive(Debug)]
struct Shared {
    sets: Mutex<Vec<Origin>>,
    readers: Mutex<Vec<Arc<dyn Reader>>>,
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
        Self { shared: Arc::new(Shared { sets: Mutex::default(), readers: Mutex::default(), current }) }
    }

    /// Adds an origin of objects.
    #[must_use]
    pub fn feeder(&self) -> Feeder {
        let mut sets = self.shared.sets.lock().unwrap_or_else(PoisonError::into_inner);
        sets.push((Vec::new(), Vec::new()));
        Feeder { shared: self.shared.clone(), index: sets.len() - 1 }
    }

    /// Adds somebody who reads on demand.
    pub fn read_by(&self, reader: Arc<dyn Reader>) {
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    pub(crate) fn readers(&self) -> Vec<Arc<dyn Reader>> {
        self.shared.readers.lock().unwrap_or_else(PoisonError::into_inner).clone()
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
        let mut sets = self.shared.sets.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(set) = sets.get_mut(self.index) else {
            return;
        };
        if same(&set.0, &objects) && set.1 == diagnostics {
            return;
        }
        *set = (objects, diagnostics);
        let revision = self.shared.current.borrow().revision + 1;
        let next = merge(&sets, revision);
        // Sent under the lock, so that two feeders cannot overtake each other.
        self.shared.current.send_replace(Arc::new(next));
    }
}

/// Whether two sets hold the same objects at the same places.
fn same(old: &[Arc<Object>], new: &[Arc<Object>]) -> bool {
    let alike = |(a, b): (&Arc<Object>, &Arc<Object>)| {
        Arc::ptr_eq(a, b)
            || (key_of(a) == key_of(b) && a.revision == b.revision && a.file == b.file && a.line == b.line)
    };
    old.len() == new.len() && old.iter().zip(new).all(alike)
}

/// All sets as one; of two objects with one key, the later is reported.
fn merge(sets: &[Origin], revision: u64) -> Snapshot {
    let mut next = Snapshot { revision, ..Snapshot::default() };
    for (objects, diagnostics) in sets {
        next.diagnostics.extend(diagnostics.iter().cloned());
        for object in objects {
            match next.objects.entry(key_of(object)) {
                Entry::Vacant(entry) => {
                    entry.insert(object.clone());
                }
                Entry::Occupied(entry) => next.diagnostics.push(shadowed(object, entry.get())),
            }
        }
    }
    next
}

fn shadowed(object: &Object, by: &Object) -> Diagnostic {
    let (kind, _, name) = key_of(object);
    let field = if object.name.is_empty() { "generateName" } else { "name" };
    object.places.at_value(
        codes::DECLARED_TWICE,
        &Path::root().key("metadata").key(field),
        format!("{kind}/{name} is declared in {}:{} already, which is used", by.file, by.line),
        "rename or remove one of them".into(),
    )
}

#[cfg(test)]
mod tests {
    use tiphys_manifest::{LoadOptions, load};

    use super::*;

    fn objects(file: &str, names: &[&str]) -> Vec<Arc<Object>> {
        let text: Vec<String> = names
            .iter()
            .map(|name| format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n"))
            .collect();
        let loaded = load(file, &text.join("---\n"), &LoadOptions::default());
        loaded.objects.into_iter().map(Arc::new).collect()
    }

    #[test]
    fn the_first_feeder_wins_and_the_other_is_told() {
        let catalog = Catalog::new();
        let (first, second) = (catalog.feeder(), catalog.feeder());
        second.replace(objects("api", &["a", "b"]), Vec::new());
        first.replace(objects("a.yaml", &["a"]), Vec::new());
        let snapshot = catalog.snapshot();
        let object = snapshot.get(Kind::ConfigMap, "default", "a").expect("a");
        assert_eq!(object.file, "a.yaml");
        assert!(snapshot.get(Kind::ConfigMap, "default", "b").is_some());
        assert_eq!(snapshot.diagnostics.len(), 1);
        assert_eq!(snapshot.diagnostics[0].file, "api");
        assert!(snapshot.diagnostics[0].message.contains("a.yaml:2"));
        first.replace(Vec::new(), Vec::new());
        assert!(catalog.snapshot().diagnostics.is_empty());
    }

    #[test]
    fn the_same_again_wakes_nobody() {
        let catalog = Catalog::new();
        let feeder = catalog.feeder();
        let mut changed = catalog.changed();
        feeder.replace(objects("a.yaml", &["a"]), Vec::new());
        assert!(changed.has_changed().expect("open"));
        changed.mark_unchanged();
        feeder.replace(objects("a.yaml", &["a"]), Vec::new());
        assert!(!changed.has_changed().expect("open"));
        assert_eq!(catalog.snapshot().revision, 1);
    }
}
