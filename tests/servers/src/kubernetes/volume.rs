//! Volumes for claims, as a cloud makes them: a folder of the node for each claim that waits for one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::{Kubernetes, ask, wait_for};

/// The class of claims that name none.
const CLASS: &str = "folders";
/// How long after a claim its volume is made, at most.
const PAUSE: Duration = Duration::from_millis(200);

/// Makes volumes until it is dropped.
#[derive(Debug)]
pub struct Volumes {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Kubernetes {
    /// Gives each claim that names no class, or the class `folders`, a volume on the node; what it held is gone with the
    /// cluster.
    ///
    /// # Panics
    /// When the API server does not take the class.
    #[must_use]
    pub fn provide_volumes(&self) -> Volumes {
        self.ask(async |client| make_class(client).await);
        let (stop, folder, kubeconfig) =
            (Arc::new(AtomicBool::new(false)), self.folder.join("volumes"), self.kubeconfig.clone());
        let told = stop.clone();
        let thread = std::thread::spawn(move || wait_for(async || follow(&kubeconfig, &folder, &told).await));
        Volumes { stop, thread: Some(thread) }
    }
}

impl Drop for Volumes {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn make_class(client: &Client) {
    let class = json!({
        "metadata": {"name": CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "tiphys.test/folders",
    });
    let class: StorageClass = serde_json::from_value(class).expect("a class");
    let made = Api::all(client.clone()).create(&PostParams::default(), &class).await;
    assert!(made.is_ok() || is_there(&made), "{made:?}");
}

fn is_there<T>(made: &kube::Result<T>) -> bool {
    matches!(made, Err(kube::Error::Api(status)) if status.code == 409)
}

async fn follow(kubeconfig: &Value, folder: &Path, stop: &AtomicBool) {
    let client = ask::client(kubeconfig).await;
    while !stop.load(Ordering::Relaxed) {
        // An API server that a test has taken away answers again later.
        if let Err(error) = provide(&client, folder).await {
            eprintln!("no volumes for the moment: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Makes what is missing, and takes away what nobody claims any more.
async fn provide(client: &Client, folder: &Path) -> kube::Result<()> {
    let claims = Api::<PersistentVolumeClaim>::all(client.clone());
    let volumes = Api::<PersistentVolume>::all(client.clone());
    for claim in claims.list(&ListParams::default()).await? {
        if let Some(volume) = volume_of(&claim, folder) {
            let made = volumes.create(&PostParams::default(), &volume).await;
            if !is_there(&made) {
                made?;
            }
        }
    }
    for volume in volumes.list(&ListParams::default()).await? {
        let phase = volume.status.and_then(|status| status.phase).unwrap_or_default();
        let own = volume.spec.is_some_and(|spec| spec.storage_class_name.as_deref() == Some(CLASS));
        if let Some(name) = volume.metadata.name.filter(|_| own && phase == "Released") {
            let _ = volumes.delete(&name, &DeleteParams::default()).await;
        }
    }
    Ok(())
}

/// The volume of a claim that has none yet.
fn volume_of(claim: &PersistentVolumeClaim, folder: &Path) -> Option<PersistentVolume> {
    let (spec, uid) = (claim.spec.as_ref()?, claim.metadata.uid.as_ref()?);
    if spec.volume_name.is_some() || spec.storage_class_name.as_deref() != Some(CLASS) {
        return None;
    }
    let place: PathBuf = folder.join(uid);
    let volume = json!({
        "metadata": {"name": format!("folder-{uid}")},
        "spec": {
            "storageClassName": CLASS,
            "accessModes": spec.access_modes,
            "capacity": spec.resources.as_ref()?.requests,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"namespace": claim.metadata.namespace, "name": claim.metadata.name, "uid": uid},
            "hostPath": {"path": place, "type": "DirectoryOrCreate"},
        },
    });
    Some(serde_json::from_value(volume).expect("a volume"))
}
