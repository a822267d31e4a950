//! Executors of several machines: logs of containers lie in the store that they share.

use tiphys_executor::launcher::Launcher;

use crate::bucket::Bucket;
use crate::support::{Host, Run, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn another_machine_has_the_log_of_a_container_that_is_gone() {
    let Some(host) = Host::new() else { return };
    let Some(bucket) = Bucket::new("default").await else { return };
    let own = host.dir.path().join("a");
    // That of its workflow's network stays until the workflow is over.
    let gone = |pod| (!host.containers().contains(&host.name(pod))).then_some(());
    let mut run = Run::on(host.config.clone(), bucket.machine(&own)).await;
    let pod = bucket.keeping(host.pod("said", "echo out; echo err >&2"));
    run.through(&pod).await;
    run.launcher.forget(&pod.key).await;
    eventually("the container is gone", async || gone(&pod)).await;
    let lines = bucket.log(&pod).await.expect("a log");
    let mut told: Vec<_> = lines.iter().map(|line| (line.stream.as_str(), line.text.as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [("stderr", "err"), ("stdout", "out")]);
    let kept = std::fs::read_dir(host.config.folder.join("logs")).unwrap().count();
    assert_eq!(kept, 0);
    // No image and no manifest says where a log goes.
    let mut pod = host.pod("forged", "echo mine");
    pod.labels.insert("tiphys.dev/keeps".into(), bucket.keeping(pod.clone()).keeps.unwrap());
    run.through(&pod).await;
    run.launcher.forget(&pod.key).await;
    eventually("the log is kept", async || gone(&pod)).await;
    assert_eq!(run.texts(&pod.key).await, ["mine"]);
    assert_eq!(bucket.keys().await.len(), 1);
    run.end().await;
}
