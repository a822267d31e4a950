//! Several launchers on one folder, as several executors of a machine have them.

use std::fs;
use std::time::Duration;

use tiphys_executor::launcher::{LaunchError, Launcher, PodState, Secrets};

use crate::support::{Host, number, pod};

#[tokio::test]
async fn two_launchers_start_a_step_once_and_both_see_its_end() {
    let host = Host::new();
    let (mut one, mut two) = (host.run().await, host.run().await);
    assert_eq!(one.launcher.identity(), two.launcher.identity());
    let count = host.dir.path().join("count");
    let mut pods = Vec::new();
    for index in 0..20 {
        let script = format!("echo {index} >> {}; echo out-{index}", count.display());
        pods.push(pod(&format!("twice-{index}"), &script));
    }
    for pod in &pods {
        let (first, second) = tokio::join!(
            one.launcher.start(pod, Secrets::default()),
            two.launcher.start(pod, Secrets::default())
        );
        assert_eq!((first, second), (Ok(()), Ok(())));
    }
    for (index, pod) in pods.iter().enumerate() {
        let (first, second) = (one.end_of(&pod.key).await, two.end_of(&pod.key).await);
        assert_eq!(first.result, Some(format!("out-{index}")));
        assert_eq!(first, second);
    }
    let mut ran: Vec<u32> =
        fs::read_to_string(&count).unwrap().lines().map(|line| line.parse().unwrap()).collect();
    ran.sort_unstable();
    assert_eq!(ran, (0..20).collect::<Vec<u32>>(), "each ran once");
    let drafts = fs::read_dir(host.config.root.join(".drafts")).unwrap();
    assert_eq!(drafts.count(), 0, "nothing half-made is left");
}

#[tokio::test]
async fn what_one_started_the_other_stops() {
    let host = Host::new();
    let (one, mut two) = (host.run().await, host.run().await);
    let pod = pod("pass", "echo $$$$ > pid; exec sleep 1000");
    one.launcher.start(&pod, Secrets::default()).await.unwrap();
    number(host.folder(&pod.key).join("work/pid")).await;
    assert!(matches!(two.launcher.observe(&pod.key).await.unwrap(), PodState::Running { .. }));
    one.launcher.leave(&pod.key);
    two.launcher.stop(&pod.key).await.unwrap();
    assert_eq!(two.end_of(&pod.key).await.exit_code, Some(143));
}

#[tokio::test]
async fn the_folder_keeps_its_identity_and_has_no_two_machines_at_once() {
    let mut host = Host::new();
    let run = host.run().await;
    let identity = run.launcher.identity();
    assert!(identity.is_some());
    assert_ne!(Host::new().run().await.launcher.identity(), identity);
    // What another machine that shares the disk would be told.
    host.config.boot = "another machine".into();
    let refused = host.open().await.err().unwrap();
    assert!(matches!(&refused, LaunchError::Unavailable(why) if why.contains("a folder of its own")));
    run.end().await;
    // The machine was started again.
    let after = tokio::time::timeout(Duration::from_secs(60), host.run()).await.unwrap();
    assert_eq!(after.launcher.identity(), identity);
}
