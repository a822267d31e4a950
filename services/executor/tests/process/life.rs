//! Stop, forget, remove, and what must not be left behind.

use std::fs;
use std::time::Duration;

use tiphys_core::PodKey;
use tiphys_executor::launcher::{Launcher, PodSpec, PodState, PodVerdict, Secrets};

use crate::support::{Host, kill, number, pod, runs, until};

#[tokio::test]
async fn a_step_is_stopped_gently_and_then_not() {
    let host = Host::new();
    let mut run = host.run().await;
    for (name, script, grace, code) in [
        ("gentle", "echo $$$$ > pid; exec sleep 1000", 60_000, 143),
        ("deaf", "trap '' TERM; echo $$$$ > pid; while :; do sleep 0.01; done", 100, 137),
    ] {
        let pod = PodSpec { grace: Duration::from_millis(grace), ..pod(name, script) };
        run.launcher.start(&pod, Secrets::default()).await.unwrap();
        let pid = number(host.folder(&pod.key).join("work/pid")).await;
        assert!(matches!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Running { .. }));
        run.launcher.stop(&pod.key).await.unwrap();
        run.launcher.stop(&pod.key).await.unwrap();
        let result = run.end_of(&pod.key).await;
        assert_eq!((result.verdict, result.exit_code), (PodVerdict::Failed, Some(code)));
        assert!(!runs(pid));
        run.launcher.stop(&pod.key).await.unwrap();
    }
    run.launcher.stop(&PodKey("absent".into())).await.unwrap();
}

#[tokio::test]
async fn a_stuck_runner_is_killed() {
    let mut host = Host::new();
    host.config.stuck = Duration::from_millis(100);
    let mut run = host.run().await;
    let pod = PodSpec { grace: Duration::ZERO, ..pod("stuck", "echo $$$$ > pid; sleep 1000") };
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    let pid = number(host.folder(&pod.key).join("work/pid")).await;
    let runner = tiphys_runner::Started::read(&host.folder(&pod.key)).unwrap().unwrap().pid;
    let stopped = rustix::process::Pid::from_raw(runner).unwrap();
    rustix::process::kill_process(stopped, rustix::process::Signal::STOP).unwrap();
    run.launcher.stop(&pod.key).await.unwrap();
    let result = run.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert!(!runs(pid) && !runs(runner));
}

#[tokio::test]
async fn a_killed_runner_leaves_no_process() {
    let host = Host::new();
    let mut run = host.run().await;
    let script =
        "echo $$$$ > main; setsid sleep 1000 & echo $! > session; env -i sleep 1000 & echo $! > bare; wait";
    let pod = pod("killed", script);
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    let work = host.folder(&pod.key).join("work");
    let mut pids = Vec::new();
    for name in ["main", "session", "bare"] {
        pids.push(number(work.join(name)).await);
    }
    // The mark stands in the environment only once the program was executed.
    until("env -i took effect", || {
        let bytes = fs::read(format!("/proc/{}/environ", pids[2])).ok()?;
        bytes.is_empty().then_some(())
    })
    .await;
    kill(tiphys_runner::Started::read(&host.folder(&pod.key)).unwrap().unwrap().pid);
    let result = run.end_of(&pod.key).await;
    assert_eq!((result.verdict, result.exit_code), (PodVerdict::Error, None));
    assert!(result.message.starts_with("the runner was killed"), "{}", result.message);
    assert!(result.started.is_some());
    for pid in pids {
        assert!(!runs(pid));
    }
    // The same is found after a restart.
    run.end().await;
    assert_eq!(host.run().await.end_of(&pod.key).await, result);
}

#[tokio::test]
async fn a_runner_that_cannot_begin_is_reported() {
    let mut host = Host::new();
    host.config.runner = vec!["false".into()];
    let mut run = host.run().await;
    let result = run.through(&pod("x", "true")).await;
    assert_eq!((result.verdict, result.started), (PodVerdict::Error, None));
    assert!(
        result.message.contains("exit status: 1") && result.message.contains("false "),
        "{}",
        result.message
    );

    host.config.runner = vec!["/no/such/runner".into()];
    let run = host.run().await;
    assert!(run.launcher.start(&pod("y", "true"), Secrets::default()).await.is_err());
}

#[tokio::test]
async fn what_is_forgotten_is_tidied_and_never_runs_again() {
    let host = Host::new();
    let mut run = host.run().await;
    let count = host.dir.path().join("count");
    let pod = pod("once", &format!("echo x >> {}; echo said", count.display()));
    run.through(&pod).await;
    run.launcher.forget(&pod.key).await;
    let mut left: Vec<_> = fs::read_dir(host.folder(&pod.key))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["exit.json", "log", "started"]);
    assert_eq!(run.texts(&pod.key).await, ["said"]);
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n");
    run.end().await;

    let mut run = host.run().await;
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    assert_eq!(run.end_of(&pod.key).await.verdict, PodVerdict::Succeeded);
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n");
    run.launcher.remove(&pod.key).await;
    run.launcher.remove(&pod.key).await;
    assert!(!host.folder(&pod.key).exists());
    assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
}

#[tokio::test]
async fn removing_what_runs_ends_it() {
    let host = Host::new();
    let run = host.run().await;
    let pod = pod("gone", "setsid sleep 1000 & echo $! > pid; wait");
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    let pid = number(host.folder(&pod.key).join("work/pid")).await;
    run.launcher.forget(&pod.key).await;
    assert!(runs(pid), "what runs is not forgotten");
    run.launcher.remove(&pod.key).await;
    assert!(!runs(pid) && !host.folder(&pod.key).exists());
    assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
    run.end().await;
    assert!(!host.folder(&pod.key).exists());
}
