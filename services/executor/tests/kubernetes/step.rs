//! Plain steps: one container, no runner, and no more requests than needed.

use serde_json::json;
use tiphys_executor::launcher::{Launcher, PodState, PodVerdict};

use crate::support::{Stage, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_step_is_one_container_and_two_requests() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let before = stage.requests().len();
    let pod = stage.pod("plain", "echo out; echo err >&2; echo $TIPHYS_NODE_ID");
    let result = run.through(&pod).await;
    assert_eq!(
        (result.verdict, result.exit_code, result.message.as_str()),
        (PodVerdict::Succeeded, Some(0), "")
    );
    assert!(result.started.is_some());
    let object = stage.object(&pod).await.unwrap();
    assert_eq!(object["spec"]["containers"].as_array().unwrap().len(), 1);
    assert!(object["spec"].get("initContainers").is_none());
    assert_eq!(object["spec"]["automountServiceAccountToken"], false);
    assert_eq!(object["spec"]["restartPolicy"], "Never");
    let labels = &object["metadata"]["labels"];
    assert_eq!(labels["workflows.argoproj.io/workflow"], "wf");
    assert_eq!(labels["workflows.argoproj.io/completed"], "false");
    assert_eq!(labels["app"], "scan");
    let annotations = &object["metadata"]["annotations"];
    assert_eq!(annotations["workflows.argoproj.io/node-id"], "wf-plain");
    assert_eq!(annotations["workflows.argoproj.io/node-name"], "wf.plain");
    let mut texts = run.texts(&pod.key).await;
    texts.sort();
    assert_eq!(texts, ["err", "out", "wf-plain"]);
    assert_eq!(run.launcher.logs(&pod.key, 1, 1).await.unwrap().len(), 1);
    run.launcher.forget(&pod.key).await;
    until("the pod is marked", async || {
        let object = stage.object(&pod).await.unwrap();
        (object["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true").then_some(())
    })
    .await;
    // The tests' own looks are `get pods`, and reading the log; the launcher's are these.
    let mut own: Vec<String> = stage.requests()[before..].to_vec();
    own.retain(|request| request != "get pods" && request != "get pods/log");
    assert_eq!(own, ["create pods", "patch pods"]);
    // Its log stays, and it is never run again.
    assert_eq!(run.texts(&pod.key).await.len(), 3);
    run.start(&pod).await;
    run.launcher.remove(&pod.key).await;
    until("the pod is gone", async || stage.object(&pod).await.is_none().then_some(())).await;
    assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_code_fails_the_step_as_in_argo() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let result = run.through(&stage.pod("bad", "exit 3")).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(3)));
    assert_eq!(result.message, "main: Error (exit code 3)");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_to_a_secret_stays_one() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let secrets =
        kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(stage.client.clone(), &stage.namespace);
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"a": "one", "B": "two"}});
    secrets.create(&Default::default(), &serde_json::from_value(secret).unwrap()).await.unwrap();
    let before = stage.requests();
    let container = json!({
        "image": "busybox:1",
        "command": ["sh", "-c", "test ${X}${B}$(Y) = onetwofull"],
        "env": [
            {"name": "X", "valueFrom": {"secretKeyRef": {"name": "s", "key": "a"}}},
            {"name": "Y", "value": "full"},
            {"name": "Z", "valueFrom": {"secretKeyRef": {"name": "s", "key": "absent", "optional": true}}},
        ],
        "envFrom": [{"secretRef": {"name": "s"}}],
    });
    let pod = stage.pod_of("secret", container);
    let result = run.through(&pod).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    let object = stage.object(&pod).await.unwrap();
    assert!(!object.to_string().contains("\"one\""));
    let own = &stage.requests()[before.len()..];
    assert!(own.iter().all(|request| !request.contains("secrets")), "{own:?}");
    run.end().await;
}
