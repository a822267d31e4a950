//! Secrets and ConfigMaps that other objects name: these are read and no others, and forgotten when nobody names them
//! any more.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiphys_kit::kubernetes::Failure;
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::{Kind, Object, Spec};
use tracing::warn;

use super::{Found, Read, Shared, kind};
use crate::held::{Holding, Reader};

/// How often what is named is read again: nothing tells of a change.
const AGAIN: Duration = Duration::from_secs(30);
/// A workflow waits so long for what it names while the cluster is away, and then begins without.
const PATIENCE: Duration = Duration::from_secs(30);
/// A ConfigMap with artifact repositories names Secrets, and those name nothing.
const ROUNDS: usize = 3;

/// Kind, namespace and name.
pub(super) type Name = (Kind, String, String);

/// What workflows name that are driven here.
#[derive(Default)]
pub(super) struct Holds {
    last: u64,
    names: BTreeMap<u64, BTreeSet<Name>>,
}

/// Reads what a workflow names when it begins.
pub(super) struct OnDemand(pub(super) Arc<Shared>);

/// Lets go what a workflow names.
struct Hold {
    shared: Arc<Shared>,
    number: u64,
}

impl std::fmt::Debug for OnDemand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OnDemand")
    }
}

impl Reader for OnDemand {
    fn hold(&self, namespace: &str, document: &Value) -> Holding {
        let mut names = BTreeSet::new();
        collect(document, namespace, "", &mut names);
        self.0.found().of_cluster_templates(document, namespace, &mut names);
        let shared = self.0.clone();
        Box::pin(async move {
            if names.is_empty() {
                return None;
            }
            let hold = shared.clone().keep(names);
            let read = tokio::time::timeout(PATIENCE, shared.read_missing(hold.number)).await;
            if read.is_err() {
                warn!("a workflow begins without what it names, because the cluster does not answer");
            }
            shared.tell();
            Some(Box::new(hold) as Box<dyn Any + Send + Sync>)
        })
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.found().held.names.remove(&self.number);
    }
}

impl Found {
    /// Names in cluster-wide templates mean objects of the namespace of the workflow that uses them.
    fn of_cluster_templates(&self, document: &Value, namespace: &str, names: &mut BTreeSet<Name>) {
        let Some(templates) = self.kinds.get(&Kind::ClusterWorkflowTemplate) else { return };
        let (mut open, mut known) = (BTreeSet::new(), BTreeSet::new());
        references(document, &mut open);
        while let Some(name) = open.pop_first() {
            if !known.insert(name.clone()) {
                continue;
            }
            let key = (String::new(), name);
            if let Some(object) = templates.get(&key).and_then(|read| read.object.as_ref()) {
                collect(&object.document, namespace, "", names);
                references(&object.document, &mut open);
            }
        }
    }

    /// What the ConfigMaps among these name in turn.
    fn of_repositories(&self, names: &mut BTreeSet<Name>) {
        let mut more = BTreeSet::new();
        for name in names.iter() {
            let object = self.named.get(name).and_then(|read| read.object.as_deref());
            if let Some(Object { spec: Spec::ConfigMap(map), namespace, .. }) = object {
                for text in map.data.values().filter(|text| text.contains("Secret")) {
                    let documents = tiphys_manifest::load::values(text).unwrap_or_default();
                    documents.iter().for_each(|document| collect(document, namespace, "", &mut more));
                }
            }
        }
        names.extend(more);
    }
}

impl Shared {
    fn keep(self: Arc<Self>, names: BTreeSet<Name>) -> Hold {
        let mut found = self.found();
        found.held.last += 1;
        let number = found.held.last;
        found.held.names.insert(number, names);
        drop(found);
        Hold { shared: self, number }
    }

    /// Reads what is held under a number, and not read yet.
    async fn read_missing(&self, number: u64) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        let mut tried = BTreeSet::new();
        loop {
            let missing: Vec<Name> = {
                let found = self.found();
                let mut names = found.held.names.get(&number).cloned().unwrap_or_default();
                found.of_repositories(&mut names);
                names
                    .into_iter()
                    .filter(|name| !found.named.contains_key(name) && !tried.contains(name))
                    .collect()
            };
            if missing.is_empty() {
                return;
            }
            for name in missing {
                match self.read_one(&name).await {
                    Ok(Some(object)) => drop(self.found().named.insert(name, object)),
                    Err(Failure::Unavailable(_)) => tokio::time::sleep(backoff.next_wait()).await,
                    Ok(None) => drop(tried.insert(name)),
                    Err(failure) => {
                        not_read(&name, &failure);
                        tried.insert(name);
                    }
                }
            }
        }
    }

    /// Reads what is named now.
    pub(super) async fn read_named(&self) {
        let (mut read, mut asked) = (BTreeMap::new(), BTreeSet::new());
        for _ in 0..ROUNDS {
            let wanted = self.wanted();
            let new: Vec<Name> = wanted.into_iter().filter(|name| !asked.contains(name)).collect();
            for name in new {
                asked.insert(name.clone());
                match self.read_one(&name).await {
                    Ok(Some(object)) => drop(read.insert(name, object)),
                    Ok(None) => {}
                    Err(failure) => {
                        not_read(&name, &failure);
                        // What was read before stays in force.
                        let before = self.found().named.get(&name).cloned();
                        read.extend(before.map(|before| (name, before)));
                    }
                }
            }
            // What was read may name more.
            self.found().named.extend(read.clone());
        }
        let mut found = self.found();
        // A workflow that began meanwhile has read what it names.
        let mut held: BTreeSet<Name> = found.held.names.values().flatten().cloned().collect();
        found.of_repositories(&mut held);
        found.named.retain(|name, _| read.contains_key(name) || !asked.contains(name) && held.contains(name));
    }

    async fn read_one(&self, (kind, namespace, name): &Name) -> Result<Option<Read>, Failure> {
        let found = self.objects_in(*kind, namespace).await?.get(name).await?;
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
            self.read_named().await;
            (before, since) = (self.wanted(), tokio::time::Instant::now());
            self.changed.notify_one();
        }
    }

    /// All names in what was found, and in the workflows that are driven here.
    fn wanted(&self) -> BTreeSet<Name> {
        let mut names = BTreeSet::new();
        let found = self.found();
        let resolved = |kind: &Kind| self.config.resolved.contains(kind) && !kind.is_cluster_wide();
        let kinds = found.kinds.iter().filter(|(kind, _)| resolved(kind));
        for object in kinds.flat_map(|(_, objects)| objects.values()).filter_map(|read| read.object.as_ref())
        {
            collect(&object.document, &object.namespace, "", &mut names);
        }
        names.extend(found.held.names.values().flatten().cloned());
        found.of_repositories(&mut names);
        names
    }
}

fn not_read(name: &Name, failure: &Failure) {
    warn!(kind = %name.0, namespace = name.1, name = name.2, %failure, "what a manifest names cannot be read");
}

/// Notes the cluster-wide templates that a document uses.
fn references(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let name = members.get("name").and_then(Value::as_str);
            if let (Some(name), Some(Value::Bool(true))) = (name, members.get("clusterScope")) {
                names.insert(name.to_owned());
            }
            members.values().for_each(|member| references(member, names));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, names)),
        _ => {}
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
