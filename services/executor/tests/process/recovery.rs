//! Tiphys ends and comes back; the machine does.

use std::fs;
use std::sync::Arc;

use tiphys_core::Timestamp;
use tiphys_executor::launcher::{Launcher, PodState, PodVerdict, Secrets};
use tiphys_runner::{Spec, Started};

use crate::support::{Host, PATIENCE, kill, number, pod, runs, until};

#[tokio::test]
async fn steps_go_on_without_tiphys_and_are_found_again() {
    let host = Host::new();
    let run = host.run().await;
    let go = host.dir.path().join("go");
    let script = format!(
        "echo began; echo $$$$ > pid; while ! test -e {}; do sleep 0.01; done; echo done; exit 9",
        go.display()
    );
    let (during, after) = (pod("during", &script), pod("after", &script));
    for pod in [&during, &after] {
        run.launcher.start(pod, Secrets::default()).await.unwrap();
        number(host.folder(&pod.key).join("work/pid")).await;
    }
    run.end().await;

    // Both still run when the next Tiphys comes.
    let mut run = host.run().await;
    for _ in 0..2 {
        let key = tokio::time::timeout(PATIENCE, run.changes.recv()).await.unwrap().unwrap();
        let state = run.launcher.observe(&key).await.unwrap();
        assert!(matches!(state, PodState::Running { .. }), "{state:?}");
    }
    run.launcher.start(&during, Secrets::default()).await.unwrap();
    fs::write(&go, "").unwrap();
    let result = run.end_of(&during.key).await;
    assert_eq!((result.exit_code, result.result.as_deref()), (Some(9), Some("began\ndone")));
    run.end_of(&after.key).await;
    run.launcher.forget(&during.key).await;
    run.end().await;

    // One was forgotten; the other is announced with its result.
    let mut run = host.run().await;
    let key = tokio::time::timeout(PATIENCE, run.changes.recv()).await.unwrap().unwrap();
    assert_eq!(key, after.key);
    assert_eq!(run.end_of(&after.key).await.exit_code, Some(9));
}

#[tokio::test]
async fn a_step_of_before_is_stopped_and_its_killed_runner_noticed() {
    let host = Host::new();
    let run = host.run().await;
    let (first, second) =
        (pod("first", "echo $$$$ > pid; exec sleep 1000"), pod("second", "echo $$$$ > pid; exec sleep 1000"));
    let mut pids = Vec::new();
    for pod in [&first, &second] {
        run.launcher.start(pod, Secrets::default()).await.unwrap();
        pids.push(number(host.folder(&pod.key).join("work/pid")).await);
    }
    run.end().await;
    let started = Started::read(&host.folder(&second.key)).unwrap().unwrap();
    kill(started.pid);
    until("the runner is gone", || (!runs(started.pid)).then_some(())).await;

    let mut run = host.run().await;
    run.launcher.stop(&first.key).await.unwrap();
    assert_eq!(run.end_of(&first.key).await.exit_code, Some(143));
    let result = run.end_of(&second.key).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert_eq!(result.started, Some(started.time));
    assert!(pids.into_iter().all(|pid| !runs(pid)));
}

#[tokio::test]
async fn a_step_of_an_earlier_boot_is_an_error_and_never_runs_again() {
    let mut host = Host::new();
    let run = host.run().await;
    let pod = pod("boot", "echo $$$$ > pid; exec sleep 1000");
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    let pid = number(host.folder(&pod.key).join("work/pid")).await;
    run.end().await;

    // To the launcher it looks as if the machine had been started again and all numbers were others'.
    let boot = std::mem::replace(&mut host.config.boot, "a later boot".into());
    let mut run = host.run().await;
    let result = run.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Error);
    assert!(result.message.contains("the machine was restarted"), "{}", result.message);
    assert!(runs(pid), "a process that is not ours is left alone");
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    assert_eq!(run.end_of(&pod.key).await, result);
    run.end().await;
    host.config.boot = boot;
    let run = host.run().await;
    run.launcher.remove(&pod.key).await;
    kill(Started::read(&host.folder(&pod.key)).ok().flatten().map_or(pid, |started| started.pid));
}

#[tokio::test]
async fn a_number_used_again_is_not_taken_for_the_runner() {
    let host = Host::new();
    let run = host.run().await;
    let pod = pod("reuse", "echo $$$$ > pid; exec sleep 1000");
    run.launcher.start(&pod, Secrets::default()).await.unwrap();
    number(host.folder(&pod.key).join("work/pid")).await;
    run.end().await;
    let place = host.folder(&pod.key).join("started");
    let started: Started = serde_json::from_slice(&fs::read(&place).unwrap()).unwrap();
    kill(started.pid);
    // This test's own process has the number now, as far as the folder tells.
    let own = i32::try_from(std::process::id()).unwrap();
    fs::write(&place, serde_json::to_vec(&Started { pid: own, ..started }).unwrap()).unwrap();
    let result = host.run().await.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Error);
}

#[tokio::test]
async fn two_starts_of_one_key_run_it_once() {
    let host = Host::new();
    let mut run = host.run().await;
    let count = host.dir.path().join("count");
    let pod = pod("twice", &format!("echo x >> {}", count.display()));
    let launcher = Arc::clone(&run.launcher);
    let start = || launcher.start(&pod, Secrets::default());
    let (one, two, three) = tokio::join!(start(), start(), start());
    assert_eq!((one, two, three), (Ok(()), Ok(()), Ok(())));
    run.end_of(&pod.key).await;
    start().await.unwrap();
    assert_eq!(fs::read_to_string(&count).unwrap(), "x\n");
}

#[tokio::test]
async fn what_was_interrupted_before_the_spawn_is_started_anew() {
    let host = Host::new();
    let mut run = host.run().await;
    let model = pod("model", "true");
    run.through(&model).await;
    let spec = Spec::read(&host.folder(&model.key)).unwrap();

    // Killed while the folder was filled, and while the spec was written.
    for (name, left) in [("empty", None), ("half", Some("{\"key\": \"ab"))] {
        let pod = pod(name, "echo ran");
        fs::create_dir(host.folder(&pod.key)).unwrap();
        if let Some(text) = left {
            fs::write(host.folder(&pod.key).join("spec.json"), text).unwrap();
        }
        assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
        assert_eq!(run.through(&pod).await.result.as_deref(), Some("ran"));
    }

    // Killed between the spec and the spawn: what was prepared is what runs.
    let pod = pod("ready", "echo other");
    let folder = host.folder(&pod.key);
    fs::create_dir_all(folder.join("work")).unwrap();
    let prepared = Spec {
        key: pod.key.0.clone(),
        command: ["true"].map(String::from).into(),
        work: folder.join("work"),
        written: Timestamp::now(),
        ..spec
    };
    fs::write(folder.join("spec.json"), serde_json::to_vec(&prepared).unwrap()).unwrap();
    assert_eq!(run.launcher.observe(&pod.key).await.unwrap(), PodState::Unknown);
    assert_eq!(run.through(&pod).await.verdict, PodVerdict::Succeeded);
}
