//! Which store a workflow's artifacts go to: an artifact repository, found in ConfigMaps as Argo finds it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tiphys_catalog::Snapshot;
use tiphys_manifest::{Kind, Object, Spec};

use super::location::{Place, unsupported};

/// The ConfigMap that is looked into where a workflow names none.
const CONFIG_MAP: &str = "artifact-repositories";
/// Its annotation that names the key to use.
const DEFAULT: &str = "workflows.argoproj.io/default-artifact-repository";
/// Where an artifact without a key goes.
const FORMAT: &str = "{{workflow.name}}/{{pod.name}}";

/// An artifact repository as a workflow found it when it began; it keeps it, whatever becomes of the ConfigMap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// The ConfigMap.
    pub config_map: String,
    /// Its key.
    pub key: String,
    /// The store, without a key; absent: the executor's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// The folder within it for artifacts that have no key of their own, tags not yet replaced.
    pub format: String,
    /// Whether logs are kept there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive_logs: Option<bool>,
}

/// The repository of a workflow. `None`: the executor's own folder.
///
/// # Errors
/// Says what is missing or wrong, and where.
pub(crate) fn of_workflow(
    reference: Option<&Value>,
    namespace: &str,
    catalog: &Snapshot,
) -> Result<Option<Repository>, String> {
    let named = |member: &str| {
        let text = reference.and_then(|reference| reference.get(member)).and_then(Value::as_str);
        text.filter(|text| !text.is_empty())
    };
    let name = named("configMap").unwrap_or(CONFIG_MAP);
    let is_asked = reference.is_some_and(Value::is_object);
    let Some(object) = catalog.get(Kind::ConfigMap, namespace, name) else {
        if !is_asked {
            return Ok(None);
        }
        return Err(format!(
            "spec.artifactRepositoryRef: ConfigMap {namespace}/{name} does not exist: apply it, or leave the reference \
             out to use the executor's own folder; then retry the workflow"
        ));
    };
    let default = object.annotations.get(DEFAULT).map(String::as_str);
    let Some(key) = named("key").or(default) else {
        return Err(format!(
            "ConfigMap {namespace}/{name} does not say which of its artifact repositories to use: annotate it with \
             {DEFAULT}, or name a key in spec.artifactRepositoryRef"
        ));
    };
    read(object, name, key)
        .map(Some)
        .map_err(|why| format!("artifact repository '{key}' of ConfigMap {namespace}/{name}: {why}"))
}

fn read(object: &Object, name: &str, key: &str) -> Result<Repository, String> {
    let Spec::ConfigMap(map) = &object.spec else {
        return Err("it is no ConfigMap".into());
    };
    let text = map.data.get(key).ok_or("the ConfigMap has no such key")?;
    let document: Map<String, Value> =
        serde_saphyr::from_str(text).map_err(|error| format!("it is not the YAML of a map: {error}"))?;
    let archive_logs = document.get("archiveLogs").and_then(Value::as_bool);
    let (config_map, key) = (name.to_owned(), key.to_owned());
    let store = document.iter().find(|(name, store)| *name != "archiveLogs" && !store.is_null());
    let Some((kind, store)) = store else {
        return Err("it names no store: give it s3, gcs or azure".into());
    };
    let format = |member: &str| store.get(member).and_then(Value::as_str).filter(|text| !text.is_empty());
    let place = match kind.as_str() {
        "local" => None,
        "s3" | "gcs" | "azure" => {
            let mut bare = store.as_object().cloned().ok_or_else(|| format!("{kind} is no map"))?;
            for ours in ["keyFormat", "blobNameFormat", "keyPrefix"] {
                bare.remove(ours);
            }
            let place = Place::of(kind, &Value::Object(bare))?;
            if let Some(member) = place.missing() {
                return Err(format!("{kind}.{member} is missing"));
            }
            Some(place)
        }
        other => return Err(unsupported(other)),
    };
    // What Argo had before `keyFormat`, and still reads.
    let prefix = format("keyPrefix").map(|prefix| format!("{prefix}/{FORMAT}"));
    let format = format("keyFormat").or(format("blobNameFormat")).map(str::to_owned).or(prefix);
    let format = format.unwrap_or_else(|| FORMAT.to_owned());
    Ok(Repository { config_map, key, place, format, archive_logs })
}

impl Repository {
    /// As Argo shows it in a workflow's status.
    pub(crate) fn shown(&self, namespace: &str) -> Value {
        json!({
            "configMap": self.config_map,
            "key": self.key,
            "namespace": namespace,
            "artifactRepository": self.place,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tiphys_catalog::Catalog;
    use tiphys_manifest::load::{LoadOptions, load};

    use super::*;

    const MAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata:
  name: artifact-repositories
  namespace: team
  annotations:
    workflows.argoproj.io/default-artifact-repository: minio
data:
  minio: |
    archiveLogs: true
    s3:
      endpoint: minio:9000
      bucket: results
      insecure: true
      keyFormat: \"{{workflow.creationTimestamp.Y}}/{{workflow.name}}\"
      accessKeySecret: {name: keys, key: id}
  google: |
    gcs: {bucket: results}
  nothing: |
    archiveLogs: false
  ali: |
    oss: {bucket: results}
  half: |
    s3: {bucket: results}
";

    fn catalog() -> Arc<Snapshot> {
        let catalog = Catalog::new();
        let loaded = load("test.yaml", MAP, &LoadOptions::default());
        assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
        catalog.feeder().replace(loaded.objects.into_iter().map(Arc::new).collect(), Vec::new());
        catalog.snapshot()
    }

    #[test]
    fn the_default_of_the_namespace_is_used_unless_another_is_named() {
        let catalog = catalog();
        let found = of_workflow(None, "team", &catalog).unwrap().unwrap();
        assert_eq!((found.key.as_str(), found.archive_logs), ("minio", Some(true)));
        assert_eq!(found.format, "{{workflow.creationTimestamp.Y}}/{{workflow.name}}");
        let Some(Place::S3(s3)) = &found.place else { panic!("{found:?}") };
        assert_eq!(
            (s3.endpoint.as_str(), s3.bucket.as_str(), s3.key.as_str()),
            ("minio:9000", "results", "")
        );
        let google = of_workflow(Some(&json!({"key": "google"})), "team", &catalog).unwrap().unwrap();
        assert_eq!(google.format, FORMAT);
        assert!(matches!(google.place, Some(Place::Gcs(_))));
        assert_eq!(of_workflow(None, "other", &catalog).unwrap(), None);
        let again: Repository = serde_json::from_value(json!(found)).unwrap();
        assert_eq!(again, found);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let catalog = catalog();
        let refused = |reference: Value| of_workflow(Some(&reference), "team", &catalog).unwrap_err();
        let missing = refused(json!({"configMap": "mine"}));
        assert!(missing.contains("ConfigMap team/mine does not exist"), "{missing}");
        for (key, why) in [
            ("none", "no such key"),
            ("nothing", "names no store"),
            ("ali", "`oss` is not supported"),
            ("half", "s3.endpoint is missing"),
        ] {
            let told = refused(json!({"key": key}));
            assert!(told.contains(why) && told.contains(&format!("'{key}'")), "{told}");
        }
    }
}
