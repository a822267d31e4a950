//! How steps end before their time.

use std::time::Duration;

use serde_json::json;
use tiphys_core::Timestamp;
use tiphys_executor::launcher::{Launcher, PodSpec, PodState, PodVerdict};

use crate::support::{Host, IMAGE, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_is_stopped_has_its_grace() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let script = "trap 'echo told; exit 9' TERM; echo up; while true; do sleep 0.1; done";
    for capture_result in [false, true] {
        let pod = PodSpec { capture_result, ..host.pod(&format!("polite-{capture_result}"), script) };
        run.start(&pod).await;
        eventually("it is up", async || (run.texts(&pod.key).await == ["up"]).then_some(())).await;
        run.launcher.stop(&pod.key).await.unwrap();
        let result = run.end_of(&pod.key).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(9)), "{result:?}");
        assert!(run.texts(&pod.key).await.contains(&"told".to_owned()));
        let deaf = PodSpec {
            capture_result,
            grace: Duration::from_secs(1),
            ..host.pod(&format!("deaf-{capture_result}"), "trap '' TERM; while true; do sleep 0.1; done")
        };
        run.start(&deaf).await;
        run.launcher.stop(&deaf.key).await.unwrap();
        let result = run.end_of(&deaf.key).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(137)), "{result:?}");
    }
    run.launcher.stop(&tiphys_core::PodKey("0000000000000000".into())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_memory_is_told() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let container = json!({
        "image": IMAGE,
        "command": ["sh", "-c"],
        "args": ["x=aaaaaaaaaaaaaaaa; while true; do x=$x$x; done"],
        "resources": { "limits": { "memory": "24Mi" } },
    });
    for capture_result in [false, true] {
        let name = format!("hungry-{capture_result}");
        let pod = PodSpec { capture_result, ..host.pod_of(&name, container.clone()) };
        let result = run.through(&pod).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(137)), "{result:?}");
        assert_eq!(result.message, "main: OOMKilled (exit code 137)");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn out_of_time_is_told() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    for capture_result in [false, true] {
        let deadline = Timestamp::now() + Duration::from_secs(2);
        let pod = PodSpec {
            capture_result,
            deadline: Some(deadline),
            grace: Duration::from_secs(1),
            ..host.pod(&format!("slow-{capture_result}"), "sleep 1000")
        };
        let result = run.through(&pod).await;
        assert_eq!(result.verdict, PodVerdict::Failed, "{result:?}");
        assert_eq!(result.message, "Pod was active on the node longer than the specified deadline");
        assert!(result.finished >= deadline);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_do_to_a_container_is_told() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    for capture_result in [false, true] {
        let pod = PodSpec { capture_result, ..host.pod(&format!("killed-{capture_result}"), "sleep 1000") };
        run.start(&pod).await;
        host.docker(&["kill", &host.name(&pod)]).unwrap();
        let result = run.end_of(&pod.key).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(137)), "{result:?}");
        assert_eq!(result.message, "main: Error (exit code 137)");
    }
    let pod = host.pod("removed", "sleep 1000");
    run.start(&pod).await;
    host.docker(&["rm", "--force", &host.name(&pod)]).unwrap();
    let result = run.end_of(&pod.key).await;
    assert!(
        result.verdict == PodVerdict::Error && result.message.contains("was removed")
            || result.message == "main: Error (exit code 137)",
        "{result:?}"
    );
    // Its name is taken by somebody.
    let pod = host.pod("taken", "true");
    host.docker(&["create", "--name", &host.name(&pod), IMAGE]).unwrap();
    let error = run.try_start(&pod).await.unwrap_err().to_string();
    assert!(error.contains("remove it"), "{error}");
    host.docker(&["rm", &host.name(&pod)]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_is_not_to_be_had_ends_the_step() {
    let Some(mut host) = Host::new() else { return };
    host.config.pulls = 2;
    let mut run = host.run().await;
    let container = json!({ "image": "nowhere.invalid/no/such:1", "command": ["true"] });
    let pod = host.pod_of("missing", container);
    run.start(&pod).await;
    let mut waited = Vec::new();
    let result = run
        .until(&pod.key, |state| match state {
            PodState::Pending { message } => {
                waited.push(message);
                None
            }
            PodState::Ended(result) => Some(*result),
            other => panic!("{other:?}"),
        })
        .await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Error, None));
    assert!(result.message.starts_with("ErrImagePull: image nowhere.invalid/no/such:1: "), "{result:?}");
    assert!(waited.iter().any(|message| message.starts_with("ImagePullBackOff: ")), "{waited:?}");

    let container = json!({ "image": "nowhere.invalid/x", "command": ["true"], "imagePullPolicy": "Never" });
    let error = run.try_start(&host.pod_of("never", container)).await.unwrap_err().to_string();
    assert!(error.starts_with("ErrImageNeverPull"), "{error}");

    // Stopped while it waits.
    let container = json!({ "image": "nowhere.invalid/x:2", "command": ["true"] });
    let pod = host.pod_of("stopped", container);
    run.start(&pod).await;
    run.launcher.stop(&pod.key).await.unwrap();
    let result = run.end_of(&pod.key).await;
    assert!(
        result.message == "stopped before it began" || result.message.starts_with("ErrImagePull"),
        "{result:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_engine_may_be_started_again() {
    let Some(engine) = crate::support::own_engine() else { return };
    let mut host = Host::on(std::sync::Arc::new(engine));
    let mut run = host.run().await;
    let mut pods = Vec::new();
    for capture_result in [false, true] {
        let pod = PodSpec { capture_result, ..host.pod(&format!("during-{capture_result}"), "sleep 1000") };
        run.start(&pod).await;
        pods.push(pod);
    }
    std::sync::Arc::get_mut(&mut host.engine).unwrap().restart();
    for pod in &pods {
        let result = run.end_of(&pod.key).await;
        assert_eq!(result.verdict, PodVerdict::Failed, "{result:?}");
        let code = result.exit_code.unwrap();
        assert!([137, 143].contains(&code), "{result:?}");
        assert_eq!(result.message, format!("main: Error (exit code {code})"));
    }
    // What comes after it runs as before, though the network of before is gone.
    let after = host.pod("after", "true");
    let result = loop {
        match run.try_start(&after).await {
            Ok(()) => break run.end_of(&after.key).await,
            Err(error) => eprintln!("{error}"),
        }
    };
    assert_eq!((result.message.as_str(), result.verdict), ("", PodVerdict::Succeeded));
}
