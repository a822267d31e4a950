//! Secrets and ConfigMaps that other objects name: these are read and no others, and forgotten when nobody names them
//! any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiphys_kit::CancellationToken;
use tiphys_kit::kubernetes::Failure;
use tiphys_manifest::Kind;
use tracing::warn;

use super::{Read, Shared, kind};

/// How often what is named is read again: nothing tells of a change.
const AGAIN: Duration = Duration::from_secs(30);

/// Kind, namespace and name.
type Name = (Kind, String, String);

impl Shared {
    /// Reads what is named now.
    pub(super) async fn read_named(&self) {
        let wanted = self.wanted();
        let mut read: BTreeMap<Name, Read> = BTreeMap::new();
        for name in wanted {
            match self.read_one(&name).await {
                Ok(Some(object)) => {
                    read.insert(name, object);
                }
                Ok(None) => {}
                Err(failure) => {
                    warn!(kind = %name.0, namespace = name.1, name = name.2, %failure, "what a manifest names cannot be read");
                    // What was read before stays in force.
                    let before = self.found().named.get(&name).cloned();
                    if let Some(before) = before {
                        read.insert(name, before);
                    }
                }
            }
        }
        self.found().named = read;
    }

    async fn read_one(&self, (kind, namespace, name): &Name) -> Result<Option<Read>, Failure> {
        let resource = self.cluster.resource(kind.api_version(), kind.as_str()).await?;
        let found = self.cluster.objects(&resource, namespace).get(name).await?;
        Ok(found.map(|object| kind::read(*kind, object)))
    }

    /// Reads again what is named: when something that may name is new, and from time to time.
    pub(super) async fn follow_named(self: Arc<Self>, stop: CancellationToken) {
        let mut before = self.wanted();
        let mut since = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(500)) => {}
            }
            let wanted = self.wanted();
            if wanted == before && since.elapsed() < AGAIN {
                continue;
            }
            (before, since) = (wanted, tokio::time::Instant::now());
            self.read_named().await;
            self.changed.notify_one();
        }
    }

    /// All names in what was found, and in the Workflows that run.
    fn wanted(&self) -> BTreeSet<Name> {
        let mut names = BTreeSet::new();
        {
            let found = self.found();
            let objects = found.kinds.values().flat_map(BTreeMap::values);
            for object in objects.filter_map(|read| read.object.as_ref()) {
                collect(&object.document, &object.namespace, "", &mut names);
            }
        }
        self.workflows.each_spec(|namespace, spec| collect(spec, namespace, "", &mut names));
        names
    }
}

/// Notes the names that a value holds. `key` is what it is called.
fn collect(value: &Value, namespace: &str, key: &str, names: &mut BTreeSet<Name>) {
    let lower = key.to_ascii_lowercase();
    let kind = if lower.contains("configmap") { Kind::ConfigMap } else { Kind::Secret };
    let mut note = |kind: Kind, name: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        // A tag is no name yet.
        if !name.is_empty() && name.chars().all(plain) {
            names.insert((kind, namespace.to_owned(), name.to_owned()));
        }
    };
    match value {
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str);
            let only = |known: &[&str]| members.keys().all(|key| known.contains(&key.as_str()));
            match (text("name"), text("key")) {
                // A selector: `{name, key}`, wherever it stands.
                (Some(name), Some(_)) if only(&["name", "key", "optional"]) => note(kind, name),
                (Some(name), None) if matches!(lower.as_str(), "secretref" | "configmapref") => {
                    note(kind, name)
                }
                _ => {}
            }
            if let Some(name) = text("secretName") {
                note(Kind::Secret, name);
            }
            if lower == "configmap"
                && let Some(name) = text("name")
            {
                note(Kind::ConfigMap, name);
            }
            if lower == "artifactrepositoryref" {
                note(Kind::ConfigMap, text("configMap").unwrap_or("artifact-repositories"));
            }
            for (key, member) in members {
                collect(member, namespace, key, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, namespace, key, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_wherever_manifests_have_them() {
        let document = json!({
            "spec": {
                "webhook": {"a": {"authSecret": {"name": "hook", "key": "token"}}},
                "arguments": {"parameters": [{"name": "p", "value": "key"}, {"name": "q", "valueFrom":
                    {"configMapKeyRef": {"name": "settings", "key": "q"}}}]},
                "templates": [{"name": "t", "container": {
                    "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "db", "key": "dsn", "optional": true}}}],
                    "envFrom": [{"secretRef": {"name": "all"}}, {"configMapRef": {"name": "most"}}],
                }}],
                "volumes": [{"name": "v", "secret": {"secretName": "files"}}, {"name": "w", "configMap": {"name": "maps"}}],
                "artifactRepositoryRef": {"key": "default"},
                "tagged": {"name": "{{x}}", "key": "y"},
            },
        });
        let mut names = BTreeSet::new();
        collect(&document, "ns", "", &mut names);
        let of = |kind: Kind| -> Vec<&str> {
            names.iter().filter(|(k, _, _)| *k == kind).map(|(_, _, name)| name.as_str()).collect()
        };
        assert_eq!(of(Kind::Secret), ["all", "db", "files", "hook"]);
        assert_eq!(of(Kind::ConfigMap), ["artifact-repositories", "maps", "most", "settings"]);
    }
}
