//! Logs outlive their pods.

use kube::api::DeleteParams;
use serde_json::json;
use tiphys_executor::launcher::{Ended, LaunchError, Launcher, PodGc, PodOptions, PodSpec, PodVerdict};
use tiphys_kit::{CancellationToken, Tasks};
use tokio::net::TcpListener;

use crate::support::{Run, Stage, until};

async fn is_gone(stage: &Stage, pod: &PodSpec) {
    until("the pod is gone", async || stage.object(pod).await.is_none().then_some(())).await;
}

/// Text of lines once there are any; a log may yet be on its way to the store.
pub(crate) async fn kept(run: &Run, pod: &PodSpec) -> Vec<String> {
    until("a log", async || {
        let lines = run.launcher.logs(&pod.key, 0, usize::MAX).await.ok()?;
        (!lines.is_empty()).then(|| lines.into_iter().map(|line| line.text).collect())
    })
    .await
}

fn collected(stage: &Stage, name: &str, script: &str) -> PodSpec {
    let gc = PodGc::OnCompletion;
    PodSpec { pod: PodOptions { gc, ..PodOptions::default() }, ..stage.pod(name, script) }
}

/// What the launcher asked, without what the tests do.
fn own(stage: &Stage, before: usize) -> Vec<String> {
    let mut own = stage.requests()[before..].to_vec();
    own.retain(|request| request != "get pods");
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_read_before_its_pod_goes() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let before = stage.requests().len();
    let pod = collected(&stage, "plain", "for i in 1 2 3; do echo line $i; done");
    assert_eq!(run.through(&pod).await.verdict, PodVerdict::Succeeded);
    run.launcher.forget(&pod.key).await;
    is_gone(&stage, &pod).await;
    assert_eq!(own(&stage, before), ["create pods", "get pods/log", "delete pods"]);
    let wanted = ["line 1", "line 2", "line 3"];
    assert_eq!(run.texts(&pod.key).await, wanted);
    let part = run.launcher.logs(&pod.key, 1, 1).await.unwrap();
    assert_eq!((part.len(), part[0].text.as_str(), part[0].stream.as_str()), (1, "line 2", "stdout"));
    // Nor does it go with the process, and a process beside it reads it, too.
    run.end().await;
    let mut beside = stage.config.clone();
    beside.only_reads = true;
    let (run, reader) = (stage.run().await, stage.run_with(stage.client.clone(), beside).await);
    assert_eq!(
        (run.texts(&pod.key).await, reader.texts(&pod.key).await),
        (wanted.map(String::from).to_vec(), wanted.map(String::from).to_vec())
    );
    let refused = reader.launcher.start(&pod, Default::default()).await;
    assert!(matches!(refused, Err(LaunchError::Unavailable(_))), "{refused:?}");
    // It goes with its workflow.
    run.launcher.remove(&pod.key).await;
    let gone = run.launcher.logs(&pod.key, 0, 9).await;
    assert!(matches!(gone, Err(LaunchError::Absent(_))), "{gone:?}");
    let left = std::fs::read_dir(stage.dir.path().join("artifacts/runner-logs")).unwrap().count();
    assert_eq!(left, 0);
    run.end().await;
    reader.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_hands_its_log_over() {
    let Some(mut stage) = Stage::new().await else { return };
    let mut run = stage.dialled().await;
    let before = stage.requests().len();
    let plain = collected(&stage, "told", "");
    let script = "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three; exit 3";
    let pod = PodSpec {
        script: Some(script.into()),
        container: json!({"image": "busybox:1", "command": ["sh"]}),
        ..plain
    };
    let result = run.through(&pod).await;
    assert_eq!(result.exit_code, Some(3), "{}", result.message);
    run.launcher.forget(&pod.key).await;
    is_gone(&stage, &pod).await;
    // Nobody had to ask the API server for it.
    assert_eq!(own(&stage, before), ["create pods", "delete pods"]);
    let lines = run.lines(&pod.key).await;
    let told: Vec<(&str, &str)> =
        lines.iter().map(|line| (line.stream.as_str(), line.text.as_str())).collect();
    assert_eq!(told, [("stdout", "one"), ("stderr", "two"), ("stdout", "three")]);
    assert!(lines.is_sorted_by_key(|line| line.time), "{lines:?}");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logs_of_a_workflow_stay_when_its_pods_go_at_its_end() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let (one, two) = (stage.pod("one", "echo one"), stage.pod("two", "echo two; exit 1"));
    for pod in [&one, &two] {
        run.through(pod).await;
        run.launcher.forget(&pod.key).await;
    }
    let ended = Ended {
        namespace: stage.namespace.clone(),
        name: "wf".into(),
        uid: one.workflow_uid.clone(),
        claims: Vec::new(),
        pods: vec![one.key.clone(), two.key.clone()],
        collect: true,
    };
    run.launcher.over(&ended).await;
    for pod in [&one, &two] {
        is_gone(&stage, pod).await;
    }
    assert_eq!(
        (run.texts(&one.key).await, run.texts(&two.key).await),
        (vec!["one".into()], vec!["two".into()])
    );
    // Told once more after a restart, when nothing is left to read, it stays so.
    run.end().await;
    let run = stage.run().await;
    run.launcher.over(&ended).await;
    assert_eq!(run.texts(&one.key).await, ["one"]);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_until_the_end_is_kept_whoever_ends_it() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let script = "trap 'echo bye; exit 3' TERM; echo begin; while :; do sleep 0.1; done";
    let (stopped, deleted) = (stage.pod("stopped", script), stage.pod("deleted", script));
    for pod in [&stopped, &deleted] {
        run.start(pod).await;
        run.running(&pod.key).await;
        until("it has begun", async || (run.texts(&pod.key).await == ["begin"]).then_some(())).await;
    }
    run.launcher.stop(&stopped.key).await.unwrap();
    stage.pods().delete(&deleted.name, &DeleteParams::default()).await.unwrap();
    for pod in [&stopped, &deleted] {
        run.end_of(&pod.key).await;
        run.launcher.forget(&pod.key).await;
        is_gone(&stage, pod).await;
        assert_eq!(kept(&run, pod).await, ["begin", "bye"], "{}", pod.name);
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_lost_is_said_to_be() {
    let Some(stage) = Stage::new().await else { return };
    let mut run = stage.run().await;
    let pod = stage.pod("forced", "echo begin; sleep 1000");
    run.start(&pod).await;
    run.running(&pod.key).await;
    stage.pods().delete(&pod.name, &DeleteParams::default().grace_period(0)).await.unwrap();
    assert_eq!(run.end_of(&pod.key).await.message, "pod deleted");
    assert_eq!(kept(&run, &pod).await, ["tiphys: there is no log of this step: pod deleted"]);
    // Taken away by somebody after its end.
    let pod = stage.pod("later", "echo begin");
    run.through(&pod).await;
    run.launcher.forget(&pod.key).await;
    assert_eq!(run.texts(&pod.key).await, ["begin"]);
    stage.pods().delete(&pod.name, &DeleteParams::default()).await.unwrap();
    is_gone(&stage, &pod).await;
    let gone = run.launcher.logs(&pod.key, 0, 9).await.unwrap_err();
    assert_eq!(gone, LaunchError::Absent("the log went with its pod, and none was kept here".into()));
    run.end().await;
}

fn told(stage: &Stage, name: &str, script: &str) -> PodSpec {
    let container = json!({"image": "busybox:1", "command": ["sh"]});
    PodSpec { script: Some(script.into()), ..stage.pod_of(name, container) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_handed_over_to_who_comes_a_little_later() {
    let Some(mut stage) = Stage::new().await else { return };
    let place = TcpListener::bind((stage.cluster.gateway(), 0)).await.unwrap().local_addr().unwrap();
    stage.config.address = Some(place.to_string());
    let mut run = stage.run().await;
    let pod = told(&stage, "late", "echo written >&2");
    run.start(&pod).await;
    until("its command has ended", async || (run.texts(&pod.key).await == ["written"]).then_some(())).await;
    let (routes, stop) = (run.launcher.runner_routes(), CancellationToken::new());
    let listener = TcpListener::bind(place).await.unwrap();
    Tasks::new(stop).spawn("serve", async move { axum::serve(listener, routes).await.unwrap() });
    assert_eq!(run.end_of(&pod.key).await.verdict, PodVerdict::Succeeded);
    assert_eq!(run.lines(&pod.key).await[0].stream, "stderr");
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_does_not_wait_for_somebody_who_takes_no_log() {
    let Some(mut stage) = Stage::new().await else { return };
    // Connections come, and are never answered.
    let silent = TcpListener::bind((stage.cluster.gateway(), 0)).await.unwrap();
    stage.config.address = Some(silent.local_addr().unwrap().to_string());
    let mut run = stage.run().await;
    let pod = told(&stage, "silent", "echo written");
    assert_eq!(run.through(&pod).await.verdict, PodVerdict::Succeeded);
    let texts = run.texts(&pod.key).await;
    assert!(texts.len() == 2 && texts.contains(&"written".to_owned()), "{texts:?}");
    assert!(
        texts.iter().any(|text| text.starts_with("tiphys runner: the log was not handed over: ")),
        "{texts:?}"
    );
    run.end().await;
}
