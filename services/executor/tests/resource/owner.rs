//! `setOwnerReference`: what a step made goes with the Workflow object, where there is one.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};
use tiphys_catalog::kubernetes::{WORKFLOW, crd};
use tiphys_executor::launcher::Launcher as _;
use tiphys_executor::launcher::PodVerdict;
use tiphys_executor::launcher::resource::ResourceSpec;
use tiphys_kit::kubernetes::{Cluster, Removal, Settings};

use crate::stage::{Stage, created, stage};

const ARGO: &str = "argoproj.io/v1alpha1";
/// Garbage of a new kind is found within a minute.
const COLLECTED: Duration = Duration::from_secs(180);

/// The cluster with the definition of Workflows.
async fn defined(stage: &Stage) -> Cluster {
    let settings = Settings { kubeconfig: Some(stage.cluster.kubeconfig()), ..Settings::default() };
    let cluster = Cluster::open(settings).await.unwrap();
    let (_, definition) = crd::all().into_iter().find(|(name, _)| *name == "workflows").unwrap();
    let definitions = Api::<CustomResourceDefinition>::all(cluster.client());
    definitions.create(&PostParams::default(), &serde_json::from_value(definition).unwrap()).await.unwrap();
    stage.until(|| async { cluster.resource(ARGO, "Workflow").await.is_ok() }).await;
    cluster
}

fn owned(name: &str) -> ResourceSpec {
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}});
    ResourceSpec { set_owner_reference: true, ..created(manifest) }
}

/// Makes it as a step of the workflow of this uid; its owners, and what the log says.
async fn owners(stage: &Stage, workflow_uid: &str, name: &str) -> (Value, String) {
    let mut run = stage.run();
    let key = run.start_of(workflow_uid, name, &owned(name)).await;
    let result = run.ended(&key).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    let lines = run.launcher.logs(&key, 0, 10).await.unwrap();
    let log = lines.into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n");
    (stage.get("configmaps", name).await.unwrap()["metadata"]["ownerReferences"].clone(), log)
}

#[tokio::test]
async fn what_is_made_goes_with_the_workflow_object() {
    let Some(stage) = stage(&["configmaps"]).await else { return };
    let none = "no owner reference: the workflow is no object of that namespace";
    let (without, log) = owners(&stage, "uid", "before").await;
    assert!(without.is_null() && log.contains(none), "{without} {log}");

    let cluster = defined(&stage).await;
    let workflows = cluster.objects(&cluster.resource(ARGO, "Workflow").await.unwrap(), &stage.namespace);
    stage.until(|| async { workflows.list("").await.is_ok() }).await;
    let spec = json!({"entrypoint": "main", "templates": [{"name": "main", "suspend": {}}]});
    for shows in [None, Some("uid-of-the-journal")] {
        let mut object =
            json!({"apiVersion": ARGO, "kind": "Workflow", "metadata": {"name": "wf"}, "spec": spec});
        if let Some(uid) = shows {
            let told = format!("{}/wf/{uid}", stage.namespace);
            object["metadata"]["annotations"] = json!({WORKFLOW: told});
        }
        let made = workflows.create(&object).await.unwrap();
        let uid = made["metadata"]["uid"].as_str().unwrap();
        let name = if shows.is_some() { "of-shown" } else { "of-submitted" };
        let (owners_of_it, _) = owners(&stage, shows.unwrap_or(uid), name).await;
        let owner = json!([{"apiVersion": ARGO, "kind": "Workflow", "name": "wf", "uid": uid,
            "controller": true, "blockOwnerDeletion": true}]);
        assert_eq!(owners_of_it, owner);
        // An object of that name that is not the workflow's is no owner: what it owned would go with it.
        let (without, log) = owners(&stage, "another", &format!("not-{name}")).await;
        assert!(without.is_null() && log.contains(none), "{without} {log}");
        if shows.is_some() {
            let (without, _) = owners(&stage, uid, "not-of-the-uid").await;
            assert!(without.is_null(), "{without}");
        }
        workflows.delete("wf", &Removal::default()).await.unwrap();
        let gone = async {
            while stage.get("configmaps", name).await.is_some() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(COLLECTED, gone).await.expect("it goes with its owner");
        assert!(stage.get("configmaps", &format!("not-{name}")).await.is_some());
    }
}
