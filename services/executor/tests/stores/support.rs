//! Stores with Secrets, and references to places in them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tiphys_catalog::Catalog;
use tiphys_executor::artifact::{Location, Place, Settings, Stores};
use tiphys_executor::launcher::{ArtifactStore, Fetched, LaunchError};
use tiphys_manifest::load::{LoadOptions, load};

pub(crate) struct Host {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) stores: Stores,
}

impl Host {
    /// With one Secret `keys`, of these keys and values.
    pub(crate) fn new(keys: &[(&str, &str)]) -> Self {
        Self::with(keys, Settings::default())
    }

    pub(crate) fn with(keys: &[(&str, &str)], settings: Settings) -> Self {
        let values: Value =
            keys.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        let secret = serde_json::json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "keys", "namespace": "team"}, "stringData": values});
        let loaded = load("test.yaml", &secret.to_string(), &LoadOptions::default());
        let catalog = Catalog::new();
        catalog.feeder().replace(loaded.objects.into_iter().map(Arc::new).collect(), Vec::new());
        let dir = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        let stores = Stores::open(&dir.path().join("store"), catalog, Settings { path, ..settings }).unwrap();
        Self { dir, stores }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new file.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// What lies there, as text.
    pub(crate) async fn text(&self, key: &str) -> Result<String, LaunchError> {
        self.stores.get(key).await.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    /// Fetches a folder, and lists its files with their contents.
    pub(crate) async fn folder(&self, key: &str, name: &str) -> Vec<String> {
        let to = self.path(name);
        assert_eq!(self.stores.fetch(key, to.clone()).await.unwrap(), Fetched::Folder);
        listing(&to, "")
    }

    /// What fails, in words.
    pub(crate) async fn refusal(&self, key: &str) -> String {
        self.text(key).await.unwrap_err().to_string()
    }
}

pub(crate) fn listing(folder: &Path, within: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("{within}{}", path.file_name().unwrap().to_str().unwrap());
        if path.is_dir() && !path.is_symlink() {
            all.extend(listing(&path, &format!("{name}/")));
        } else {
            all.push(format!("{name} {}", std::fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    all.sort();
    all
}

/// The reference to a place of the workflows of namespace `team`.
pub(crate) fn at(kind: &str, place: &Value) -> String {
    let place = Place::of(kind, place).unwrap();
    Location { namespace: "team".into(), place }.text().unwrap()
}
