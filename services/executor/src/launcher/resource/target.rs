//! Which objects a step acts on: what the manifest names, or what the flags do.

use serde_json::Value;
use tiphys_kit::kubernetes::{Failure, Precondition, Resource};

use super::act::Act;

/// One object that is acted on.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) resource: Resource,
    /// Empty for what has none.
    pub(super) namespace: String,
    /// Empty where it is generated.
    pub(super) name: String,
    /// Which object of that name is meant; only a delete asks.
    pub(super) meant: Precondition,
}

fn refused(why: impl Into<String>) -> Failure {
    Failure::Refused(why.into())
}

impl Act<'_> {
    /// The object that a document names.
    pub(super) async fn target(&self, document: &Value) -> Result<Target, Failure> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (api_version, kind) = (text(&document["apiVersion"]), text(&document["kind"]));
        if api_version.is_empty() || kind.is_empty() {
            return Err(refused("the manifest needs apiVersion and kind, and a name"));
        }
        let resource = self.cluster.resource(&api_version, &kind).await?;
        let metadata = &document["metadata"];
        let own = text(&metadata["namespace"]);
        if let Some(flag) = self.flags.namespace.as_ref().filter(|flag| !own.is_empty() && **flag != own) {
            return Err(refused(format!(
                "the manifest says namespace {own} and the flags say {flag}: keep one of the two"
            )));
        }
        let namespace = if own.is_empty() { self.namespace().to_owned() } else { own };
        Ok(Target {
            namespace: if resource.namespaced { namespace } else { String::new() },
            resource,
            name: text(&metadata["name"]),
            meant: Precondition::of(document),
        })
    }

    /// The one object that the manifest or the flags name.
    pub(super) async fn only_target(&self) -> Result<Target, Failure> {
        if let Some(document) = self.documents.first().filter(|document| document.get("kind").is_some()) {
            return self.target(document).await;
        }
        match self.flags.targets.as_slice() {
            [(kind, name)] => self.flagged(kind, name).await,
            [] => Err(refused(
                "neither the manifest nor the flags name an object: give a manifest with kind and name, or the flags TYPE and NAME",
            )),
            _ => Err(refused("the flags name several objects, and this action takes one")),
        }
    }

    async fn flagged(&self, kind: &str, name: &str) -> Result<Target, Failure> {
        let resource = self.cluster.resource_named(kind).await?;
        Ok(Target {
            namespace: if resource.namespaced { self.namespace().to_owned() } else { String::new() },
            resource,
            name: name.to_owned(),
            meant: Precondition::default(),
        })
    }

    /// All objects that are to be deleted.
    pub(super) async fn all_targets(&self) -> Result<Vec<Target>, Failure> {
        let mut all = Vec::new();
        for document in &self.documents {
            all.push(self.target(document).await?);
        }
        for (kind, name) in &self.flags.targets {
            all.push(self.flagged(kind, name).await?);
        }
        if let Some(target) = all.iter().find(|target| target.name.is_empty()) {
            let kind = &target.resource.api.kind;
            return Err(refused(format!(
                "the manifest of the {kind} has no metadata.name: nothing is deleted"
            )));
        }
        let Some(kind) = &self.flags.of_type else { return Ok(all) };
        let selector = self.flags.selector.clone().unwrap_or_default();
        if selector.is_empty() && !self.flags.all {
            return Err(refused(format!(
                "the flags name the type {kind} and no object: add a NAME, --selector, or --all"
            )));
        }
        let some = self.flagged(kind, "").await?;
        let (found, _) = self.objects(&some).await?.list(&selector).await?;
        all.extend(found.iter().map(|object| Target {
            name: object["metadata"]["name"].as_str().unwrap_or_default().to_owned(),
            // What is listed is meant, and nothing that takes its name afterwards.
            meant: Precondition::of(&serde_json::json!({"metadata": {"uid": object["metadata"]["uid"]}})),
            ..some.clone()
        }));
        Ok(all)
    }

    /// Where objects are looked for that say nothing of it.
    fn namespace(&self) -> &str {
        self.flags.namespace.as_deref().unwrap_or(&self.pod.namespace)
    }
}
