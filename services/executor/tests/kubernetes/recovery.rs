//! Nothing is lost and nothing runs twice, whatever the API server or Tiphys do. The pods are told of by a stub of a kubelet, as
//! hundreds are wanted, and some are to end at a word.

use std::collections::HashSet;
use std::sync::OnceLock;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::PostParams;
use serde_json::json;
use tiphys_core::PodKey;
use tiphys_executor::launcher::{Launcher, PodGc, PodSpec, PodState, PodVerdict, Secrets};
use tiphys_servers::Kubernetes;
use tiphys_servers::flaky::{Fault, Flaky};
use tiphys_servers::kubelet::{Fate, Kubelet, Stub};
use tiphys_servers::kubernetes::Setup;

use crate::support::{PATIENCE, Stage, until};

/// A cluster without a node, and the stub that tells of its pods: what the label `fate` says becomes of each.
pub(crate) async fn stage() -> Option<(Stage, &'static Kubelet)> {
    static CLUSTER: OnceLock<Option<(&'static Kubernetes, Kubelet)>> = OnceLock::new();
    let found = CLUSTER.get_or_init(|| {
        let cluster: &'static Kubernetes = Box::leak(Box::new(tiphys_servers::kubernetes()?));
        let fate = |pod: &Pod| match pod.metadata.labels.as_ref().and_then(|labels| labels.get("fate")) {
            Some(fate) if fate == "runs" => Fate::runs(),
            Some(fate) if fate == "later" => Fate::exits(4).after(Duration::from_secs(2)),
            _ => Fate::exits(0),
        };
        Some((cluster, Stub::new("stub").binding().start(cluster, fate)))
    });
    let (cluster, kubelet) = found.as_ref()?;
    Some((Stage::on(cluster).await, kubelet))
}

pub(crate) fn pod(stage: &Stage, name: &str, fate: &str) -> PodSpec {
    let mut pod = stage.pod(name, "true");
    pod.labels.insert("fate".into(), fate.into());
    pod
}

/// How many pods of this name there ever were.
pub(crate) fn ever(stage: &Stage, kubelet: &Kubelet, pod: &PodSpec) -> usize {
    let taken = kubelet.taken();
    taken.iter().filter(|taken| taken.namespace == stage.namespace && taken.name == pod.name).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_makes_no_second_pod() {
    let Some((stage, kubelet)) = stage().await else { return };
    let flaky = Flaky::before(stage.cluster);
    let mut config = flaky.config().await;
    // So that it is the launcher who tries again.
    config.default_retry = false;
    let mut run = stage.run_with(kube::Client::try_from(config).unwrap(), stage.config.clone()).await;
    let faults = [
        ("limited", Fault::TooMany(1)),
        ("broken", Fault::Status(500)),
        ("unavailable", Fault::Status(503)),
        ("unheard", Fault::Unheard),
        ("unanswered", Fault::Unanswered),
        ("late", Fault::Late(Duration::from_secs(2))),
    ];
    for (name, fault) in faults {
        flaky.inject(2, fault, |request| request.verb == "create" && request.resource == "pods");
        let pod = pod(&stage, name, "ends");
        let result = run.through(&pod).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Succeeded, Some(0)), "{name}");
        assert_eq!(ever(&stage, kubelet, &pod), 1, "{name}");
        flaky.behave();
    }
    // What is refused for good is told at once.
    flaky.inject(9, Fault::Status(422), |request| request.verb == "create" && request.resource == "pods");
    let refused = run.launcher.start(&pod(&stage, "refused", "ends"), Secrets::default()).await.unwrap_err();
    assert!(
        refused.to_string().contains("pod wf-refused-1 was refused: the test wants status 422"),
        "{refused}"
    );
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_heard_of_through_closed_expired_and_silent_watches() {
    let Some((stage, kubelet)) = stage().await else { return };
    let flaky = Flaky::before(stage.cluster);
    let mut run = stage.run_with(flaky.client().await, stage.config.clone()).await;
    let lists =
        || flaky.seen().iter().filter(|request| request.verb == "list" && request.resource == "pods").count();
    for (name, expire) in [("closed", false), ("expired", true)] {
        let pod = pod(&stage, name, "later");
        run.start(&pod).await;
        let before = lists();
        if expire {
            flaky.expire_watches();
        } else {
            flaky.close_watches();
        }
        let result = run.end_of(&pod.key).await;
        assert_eq!(result.message, "main: Error (exit code 4)");
        // A watch that was closed goes on where it was; one that expired begins with a list.
        assert_eq!(lists() > before, expire, "{name}");
        assert_eq!(ever(&stage, kubelet, &pod), 1);
    }
    // Deleted while nothing is heard, and missing in the list that comes then.
    let gone = pod(&stage, "gone", "runs");
    run.start(&gone).await;
    run.running(&gone.key).await;
    flaky.hold_watches();
    stage.pods().delete(&gone.name, &kube::api::DeleteParams::default().grace_period(0)).await.unwrap();
    // Here it still runs: what was heard last decides nothing but this.
    assert!(matches!(run.launcher.observe(&gone.key).await.unwrap(), PodState::Running { .. }));
    flaky.expire_watches();
    flaky.let_watches_go();
    let result = run.end_of(&gone.key).await;
    assert_eq!((result.verdict, result.message.as_str()), (PodVerdict::Error, "pod deleted"));
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_is_never_answered_is_begun_again() {
    let Some((mut stage, kubelet)) = stage().await else { return };
    stage.config.answer = Duration::from_secs(2);
    let flaky = Flaky::before(stage.cluster);
    let mut run = stage.run_with(flaky.client().await, stage.config.clone()).await;
    let pod = pod(&stage, "unheard", "later");
    run.start(&pod).await;
    // As where the server's machine is gone, and nobody closes the connection.
    let never = Fault::Late(Duration::from_secs(3600));
    flaky.inject(1, never, |request| request.verb == "watch" && request.resource == "pods");
    flaky.close_watches();
    assert_eq!(run.end_of(&pod.key).await.exit_code, Some(4));
    assert_eq!(ever(&stage, kubelet, &pod), 1);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_is_away_loses_no_end() {
    let Some((stage, kubelet)) = stage().await else { return };
    let flaky = Flaky::before(stage.cluster);
    let mut run = stage.run_with(flaky.client().await, stage.config.clone()).await;
    let (ends, runs) = (pod(&stage, "ends-away", "later"), pod(&stage, "stopped-away", "runs"));
    for pod in [&ends, &runs] {
        run.start(pod).await;
    }
    run.running(&runs.key).await;
    flaky.go_away();
    // It cannot be done now, and is done later.
    run.launcher.stop(&runs.key).await.unwrap();
    let starting = pod(&stage, "started-away", "ends");
    let launcher = run.launcher.clone();
    let (again, spec) = (tiphys_kit::Tasks::new(tiphys_kit::CancellationToken::new()), starting.clone());
    again.spawn("start", async move { while launcher.start(&spec, Secrets::default()).await.is_err() {} });
    tokio::time::sleep(Duration::from_secs(5)).await;
    flaky.come_back();
    assert_eq!(run.end_of(&ends.key).await.exit_code, Some(4));
    assert!(matches!(run.end_of(&runs.key).await.verdict, PodVerdict::Error | PodVerdict::Failed));
    assert_eq!(run.end_of(&starting.key).await.verdict, PodVerdict::Succeeded);
    assert!(again.drain(PATIENCE).await);
    for pod in [&ends, &runs, &starting] {
        assert_eq!(ever(&stage, kubelet, pod), 1, "{}", pod.name);
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_running_pods_are_found_again_and_none_runs_twice() {
    let Some((stage, kubelet)) = stage().await else { return };
    let run = stage.run().await;
    let pods: Vec<PodSpec> = (0..100).map(|number| pod(&stage, &format!("many-{number}"), "later")).collect();
    let launcher = run.launcher.clone();
    futures_all(&pods, |pod| {
        let launcher = launcher.clone();
        async move { launcher.start(&pod, Secrets::default()).await.unwrap() }
    })
    .await;
    // Killed: nothing is said to anybody.
    drop(launcher);
    run.end().await;
    let mut run = stage.run().await;
    let mut announced = HashSet::new();
    while announced.len() < pods.len() {
        announced.insert(tokio::time::timeout(PATIENCE, run.changes.recv()).await.unwrap().unwrap());
    }
    for pod in &pods {
        // Whoever reads the journal starts again what stands there.
        run.start(pod).await;
        assert_eq!(run.end_of(&pod.key).await.exit_code, Some(4));
        assert_eq!(ever(&stage, kubelet, pod), 1);
    }
    run.end().await;
}

async fn futures_all<F: Future<Output = ()> + Send + 'static>(pods: &[PodSpec], work: impl Fn(PodSpec) -> F) {
    let tasks = tiphys_kit::Tasks::new(tiphys_kit::CancellationToken::new());
    for pod in pods {
        tasks.spawn("one", work(pod.clone()));
    }
    assert!(tasks.drain(PATIENCE).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_is_taken_over_only_if_it_is_of_this_attempt() {
    let Some((stage, kubelet)) = stage().await else { return };
    let (mut one, mut two) = (stage.run().await, stage.run().await);
    let shared = pod(&stage, "shared", "ends");
    let (first, second) = tokio::join!(
        one.launcher.start(&shared, Secrets::default()),
        two.launcher.start(&shared, Secrets::default())
    );
    assert_eq!((first, second), (Ok(()), Ok(())));
    for run in [&mut one, &mut two] {
        assert_eq!(run.end_of(&shared.key).await.verdict, PodVerdict::Succeeded);
    }
    assert_eq!(ever(&stage, kubelet, &shared), 1);
    // Tried again by hand: another attempt of the same node takes the place of the one that ended.
    one.launcher.forget(&shared.key).await;
    let again = PodSpec { key: PodKey("other".into()), ..shared.clone() };
    assert_eq!(one.through(&again).await.verdict, PodVerdict::Succeeded);
    assert_eq!(ever(&stage, kubelet, &shared), 2);
    // Somebody else's is left alone, whatever it looks like.
    let theirs = pod(&stage, "theirs", "runs");
    for labels in [
        json!({}),
        json!({"tiphys.dev/pod-key": theirs.key, "tiphys.dev/workflow-uid": "another", "fate": "runs"}),
        // The same workflow of the same event, of another installation.
        json!({"tiphys.dev/pod-key": theirs.key, "tiphys.dev/workflow-uid": theirs.workflow_uid,
            "tiphys.dev/installation": "another", "fate": "runs"}),
    ] {
        let object = json!({"metadata": {"name": theirs.name, "labels": labels,
            "annotations": {"workflows.argoproj.io/node-id": theirs.node_id}},
            "spec": {"containers": [{"name": "main", "image": "busybox:1"}]}});
        stage.pods().create(&PostParams::default(), &serde_json::from_value(object).unwrap()).await.unwrap();
        let refused = one.launcher.start(&theirs, Secrets::default()).await.unwrap_err().to_string();
        assert!(refused.contains("is not of this attempt"), "{refused}");
        assert!(stage.object(&theirs).await.is_some());
        stage.pods().delete(&theirs.name, &kube::api::DeleteParams::default().grace_period(0)).await.unwrap();
        until("it is gone", async || stage.object(&theirs).await.is_none().then_some(())).await;
    }
    one.end().await;
    two.end().await;
}

/// A cluster that gives a silent node up within seconds, and a stub whose pods run for ever.
fn hasty() -> Option<(&'static Kubernetes, Kubelet, Kubelet)> {
    let cluster: &'static Kubernetes = Box::leak(Box::new(Setup::new().hasty().start()?));
    let silent = Stub::new("one").start(cluster, |_| Fate::runs());
    let other = Stub::new("two").start(cluster, |_| Fate::runs());
    Some((cluster, silent, other))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_falls_silent_or_is_deleted_takes_its_pods_with_it() {
    let Some((cluster, silent, _other)) = hasty() else { return };
    let mut stage = Stage::on(cluster).await;
    stage.config.lost = Duration::from_secs(3);
    let mut run = stage.run().await;
    let on = |name: &str, node: &str| {
        let mut pod = PodSpec { grace: Duration::from_secs(1), ..pod(&stage, name, "runs") };
        pod.pod.spec.insert("nodeSelector".into(), json!({"kubernetes.io/hostname": node}));
        pod
    };
    let (lost, deleted) = (on("lost", "one"), on("deleted", "two"));
    for pod in [&lost, &deleted] {
        run.start(pod).await;
        run.running(&pod.key).await;
    }
    // Its kubelet stops: the cluster wants the pod gone, and nobody confirms it.
    drop(silent);
    let result = run.end_of(&lost.key).await;
    assert_eq!((result.verdict, result.host.as_deref()), (PodVerdict::Error, None));
    assert_eq!(result.message, "pod deleted: its node one does not confirm that it ended");
    assert!(result.started.is_some());
    run.launcher.forget(&lost.key).await;
    // The whole node goes.
    let nodes = kube::Api::<k8s_openapi::api::core::v1::Node>::all(stage.client.clone());
    drop(_other);
    nodes.delete("two", &Default::default()).await.unwrap();
    let result = run.end_of(&deleted.key).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert!(result.message.starts_with("pod deleted"), "{}", result.message);
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_executor_keeps_nothing_of_what_another_looks_after() {
    let Some((stage, _)) = stage().await else { return };
    let (mut owner, mut other) = (stage.run().await, stage.run().await);
    let (ends, runs) = (pod(&stage, "ends-elsewhere", "ends"), pod(&stage, "runs-elsewhere", "runs"));
    for pod in [&ends, &runs] {
        owner.start(pod).await;
    }
    assert_eq!(owner.end_of(&ends.key).await.verdict, PodVerdict::Succeeded);
    owner.running(&runs.key).await;
    other.end_of(&ends.key).await;
    other.running(&runs.key).await;
    for pod in [&ends, &runs] {
        other.launcher.leave(&pod.key);
    }
    // The owner's note of the end is no end to the other.
    owner.launcher.forget(&ends.key).await;
    until("the pod is marked", async || {
        let object = stage.object(&ends).await.unwrap();
        (object["metadata"]["labels"]["workflows.argoproj.io/completed"] == "true").then_some(())
    })
    .await;
    // Both are known again to who asks; what still runs was never let go of.
    assert!(matches!(other.launcher.observe(&runs.key).await.unwrap(), PodState::Running { .. }));
    assert!(matches!(other.launcher.observe(&ends.key).await.unwrap(), PodState::Ended(_)));
    owner.launcher.stop(&runs.key).await.unwrap();
    assert_eq!(other.end_of(&runs.key).await.verdict, PodVerdict::Error);
    owner.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_read_holds_up_nothing() {
    let Some((stage, _)) = stage().await else { return };
    let mut run = stage.run().await;
    let mut pod = pod(&stage, "unreadable", "ends");
    pod.pod.gc = PodGc::OnCompletion;
    let result = run.through(&pod).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded);
    run.launcher.forget(&pod.key).await;
    until("the pod is gone", async || stage.object(&pod).await.is_none().then_some(())).await;
    let texts = run.texts(&pod.key).await;
    assert_eq!(texts.len(), 1, "{texts:?}");
    let why = "tiphys: there is no log of this step: it could not be read before its pod went: ";
    assert!(texts[0].starts_with(why), "{texts:?}");
    run.end().await;
}
