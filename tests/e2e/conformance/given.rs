//! What the workflows that are compared refer to.

use std::fmt::Debug;
use std::path::{Path, PathBuf};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::PostParams;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tiphys_servers::kubernetes::Kubernetes;
use tiphys_tests::{root, server};

use super::corpus;
use crate::pods;

/// Our own examples, and what Argo's refer to.
pub(super) fn manifests() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for example in ["asset-inventory", "basics", "falco-response", "ticket-scan"] {
        server::copy_folder(&root().join("examples").join(example), &folder.path().join(example));
    }
    // These are of other namespaces.
    std::fs::remove_dir_all(folder.path().join("falco-response/kubernetes")).unwrap();
    server::copy_folder(&root().join("tests/e2e/conformance/given"), &folder.path().join("given"));
    corpus::manifests(folder.path());
    folder
}

/// Gives a cluster what pods refer to, and the right to ConfigMaps to who runs them.
pub(super) async fn to_cluster(cluster: &Kubernetes, namespace: &str, manifests: &Path) {
    let client = cluster.client().await;
    let files =
        ["asset-inventory/secrets.yaml", "ticket-scan/secrets.yaml", "given/secrets.yaml", "secret.yaml"];
    let files: Vec<PathBuf> = files.iter().map(|file| manifests.join(file)).collect();
    for file in files.iter().filter(|file| file.is_file()) {
        pods::secrets(&client, namespace, file).await;
    }
    let text = std::fs::read_to_string(manifests.join("given/settings.yaml")).unwrap();
    for settings in tiphys_manifest::load::values(&text).unwrap() {
        create::<ConfigMap>(&client, namespace, settings).await;
    }
    let role = json!({"metadata": {"name": "config-maps"}, "rules":
        [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get", "list", "watch", "delete"]}]});
    let binding = json!({"metadata": {"name": "config-maps"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "config-maps"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": namespace}]});
    create::<Role>(&client, namespace, role).await;
    create::<RoleBinding>(&client, namespace, binding).await;
    for claim in corpus::claims() {
        create::<PersistentVolumeClaim>(&client, namespace, claim).await;
    }
}

async fn create<K>(client: &Client, namespace: &str, object: Value)
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Serialize
        + Debug,
{
    let api = Api::<K>::namespaced(client.clone(), namespace);
    api.create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
}
