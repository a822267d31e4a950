//! How pods end, and what the user is told; with a real kubelet.

use std::time::Duration;

use kube::api::{DeleteParams, EvictParams};
use serde_json::json;
use tiphys_core::Timestamp;
use tiphys_executor::launcher::{Launcher, PodOptions, PodSpec, PodState, PodVerdict};

use crate::log::kept;
use crate::support::{Run, Stage, until};

/// Runs it, and says verdict and message.
async fn told(run: &mut Run, pod: &PodSpec) -> (PodVerdict, String) {
    let result = run.through(pod).await;
    (result.verdict, result.message)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_out_of_memory_or_time_says_so() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let greedy = json!({
        "image": "busybox:1",
        "command": ["sh", "-c", "x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo ${#x}"],
        "resources": {"limits": {"memory": "32Mi"}},
    });
    let (verdict, message) = told(&mut run, &stage.pod_of("greedy", greedy.clone())).await;
    assert_eq!((verdict, message.as_str()), (PodVerdict::Failed, "main: OOMKilled (exit code 137)"));
    // The same below the runner.
    let below = PodSpec { capture_result: true, ..stage.pod_of("below", greedy) };
    let (verdict, message) = told(&mut run, &below).await;
    assert_eq!(verdict, PodVerdict::Failed);
    assert!(message.starts_with("main: OOMKilled (exit code "), "{message}");
    let deadline = Timestamp::now().checked_add(Duration::from_secs(3)).unwrap();
    for capture_result in [false, true] {
        let name = format!("slow-{capture_result}");
        let slow = PodSpec { deadline: Some(deadline), capture_result, ..stage.pod(&name, "sleep 1000") };
        let (verdict, message) = told(&mut run, &slow).await;
        assert_eq!(verdict, PodVerdict::Failed);
        assert!(
            message.starts_with("Pod was active on the node longer than the specified deadline"),
            "{message}"
        );
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_is_given_up() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.config.stuck = Duration::from_secs(2);
    let mut run = stage.run().await;
    let image =
        |name: &str, policy: &str| json!({"image": name, "imagePullPolicy": policy, "command": ["true"]});
    let rows = [
        ("never", image("no/such:1", "Never"), "ErrImageNeverPull: "),
        ("invalid", image("No Image", "Never"), "InvalidImageName: "),
        ("absent", image("127.0.0.1:9/no/such:1", "Always"), "ErrImagePull: "),
        (
            "secret",
            json!({"image": "busybox:1", "command": ["true"],
                "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "nobodys", "key": "a"}}}]}),
            "CreateContainerConfigError: secret \"nobodys\" not found; a secret of the manifests that Tiphys reads is not copied",
        ),
    ];
    let pods: Vec<PodSpec> =
        rows.iter().map(|(name, container, _)| stage.pod_of(name, container.clone())).collect();
    for pod in &pods {
        run.start(pod).await;
    }
    for (pod, (_, _, why)) in pods.iter().zip(&rows) {
        let result = run.end_of(&pod.key).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Error, None));
        let before = "Pod failed before main container starts due to ";
        let message = result.message.strip_prefix(before).unwrap_or(&result.message);
        // A pull that failed is called one or the other, as the moment has it.
        let message = message.replace("ImagePullBackOff", "ErrImagePull");
        assert!(message.starts_with(why), "{message}");
        until("the pod is taken away", async || stage.object(pod).await.is_none().then_some(())).await;
    }
    // What is not in the image is the command's fault, as in Argo.
    let container = json!({"image": "busybox:1", "command": ["/no/such"]});
    let (verdict, message) = told(&mut run, &stage.pod_of("command", container)).await;
    assert_eq!(verdict, PodVerdict::Failed);
    assert!(message.starts_with("main: StartError (exit code 128): "), "{message}");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_no_node_takes_says_why_and_waits() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let mut pod = stage.pod("nowhere", "true");
    pod.pod.spec.insert("nodeSelector".into(), json!({"no": "such"}));
    run.start(&pod).await;
    let message = |state| match state {
        PodState::Pending { message } if !message.is_empty() => Some(message),
        _ => None,
    };
    let message = run.until(&pod.key, "why it waits", message).await;
    assert!(message.starts_with("Unschedulable: 0/1 nodes are available"), "{message}");
    // It is stopped all the same.
    run.launcher.stop(&pod.key).await.unwrap();
    assert_eq!(run.end_of(&pod.key).await.started, None);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_containers_around_the_main_one_count() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let shell = |name: &str, script: &str| json!({"name": name, "image": "busybox:1", "command": ["sh", "-c", script]});
    let options = |init: &[serde_json::Value], sidecars: &[serde_json::Value]| {
        let mut options = PodOptions { sidecars: sidecars.to_vec(), ..PodOptions::default() };
        if !init.is_empty() {
            options.spec.insert("initContainers".into(), json!(init));
        }
        options
    };
    let bad = PodSpec { pod: options(&[shell("fetch", "exit 7")], &[]), ..stage.pod("init", "true") };
    assert_eq!(told(&mut run, &bad).await, (PodVerdict::Failed, "fetch: Error (exit code 7)".into()));
    // One that goes on is ended, and the pod stays with its log.
    let serves = shell("serves", "trap 'exit 9' TERM; while :; do sleep 0.1; done");
    let pod =
        PodSpec { pod: options(&[], &[serves]), capture_result: true, ..stage.pod("beside", "echo done") };
    let result = run.through(&pod).await;
    assert_eq!((result.verdict, result.result.as_deref()), (PodVerdict::Succeeded, Some("done")));
    let over = until("the sidecar is ended", async || {
        let object = stage.object(&pod).await.unwrap();
        (object["status"]["phase"] == "Failed").then_some(object)
    });
    let over = over.await;
    assert_eq!(over["metadata"]["annotations"]["tiphys.dev/ended"], "true", "{over}");
    assert_eq!(run.texts(&pod.key).await, ["done"]);
    run.end().await;
    // Looked at anew, it is the same.
    let mut run = stage.run().await;
    assert_eq!(run.end_of(&pod.key).await.verdict, PodVerdict::Succeeded);
    let fails = shell("fails", "exit 5");
    let pod = PodSpec { pod: options(&[], &[fails]), ..stage.pod("broken", "sleep 3") };
    assert_eq!(told(&mut run, &pod).await, (PodVerdict::Failed, "fails: Error (exit code 5)".into()));
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_stopped_or_deleted_tells_which() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let script = "trap 'exit 3' TERM; while :; do sleep 0.1; done";
    for capture_result in [false, true] {
        let stopped = PodSpec { capture_result, ..stage.pod(&format!("stopped-{capture_result}"), script) };
        run.start(&stopped).await;
        run.running(&stopped.key).await;
        run.launcher.stop(&stopped.key).await.unwrap();
        run.launcher.stop(&stopped.key).await.unwrap();
        let result = run.end_of(&stopped.key).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(3)), "{}", result.message);
        assert_eq!(result.message, "main: Error (exit code 3)");
        until("the pod goes", async || stage.object(&stopped).await.is_none().then_some(())).await;
        run.launcher.forget(&stopped.key).await;
        let deleted = PodSpec { capture_result, ..stage.pod(&format!("deleted-{capture_result}"), script) };
        run.start(&deleted).await;
        run.running(&deleted.key).await;
        stage.pods().delete(&deleted.name, &DeleteParams::default()).await.unwrap();
        let result = run.end_of(&deleted.key).await;
        assert_eq!((result.verdict, result.message.as_str()), (PodVerdict::Error, "pod deleted"));
        assert!(result.started.is_some());
        // At once, without a word of its kubelet.
        let forced = PodSpec { capture_result, ..stage.pod(&format!("forced-{capture_result}"), script) };
        run.start(&forced).await;
        run.running(&forced.key).await;
        stage.pods().delete(&forced.name, &DeleteParams::default().grace_period(0)).await.unwrap();
        let result = run.end_of(&forced.key).await;
        assert_eq!((result.verdict, result.message.as_str()), (PodVerdict::Error, "pod deleted"));
    }
    run.launcher.stop(&tiphys_core::PodKey("absent".into())).await.unwrap();
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_that_is_evicted_through_the_api_says_so() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    for capture_result in [false, true] {
        let script = "trap 'echo bye; exit 3' TERM; echo begin; while :; do sleep 0.1; done";
        let pod = PodSpec { capture_result, ..stage.pod(&format!("evicted-{capture_result}"), script) };
        run.start(&pod).await;
        run.running(&pod.key).await;
        until("it has begun", async || (run.texts(&pod.key).await == ["begin"]).then_some(())).await;
        // As `kubectl drain` does.
        stage.pods().evict(&pod.name, &EvictParams::default()).await.unwrap();
        let result = run.end_of(&pod.key).await;
        assert_eq!(
            (result.verdict, result.message.as_str()),
            (PodVerdict::Error, "pod deleted: EvictionByEvictionAPI: Eviction API: evicting")
        );
        assert!(result.started.is_some());
        until("the pod goes", async || stage.object(&pod).await.is_none().then_some(())).await;
        run.launcher.forget(&pod.key).await;
        let mut log = kept(&run, &pod).await;
        // The shell may have a word about what it waited for, before or after.
        log.retain(|line| line != "Terminated");
        assert_eq!(log, ["begin", "bye"]);
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_that_cannot_be_mounted_is_told() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.config.quiet = Duration::from_secs(1);
    let mut run = stage.run().await;
    let mounting = |name: &str, volume: serde_json::Value| {
        let mut pod = stage.pod_of(
            name,
            json!({"image": "busybox:1", "command": ["cat", "/v/key"], "volumeMounts": [{"name": "v", "mountPath": "/v"}]}),
        );
        pod.pod.spec.insert("volumes".into(), json!([volume]));
        pod
    };
    let items = json!([{"key": "key", "path": "key"}]);
    let secret = mounting("secret", json!({"name": "v", "secret": {"secretName": "late", "items": items}}));
    let map = mounting("map", json!({"name": "v", "configMap": {"name": "empty", "items": items}}));
    let maps = kube::Api::<k8s_openapi::api::core::v1::ConfigMap>::namespaced(
        stage.client.clone(),
        &stage.namespace,
    );
    let empty =
        serde_json::from_value(json!({"metadata": {"name": "empty"}, "data": {"other": "x"}})).unwrap();
    maps.create(&Default::default(), &empty).await.unwrap();
    let message = |state| match state {
        PodState::Pending { message } if !message.is_empty() => Some(message),
        _ => None,
    };
    for (pod, why) in
        [(&secret, "secret \"late\" not found"), (&map, "references non-existent config key: key")]
    {
        run.start(pod).await;
        let told = run.until(&pod.key, "why it waits", message).await;
        assert!(told.starts_with("FailedMount: MountVolume.SetUp failed") && told.contains(why), "{told}");
    }
    // It goes on when what it waits for is there.
    let secrets =
        kube::Api::<k8s_openapi::api::core::v1::Secret>::namespaced(stage.client.clone(), &stage.namespace);
    let late =
        serde_json::from_value(json!({"metadata": {"name": "late"}, "stringData": {"key": "x"}})).unwrap();
    secrets.create(&Default::default(), &late).await.unwrap();
    assert_eq!(run.end_of(&secret.key).await.verdict, PodVerdict::Succeeded);
    run.end().await;
    // What does not heal is given up.
    stage.config.stuck = Duration::from_secs(2);
    let mut run = stage.run().await;
    let result = run.end_of(&map.key).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    let before = "Pod failed before main container starts due to FailedMount: ";
    assert!(result.message.starts_with(before), "{}", result.message);
    run.end().await;
    // Nobody asks for the events of a pod that is not silent.
    let asked = || {
        let all = stage.cluster.requests().into_iter();
        let all = all.filter(|request| request.namespace == stage.namespace && request.resource == "events");
        all.filter(|request| request.user == "admin" && request.verb == "list").count()
    };
    let before = asked();
    assert!(before >= 3, "{before}");
    stage.config.quiet = Duration::from_secs(60);
    let mut run = stage.run().await;
    assert_eq!(run.through(&stage.pod("quick", "true")).await.verdict, PodVerdict::Succeeded);
    assert_eq!(asked(), before);
    run.end().await;
}
