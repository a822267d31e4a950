//! What the API server does not do at once is done later: pods are marked, taken away and listed all the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tiphys_executor::launcher::{Ended, Launcher, PodGc, PodSpec, PodVerdict};
use tiphys_servers::flaky::{Fault, Flaky};
use tiphys_servers::kubernetes::Request;

use crate::recovery::{ever, pod, stage};
use crate::support::{Run, Stage, until};

/// What may happen to a request, and whether it is asked for again then.
fn faults() -> [(&'static str, Fault, bool); 6] {
    [
        ("limited", Fault::TooMany(1), true),
        ("broken", Fault::Status(500), true),
        ("unavailable", Fault::Status(503), true),
        ("unheard", Fault::Unheard, true),
        ("unanswered", Fault::Unanswered, true),
        ("late", Fault::Late(Duration::from_secs(2)), false),
    ]
}

/// A launcher behind the proxy, who tries again by itself: its client does not.
async fn behind(stage: &Stage, flaky: &Flaky) -> Run {
    let mut config = flaky.config().await;
    config.default_retry = false;
    stage.run_with(kube::Client::try_from(config).unwrap(), stage.config.clone()).await
}

/// How often this was asked of the proxy.
fn asked(flaky: &Flaky, concerns: impl Fn(&Request) -> bool) -> usize {
    flaky.seen().iter().filter(|request| concerns(request)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_marked_and_taken_away_whatever_is_answered() {
    let Some((stage, kubelet)) = stage().await else { return };
    let flaky = Flaky::before(stage.cluster);
    let mut run = behind(&stage, &flaky).await;
    for (name, fault, again) in faults() {
        let (stays, mut goes) =
            (pod(&stage, &format!("{name}-stays"), "ends"), pod(&stage, &format!("{name}-goes"), "ends"));
        goes.pod.gc = PodGc::OnCompletion;
        let of = |verb: &'static str, pod: &PodSpec| {
            let name = pod.name.clone();
            move |request: &Request| {
                request.verb == verb && request.resource == "pods" && request.name == name
            }
        };
        flaky.inject(2, fault.clone(), of("patch", &stays));
        flaky.inject(2, fault, of("delete", &goes));
        for pod in [&stays, &goes] {
            assert_eq!(run.through(pod).await.verdict, PodVerdict::Succeeded, "{name}");
            run.launcher.forget(&pod.key).await;
        }
        until("the pod is gone", async || stage.object(&goes).await.is_none().then_some(())).await;
        until("the pod is marked", async || {
            let labels = stage.object(&stays).await.unwrap()["metadata"]["labels"].clone();
            (labels["workflows.argoproj.io/completed"] == "true").then_some(())
        })
        .await;
        let least = if again { 3 } else { 1 };
        until("both were asked for again", async || {
            let all = asked(&flaky, of("patch", &stays)).min(asked(&flaky, of("delete", &goes)));
            (all >= least).then_some(())
        })
        .await;
        for pod in [&stays, &goes] {
            assert_eq!(ever(&stage, kubelet, pod), 1, "{name}");
        }
        flaky.behave();
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_stopped_whatever_is_answered() {
    let Some((stage, _)) = stage().await else { return };
    let flaky = Flaky::before(stage.cluster);
    let mut run = behind(&stage, &flaky).await;
    for (name, fault, _) in faults() {
        let pod = pod(&stage, name, "runs");
        run.start(&pod).await;
        run.running(&pod.key).await;
        flaky.inject(2, fault, |request| request.verb == "delete" && request.resource == "pods");
        run.launcher.stop(&pod.key).await.unwrap();
        let result = run.end_of(&pod.key).await;
        assert!(matches!(result.verdict, PodVerdict::Error | PodVerdict::Failed), "{name}: {result:?}");
        until("the pod is gone", async || stage.object(&pod).await.is_none().then_some(())).await;
        flaky.behave();
    }
    run.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_are_listed_whatever_is_answered() {
    let Some((stage, kubelet)) = stage().await else { return };
    for (name, fault, again) in faults() {
        let flaky = Flaky::before(stage.cluster);
        let run = behind(&stage, &flaky).await;
        let mut pod = pod(&stage, name, "runs");
        pod.workflow_uid = format!("uid-of-{name}");
        run.start(&pod).await;
        run.end().await;
        // Whoever comes next finds it by a list.
        let lists = |request: &Request| request.verb == "list" && request.resource == "pods";
        // Not the first: it asks for the right, and who opens a launcher tries that again.
        let begun = AtomicBool::new(false);
        flaky.inject(2, fault.clone(), move |request| lists(request) && begun.swap(true, Ordering::SeqCst));
        let before = asked(&flaky, lists);
        let mut run = behind(&stage, &flaky).await;
        run.running(&pod.key).await;
        let least = if again { 4 } else { 2 };
        assert!(asked(&flaky, lists) - before >= least, "{name}");
        run.launcher.stop(&pod.key).await.unwrap();
        run.end_of(&pod.key).await;
        flaky.behave();
        assert_eq!(ever(&stage, kubelet, &pod), 1, "{name}");

        // So do those that go with their workflow, whose logs are kept first.
        let mut last = crate::recovery::pod(&stage, &format!("{name}-last"), "ends");
        last.workflow_uid.clone_from(&pod.workflow_uid);
        assert_eq!(run.through(&last).await.verdict, PodVerdict::Succeeded);
        run.launcher.forget(&last.key).await;
        flaky.inject(2, fault.clone(), lists);
        flaky.inject(2, fault, |request| request.verb == "deletecollection" && request.resource == "pods");
        let ended = Ended {
            namespace: stage.namespace.clone(),
            name: "wf".into(),
            uid: last.workflow_uid.clone(),
            claims: Vec::new(),
            pods: vec![last.key.clone()],
            collect: true,
        };
        run.launcher.over(&ended).await;
        until("the pod is gone", async || stage.object(&last).await.is_none().then_some(())).await;
        let texts = run.texts(&last.key).await;
        assert!(texts[0].starts_with("tiphys: there is no log of this step: "), "{name}: {texts:?}");
        run.end().await;
    }
}
