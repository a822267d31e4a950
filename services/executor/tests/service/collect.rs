//! `artifactGC`, whatever happens between the end of a workflow and the removal.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tiphys_catalog::Catalog;
use tiphys_core::workflow::Verb;
use tiphys_executor::Config;
use tiphys_executor::launcher::{ArtifactStore, Fetched, LaunchError};
use tiphys_manifest::load::{LoadOptions, load};

use crate::gate::Gate;
use crate::stage::{Fake, bus, executor, until};

/// A store that removes, if it is let.
#[derive(Default)]
struct Store {
    removed: Mutex<Vec<String>>,
    refuses: AtomicBool,
    /// Closed: removals wait.
    gate: Gate,
    asked: AtomicBool,
}

#[async_trait]
impl ArtifactStore for Store {
    async fn put(&self, _: &str, _: PathBuf) -> Result<(u64, String), LaunchError> {
        Ok((0, String::new()))
    }

    async fn get(&self, _: &str) -> Result<Bytes, LaunchError> {
        Ok(Bytes::new())
    }

    async fn fetch(&self, _: &str, _: PathBuf) -> Result<Fetched, LaunchError> {
        Ok(Fetched::File)
    }

    async fn remove(&self, prefix: &str) -> Result<(), LaunchError> {
        self.asked.store(true, Ordering::SeqCst);
        self.gate.pass().await;
        if self.refuses.load(Ordering::SeqCst) && !prefix.ends_with('/') {
            return Err(LaunchError::Missing("the store refuses".into()));
        }
        self.removed.lock().unwrap().push(prefix.to_owned());
        Ok(())
    }
}

fn config(store: &Arc<Store>) -> Config {
    Config { artifacts: Some(store.clone()), ..Config::default() }
}

fn making(gc: &Value) -> Value {
    let artifact = |name: &str, strategy: &str| {
        let own = if strategy.is_empty() { Value::Null } else { json!({ "strategy": strategy }) };
        json!({"name": name, "path": format!("/{name}"), "s3": {"key": name}, "artifactGC": own})
    };
    let outputs = [
        artifact("whole", ""),
        artifact("completion", "OnWorkflowCompletion"),
        artifact("deletion", "OnWorkflowDeletion"),
        artifact("never", "Never"),
    ];
    json!({"entrypoint": "a", "artifactGC": gc, "templates": [
        {"name": "a", "container": {"image": "x", "command": ["x"]}, "outputs": {"artifacts": outputs}}
    ]})
}

fn removed(store: &Store) -> Vec<String> {
    let mut removed = store.removed.lock().unwrap().clone();
    removed.sort();
    removed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_was_cut_off_is_done_by_the_next_executor() {
    let store = Arc::new(Store::default());
    store.gate.close();
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), config(&store));
    stage.submit("w", making(&json!({"strategy": "OnWorkflowCompletion"}))).await;
    stage.phase("w", "Succeeded").await;
    until(async || store.asked.load(Ordering::SeqCst).then_some(())).await;
    let (bus, launcher) = stage.end().await;
    assert!(removed(&store).is_empty());
    store.gate.open();
    let stage = executor(bus, Catalog::new(), launcher.beside(), config(&store));
    let due = ["ns/completion", "ns/whole"];
    until(async || (removed(&store) == due).then_some(())).await;
    // Once it is written down, nobody does it again.
    stage.submit("next", making(&Value::Null)).await;
    until(async || (removed(&store).len() == 3).then_some(())).await;
    let (bus, launcher) = stage.end().await;
    let stage = executor(bus, Catalog::new(), launcher.beside(), config(&store));
    stage.command("w", Verb::Delete).await;
    until(async || stage.object("w").await.is_none().then_some(())).await;
    let all = ["ns/completion", "ns/completion", "ns/deletion", "ns/w/", "ns/whole"];
    assert_eq!(removed(&store), all);
    assert_eq!(stage.launcher.started().len(), 2);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_removed_is_told_and_keeps_the_workflow_unless_it_says_otherwise() {
    let store = Arc::new(Store::default());
    store.refuses.store(true, Ordering::SeqCst);
    let stage = executor(bus().await, Catalog::new(), Fake::new(true), config(&store));
    stage.submit("held", making(&json!({"strategy": "OnWorkflowCompletion"}))).await;
    let forced = json!({"strategy": "OnWorkflowCompletion", "forceFinalizerRemoval": true});
    stage.submit("forced", making(&forced)).await;
    for name in ["held", "forced"] {
        let told = until(async || {
            let object = stage.object(name).await?;
            let conditions = object["status"]["conditions"].as_array()?.clone();
            conditions.into_iter().find(|condition| condition["type"] == "ArtifactGCError")
        });
        assert_eq!(told.await["message"], "the store refuses");
        stage.command(name, Verb::Delete).await;
    }
    until(async || stage.object("forced").await.is_none().then_some(())).await;
    assert!(stage.object("held").await.is_some());
    store.refuses.store(false, Ordering::SeqCst);
    until(async || stage.object("held").await.is_none().then_some(())).await;
    assert!(removed(&store).contains(&"ns/deletion".to_owned()));
    assert!(!removed(&store).iter().any(|key| key == "ns/never"));
    stage.end().await;
}

const REPOSITORY: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata:
  name: artifact-repositories
  namespace: ns
  annotations: {workflows.argoproj.io/default-artifact-repository: results}
data:
  results: |
    gcs: {bucket: results, keyFormat: "logs/{{workflow.name}}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_of_pods_goes_with_their_workflow_and_not_before() {
    let store = Arc::new(Store::default());
    let catalog = Catalog::new();
    let loaded = load("test.yaml", REPOSITORY, &LoadOptions::default());
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    catalog.feeder().replace(loaded.objects.into_iter().map(Arc::new).collect(), Vec::new());
    let stage = executor(bus().await, catalog, Fake::new(true), config(&store));
    let plain = |more: Value| {
        let mut spec = json!({"entrypoint": "a", "podGC": {"strategy": "OnPodCompletion"},
            "templates": [{"name": "a", "container": {"image": "x", "command": ["x"]}}]});
        more.as_object().unwrap().iter().for_each(|(name, value)| spec[name] = value.clone());
        spec
    };
    stage.submit("deleted", plain(json!({}))).await;
    let uid = stage.phase("deleted", "Succeeded").await["metadata"]["uid"].as_str().unwrap().to_owned();
    let kept = |store: &Store| {
        let all = removed(store).into_iter().filter(|key| key.contains("tiphys/"));
        all.map(|key| serde_json::from_str::<Value>(&key).unwrap()).collect::<Vec<_>>()
    };
    assert!(kept(&store).is_empty());
    stage.command("deleted", Verb::Delete).await;
    until(async || stage.object("deleted").await.is_none().then_some(())).await;
    let expected =
        json!({"namespace": "ns", "gcs": {"bucket": "results", "key": format!("logs/tiphys/{uid}")}});
    assert_eq!(kept(&store), [expected]);
    stage.submit("expired", plain(json!({"ttlStrategy": {"secondsAfterCompletion": 0}}))).await;
    until(async || (kept(&store).len() == 2).then_some(())).await;
    until(async || stage.object("expired").await.is_none().then_some(())).await;
    // Where its pods keep what outlives them follows from the same.
    for pod in stage.launcher.started() {
        let folder: Value = serde_json::from_str(pod.keeps.as_deref().unwrap()).unwrap();
        let key = folder["gcs"]["key"].as_str().unwrap();
        assert_eq!(key, format!("logs/tiphys/{}/{}", pod.workflow_uid, pod.key));
    }
    stage.end().await;
}
