//! How much a step costs; run by hand.

use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;
use tiphys_executor::launcher::{Launcher, SecretEnvironment};

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
    let begin = Instant::now();
    let mut started = 0;
    let mut ended = 0;
    while ended < STEPS {
        while started < STEPS && started - ended < AT_ONCE {
            let pod = pod_of(&started.to_string(), json!({ "command": ["true"] }));
            run.launcher
                .start(&pod, SecretEnvironment::new())
                .await
                .unwrap();
            started += 1;
        }
        run.changes.recv().await.unwrap();
        ended += 1;
    }
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
    println!(
        "ours {ours:.0}/s, bare {bare:.0}/s, ratio {:.2}",
        ours / bare
    );
}
