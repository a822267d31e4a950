//! What another executor, or a later run of the same, finds.

use std::collections::HashSet;
use std::time::Duration;

use tiphys_executor::launcher::docker::Config;
use tiphys_executor::launcher::{
    Archive, Ended, Launcher, OutputArtifact, PodSpec, PodState, PodVerdict, Secrets,
};

use crate::support::{Host, PATIENCE, Run, eventually, open, pod_of};

/// How many containers go on while nobody looks. A hundred would do the same, for longer.
const MANY: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn all_that_runs_is_found_again_and_nothing_runs_twice() {
    let Some(host) = Host::new() else { return };
    let run = host.run().await;
    let mut pods = Vec::new();
    for number in 0..MANY {
        // Each third ends while nobody looks, each second is under the runner.
        let sleep = if number % 3 == 0 { 0 } else { 1000 };
        let script = format!("echo ran; trap 'exit {number}' TERM; sleep {sleep} & wait; exit {number}");
        let pod = PodSpec { capture_result: number % 2 == 0, ..host.pod(&format!("p{number}"), &script) };
        pods.push(pod);
    }
    for pod in &pods {
        run.start(pod).await;
    }
    // Without a goodbye: what it knew is lost.
    run.end().await;

    let mut again = host.run().await;
    let mut announced = HashSet::new();
    while announced.len() < MANY {
        let key = tokio::time::timeout(PATIENCE, again.changes.recv()).await.unwrap().unwrap();
        announced.insert(key);
    }
    assert!(pods.iter().all(|pod| announced.contains(&pod.key)));
    for pod in &pods {
        again.start(pod).await;
    }
    for (number, pod) in pods.iter().enumerate() {
        if number % 3 != 0 {
            assert!(matches!(again.launcher.observe(&pod.key).await.unwrap(), PodState::Running { .. }));
            eventually("it is up", async || (!again.texts(&pod.key).await.is_empty()).then_some(())).await;
            again.launcher.stop(&pod.key).await.unwrap();
        }
        let result = again.end_of(&pod.key).await;
        assert_eq!(result.exit_code, Some(i32::try_from(number).unwrap()), "{result:?}");
        assert_eq!(again.texts(&pod.key).await, ["ran"], "once");
        again.launcher.forget(&pod.key).await;
    }
    eventually("all is tidy", async || {
        host.containers().iter().all(|name| name.contains("pause")).then_some(())
    })
    .await;
    // Nothing is left to be announced.
    again.end().await;
    let last = host.run().await;
    assert!(matches!(last.launcher.observe(&pods[0].key).await.unwrap(), PodState::Unknown));
}

/// Not a test: the process that the next test kills.
#[tokio::test(flavor = "multi_thread")]
async fn be_killed() {
    let Ok(told) = std::env::var(KILLED) else { return };
    let (engine, folder, installation, number) = serde_json::from_str(&told).unwrap();
    let config = Config::new(engine, tiphys_payload::runner().unwrap().into(), folder, installation);
    let launcher = open(config).await;
    for pod in short_pods(number) {
        launcher.start(&pod, Secrets::default()).await.unwrap();
    }
    std::future::pending::<()>().await;
}

const KILLED: &str = "TIPHYS_TEST_KILLED";

fn short_pods(number: u32) -> Vec<PodSpec> {
    let pods = (0..12).map(|n| PodSpec {
        capture_result: n % 2 == 0,
        ..pod_of(number, &format!("k{n}"), "echo ran; sleep 2; echo done")
    });
    pods.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_is_killed_while_it_starts_pods_leaves_none_behind() {
    let Some(host) = Host::new() else { return };
    for (round, containers) in [2, 7, 12].into_iter().enumerate() {
        let number = 1000 + u32::try_from(round).unwrap();
        let installation = format!("{}-{round}", host.config.installation);
        let folder = host.dir.path().join(format!("killed-{round}"));
        let told = serde_json::json!([host.config.host, folder, installation, number]).to_string();
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "again::be_killed"])
            .env(KILLED, told)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let label = format!("label=tiphys.dev/installation={installation}");
        let all = || host.docker(&["ps", "--all", "--quiet", "--filter", &label]).unwrap().lines().count();
        eventually("some containers", async || (all() >= containers).then_some(())).await;
        child.kill().unwrap();
        child.wait().unwrap();

        let config = Config { installation, folder, ..host.config.clone() };
        let mut run = Run::of(&host, config).await;
        for pod in short_pods(number) {
            // As the executor does with all that its journal says was to be started.
            eventually("it is started", async || run.try_start(&pod).await.ok()).await;
        }
        for pod in short_pods(number) {
            let result = run.end_of(&pod.key).await;
            assert_eq!((result.message.as_str(), result.verdict), ("", PodVerdict::Succeeded));
            assert_eq!(run.texts(&pod.key).await, ["ran", "done"], "once");
            run.launcher.forget(&pod.key).await;
        }
        eventually("only the network is left", async || (all() == 1).then_some(())).await;
        run.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_meanwhile_has_its_outputs() {
    let Some(host) = Host::new() else { return };
    let run = host.run().await;
    let artifact = OutputArtifact {
        name: "out".into(),
        path: "/tmp/out".into(),
        key: "wf/out".into(),
        archive: Archive::None,
        optional: false,
    };
    let pod = PodSpec {
        output_artifacts: vec![artifact],
        capture_result: true,
        ..host.pod("outputs", "echo said; echo made > /tmp/out")
    };
    run.start(&pod).await;
    run.end().await;
    eventually("it ended", async || {
        let state = host.docker(&["inspect", "--format", "{{.State.Status}}", &host.name(&pod)])?;
        (state == "exited").then_some(())
    })
    .await;
    let mut again = host.run().await;
    let result = again.end_of(&pod.key).await;
    assert_eq!((result.verdict, result.result.as_deref()), (PodVerdict::Succeeded, Some("said")));
    assert_eq!(result.artifacts[0].size, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_launchers_start_a_pod_once() {
    let Some(host) = Host::new() else { return };
    let (mut one, mut two) = (host.run().await, host.run().await);
    for number in 0..5 {
        let pod = PodSpec {
            capture_result: number % 2 == 0,
            ..host.pod(&format!("both{number}"), "cat /proc/sys/kernel/random/uuid")
        };
        let start = async |run: &crate::support::Run| loop {
            match run.launcher.start(&pod, Secrets::default()).await {
                Ok(()) => return,
                // As the executor does: the other one is about to start it.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        };
        tokio::join!(start(&one), start(&two));
        let (first, second) = (one.end_of(&pod.key).await, two.end_of(&pod.key).await);
        assert_eq!((first.verdict, &first), (PodVerdict::Succeeded, &second));
        assert_eq!(one.texts(&pod.key).await.len(), 1);
        assert_eq!(one.texts(&pod.key).await, two.texts(&pod.key).await);
    }
}

/// A container as a process leaves it that is killed before it starts it.
fn half_made(host: &Host, pod: &PodSpec) {
    let labels = [
        format!("tiphys.dev/installation={}", host.config.installation),
        format!("tiphys.dev/pod={}", pod.key),
        format!("tiphys.dev/workflow-uid={}", pod.workflow_uid),
        "tiphys.dev/role=main".to_owned(),
    ];
    let name = host.name(pod);
    let mut arguments = vec!["create", "--name", &name];
    for label in &labels {
        arguments.extend(["--label", label]);
    }
    arguments.extend([crate::support::IMAGE, "false"]);
    host.docker(&arguments).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_and_not_started_is_made_anew() {
    let Some(host) = Host::new() else { return };
    let mut run = host.run().await;
    let pod = host.pod("half", "echo ran");
    half_made(&host, &pod);
    assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
    eventually("it is taken for a leftover", async || run.try_start(&pod).await.ok()).await;
    assert_eq!(run.end_of(&pod.key).await.exit_code, Some(0));
    assert_eq!(run.texts(&pod.key).await, ["ran"]);
    // One that is never started goes with its workflow.
    let pod = host.pod("never", "true");
    half_made(&host, &pod);
    let workflow = Ended {
        namespace: "default".into(),
        name: host.workflow(),
        uid: host.uid(),
        claims: Vec::new(),
        pods: Vec::new(),
        collect: false,
    };
    run.launcher.over(&workflow).await;
    eventually("it is gone", async || (!host.containers().contains(&host.name(&pod))).then_some(())).await;
}
