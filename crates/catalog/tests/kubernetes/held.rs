//! What a workflow names is read when it begins, and forgotten when it ends.

use serde_json::json;
use tiphys_manifest::Kind;

use crate::stage::{ARGO, Stage, within};

#[tokio::test]
async fn what_a_workflow_names_is_in_the_catalog_while_it_is_driven() {
    let Some(stage) = Stage::new().await else { return };
    let secret = |name: &str| json!({"metadata": {"name": name}, "stringData": {"token": "s3cret"}});
    for name in ["named", "of-repository", "of-template", "other"] {
        stage.make("v1", "Secret", secret(name)).await;
    }
    let repository = "s3:\n  bucket: b\n  accessKeySecret: {name: of-repository, key: token}\n";
    let map = json!({"metadata": {"name": "repositories"}, "data": {"default": repository}});
    stage.make("v1", "ConfigMap", map).await;
    let variable =
        json!({"name": "A", "valueFrom": {"secretKeyRef": {"name": "of-template", "key": "token"}}});
    let template =
        json!({"name": "m", "container": {"image": "busybox", "command": ["true"], "env": [variable]}});
    let template = json!({"metadata": {"name": "shared"}, "spec": {"templates": [template]}});
    stage.make(ARGO, "ClusterWorkflowTemplate", template).await;

    let run = stage.run().await;
    let there = |kind, name: &str| run.catalog.snapshot().get(kind, &stage.namespace, name).is_some();
    assert!(!there(Kind::Secret, "of-template"), "whose namespace is meant is known when a workflow uses it");
    let volume = json!({"name": "v", "secret": {"secretName": "named"}});
    let reference = json!({"name": "shared", "template": "m", "clusterScope": true});
    let steps = json!([[{"name": "a", "templateRef": reference}]]);
    let spec = json!({"volumes": [volume], "artifactRepositoryRef": {"configMap": "repositories", "key": "default"},
        "templates": [{"name": "main", "steps": steps}]});
    let held = run.catalog.hold(&stage.namespace, &json!({"spec": spec})).await;
    for name in ["named", "of-repository", "of-template"] {
        assert!(there(Kind::Secret, name), "{name}");
    }
    assert!(there(Kind::ConfigMap, "repositories") && !there(Kind::Secret, "other"));
    drop(held);
    within("it is forgotten", || async { (!there(Kind::Secret, "named")).then_some(()) }).await;
    run.end().await;
}
