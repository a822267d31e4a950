//! What changed between two sets of objects.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tiphys_manifest::{Kind, Object};

use crate::handle::{Key, key_of};

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

/// One object that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What happened.
    pub what: ChangeKind,
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; empty for cluster-wide kinds.
    pub namespace: String,
    /// Its name, or what its name begins with.
    pub name: String,
    /// The file, or `api`.
    pub file: String,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            ChangeKind::Added => "added",
            ChangeKind::Changed => "changed",
            ChangeKind::Removed => "removed",
        };
        write!(f, "{what} {} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// What leads from one set to the other. A move within or between files is no change.
pub(crate) fn between(old: &[Arc<Object>], new: &[Arc<Object>]) -> Vec<Change> {
    let index = |set: &[Arc<Object>]| -> BTreeMap<Key, Arc<Object>> {
        let pairs = set.iter().map(|object| (key_of(object), object.clone()));
        // Of two with one key the first counts, as in the catalog.
        pairs.rev().collect()
    };
    let (old, new) = (index(old), index(new));
    let mut changes = Vec::new();
    for (key, object) in &new {
        match old.get(key) {
            None => changes.push(change(ChangeKind::Added, key, object)),
            Some(before) if before.revision != object.revision => {
                changes.push(change(ChangeKind::Changed, key, object));
            }
            Some(_) => {}
        }
    }
    for (key, object) in old.iter().filter(|(key, _)| !new.contains_key(*key)) {
        changes.push(change(ChangeKind::Removed, key, object));
    }
    changes
}

fn change(what: ChangeKind, (kind, namespace, name): &Key, object: &Object) -> Change {
    Change { what, kind: *kind, namespace: namespace.clone(), name: name.clone(), file: object.file.clone() }
}
