//! A bucket that executors of several machines share, each with a folder of its own.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tiphys_catalog::Catalog;
use tiphys_core::{Clock as _, SystemClock};
use tiphys_executor::artifact::{Location, Place, Settings, Stores, kept};
use tiphys_executor::launcher::{ArtifactStore, LogLine, PodSpec};
use tiphys_executor::logs::{KeptLogs, StepLog};
use tiphys_manifest::load::{LoadOptions, load};
use tiphys_servers::{Moto, moto};

pub(crate) struct Bucket {
    server: Moto,
    namespace: String,
}

impl Bucket {
    /// For workflows of this namespace.
    pub(crate) async fn new(namespace: &str) -> Option<Self> {
        let server = moto()?;
        let made = reqwest::Client::new().put(format!("{}/kept", server.url())).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
        Some(Self { server, namespace: namespace.to_owned() })
    }

    /// The stores of one machine.
    pub(crate) fn machine(&self, folder: &Path) -> Arc<dyn ArtifactStore> {
        let secret = json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": "keys", "namespace": self.namespace},
            "stringData": {"id": "test-access-key", "secret": "test-secret-key"}});
        let loaded = load("test.yaml", &secret.to_string(), &LoadOptions::default());
        let catalog = Catalog::new();
        catalog.feeder().replace(loaded.objects.into_iter().map(Arc::new).collect(), Vec::new());
        Arc::new(Stores::open(folder, catalog, Settings::default()).unwrap())
    }

    /// A pod whose log and reports are kept in the bucket.
    pub(crate) fn keeping(&self, pod: PodSpec) -> PodSpec {
        let authority = self.server.url().trim_start_matches("http://").to_owned();
        let place = json!({"endpoint": authority, "bucket": "kept", "insecure": true,
            "key": format!("tiphys/uid/{}", pod.key),
            "accessKeySecret": {"name": "keys", "key": "id"}, "secretKeySecret": {"name": "keys", "key": "secret"}});
        let place = Place::of("s3", &place).unwrap();
        let folder = Location { namespace: self.namespace.clone(), place }.text().unwrap();
        PodSpec { keeps: Some(folder), ..pod }
    }

    /// The log of a pod, as a machine reads it that has nothing of its own.
    pub(crate) async fn log(&self, pod: &PodSpec) -> Option<Vec<LogLine>> {
        let folder = tempfile::tempdir().unwrap();
        let store = self.machine(&folder.path().join("artifacts"));
        let logs = KeptLogs::open(store, folder.path().join("reading")).unwrap();
        let log = StepLog {
            key: pod.key.clone(),
            kept: kept::within(pod.keeps.as_deref().unwrap(), kept::LOG),
            archived: None,
            finished: Some(SystemClock.now()),
        };
        let lines = logs.lines(&log, 0, usize::MAX).await.unwrap();
        if let Some(lines) = &lines {
            // In parts, it is the same.
            let mut parts = Vec::new();
            while let Some(part) =
                logs.lines(&log, parts.len(), 1).await.unwrap().filter(|part| !part.is_empty())
            {
                parts.extend(part);
            }
            assert_eq!(&parts, lines);
        }
        lines
    }

    /// Keys that the bucket holds.
    pub(crate) async fn keys(&self) -> Vec<String> {
        let url = format!("{}/kept?list-type=2", self.server.url());
        let listed = reqwest::Client::new().get(url).header("Authorization", "Bearer test").send();
        let listed = listed.await.unwrap().error_for_status().unwrap().text().await.unwrap();
        let parts = listed.split("<Key>").skip(1);
        parts.map(|part| part.split("</Key>").next().unwrap().to_owned()).collect()
    }
}
