//! How much a step costs; run by hand.

use std::collections::HashMap;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use serde_json::json;
use tiphys_executor::launcher::{Launcher, SecretEnvironment};

use tokio::sync::oneshot;

use crate::support::{Host, pod_of};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a test; TIPHYS_RUNNER names a runner built for release"]
async fn steps_of_true_against_a_bare_spawn_loop() {
    const STEPS: usize = 1000;
    const AT_ONCE: usize = 16;
    let mut host = Host::new();
    if let Ok(runner) = std::env::var("TIPHYS_RUNNER") {
        host.config.runner = vec![runner];
    }
    let mut run = host.run().await;
    let launcher = Arc::clone(&run.launcher);
    let waiting = Mutex::new(HashMap::new());
    let steps = futures::stream::iter(0..STEPS).for_each_concurrent(AT_ONCE, |number| {
        let (launcher, waiting) = (&launcher, &waiting);
        async move {
            let pod = pod_of(&number.to_string(), json!({ "command": ["true"] }));
            let (ended, end) = oneshot::channel();
            waiting.lock().unwrap().insert(pod.key.clone(), ended);
            launcher.start(&pod, SecretEnvironment::new()).await.unwrap();
            end.await.unwrap();
        }
    });
    let wake = async {
        for _ in 0..STEPS {
            let key = run.changes.recv().await.unwrap();
            let waiter: oneshot::Sender<()> = waiting.lock().unwrap().remove(&key).unwrap();
            waiter.send(()).unwrap();
        }
    };
    let begin = Instant::now();
    tokio::join!(steps, wake);
    let ours = STEPS as f64 / begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                for _ in 0..STEPS / AT_ONCE {
                    let mut command = Command::new("/usr/bin/true");
                    command.stdin(Stdio::null()).status().unwrap();
                }
            });
        }
    });
    let bare = STEPS as f64 / begin.elapsed().as_secs_f64();
    println!("ours {ours:.0}/s, bare {bare:.0}/s, ratio {:.2}", ours / bare);
}
