//! Where pods get the runner from.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use tiphys_executor::launcher::kubernetes::{PackedRunner, RunnerSource};
use tiphys_executor::launcher::{Launcher, PodSpec};

use super::support::Stage;

fn packed() -> RunnerSource {
    RunnerSource::Packed(PackedRunner::new(tiphys_payload::runner().unwrap(), "busybox:1".into()).unwrap())
}

fn script(stage: &Stage, name: &str) -> PodSpec {
    PodSpec {
        script: Some("echo from the script".into()),
        capture_result: true,
        ..stage.pod_of(name, serde_json::json!({"image": "busybox:1", "command": ["sh"]}))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_image_it_is_laid_down_in_the_cluster() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.config.runner = Some(packed());
    stage.config.restricted = true;
    let mut run = stage.run().await;
    // Together: one of them lays it down.
    let pods = ["one", "two"].map(|name| PodSpec {
        container: serde_json::json!({
            "image": "busybox:1", "command": ["sh"],
            "securityContext": {"runAsUser": 65534, "runAsNonRoot": true},
        }),
        ..script(&stage, name)
    });
    let starts = pods.iter().map(|pod| run.launcher.start(pod, Default::default()));
    for started in futures::future::join_all(starts).await {
        started.unwrap();
    }
    for pod in &pods {
        assert_eq!(run.end_of(&pod.key).await.result.as_deref(), Some("from the script"));
    }
    run.end().await;
    let requests = stage.cluster.requests().into_iter();
    let asked =
        requests.filter(|request| request.namespace == stage.namespace && request.resource == "configmaps");
    let made = asked.filter(|request| request.user == "admin" && request.verb == "create").count();
    let maps = Api::<ConfigMap>::namespaced(stage.client.clone(), &stage.namespace);
    let ours = ListParams::default().labels("tiphys.dev/runner-program");
    let laid = maps.list(&ours).await.unwrap().items;
    assert!(laid.len() > 1 && laid.len() == made, "{} by {made} requests", laid.len());
    assert!(laid.iter().all(|map| map.immutable == Some(true)));

    // Another start finds them; what somebody else put there is not run.
    let mut run = stage.run().await;
    assert_eq!(run.through(&script(&stage, "three")).await.result.as_deref(), Some("from the script"));
    run.end().await;
    let mut wrong = laid[0].clone();
    let name = wrong.metadata.name.clone().unwrap();
    maps.delete(&name, &DeleteParams::default()).await.unwrap();
    wrong.binary_data.as_mut().unwrap().values_mut().for_each(|piece| piece.0[0] ^= 1);
    wrong.metadata.resource_version = None;
    wrong.metadata.uid = None;
    maps.create(&PostParams::default(), &wrong).await.unwrap();
    let run = stage.run().await;
    let refused =
        run.launcher.start(&script(&stage, "four"), Default::default()).await.unwrap_err().to_string();
    assert!(refused.contains(&name) && refused.contains("not what Tiphys laid down"), "{refused}");
    run.end().await;
}
