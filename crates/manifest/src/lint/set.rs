//! The objects that are checked, by what refers to them; and how documents are walked.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::load::path::Path;
use crate::object::{Kind, Object};

/// Objects by kind, namespace and name.
pub(super) struct Set<'a> {
    objects: BTreeMap<(Kind, &'a str, &'a str), &'a Object>,
}

impl<'a> Set<'a> {
    pub(super) fn new(objects: &'a [Arc<Object>]) -> Self {
        let keyed = objects.iter().map(|object| {
            let namespace = if object.kind.is_cluster_wide() { "" } else { object.namespace.as_str() };
            ((object.kind, namespace, object.name.as_str()), &**object)
        });
        Self { objects: keyed.collect() }
    }

    pub(super) fn get(&self, kind: Kind, namespace: &str, name: &str) -> Option<&'a Object> {
        self.objects.get(&(kind, namespace, name)).copied()
    }

    /// Names of a kind in a namespace.
    pub(super) fn names(&self, kind: Kind, namespace: &str) -> Vec<&'a str> {
        let all = self.objects.keys();
        all.filter(|(k, n, _)| *k == kind && *n == namespace).map(|(_, _, name)| *name).collect()
    }
}

/// The text at a key; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The items of the list at a key.
pub(super) fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    let list = value.get(key).and_then(Value::as_array);
    list.map(Vec::as_slice).unwrap_or_default()
}

/// Shows every text below a value, with its path.
pub(super) fn texts<'a>(value: &'a Value, path: &Path, show: &mut dyn FnMut(&Path, &'a str)) {
    match value {
        Value::String(text) => show(path, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, &path.index(index), show);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                texts(item, &path.key(key.clone()), show);
            }
        }
        _ => {}
    }
}
