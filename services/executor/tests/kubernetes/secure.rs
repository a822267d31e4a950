//! The way from a runner to us is encrypted, and a runner speaks to nobody but us.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tiphys_executor::launcher::{Archive, PodSpec, PodVerdict};
use tiphys_kit::{CancellationToken, Tasks};
use tokio::net::TcpListener;

use crate::output::{artifact, everything};
use crate::support::{Stage, Tls};

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_and_goes_encrypted() {
    let Some(mut stage) = Stage::new().await else { return };
    let mut run = stage.encrypted().await;
    everything(&stage, &mut run).await;
    run.end().await;
}

/// Runs a step that has something to hand over, and says why that did not work.
async fn refused(stage: &Stage, name: &str) -> String {
    let mut run = stage.run().await;
    let pod = PodSpec {
        output_artifacts: vec![artifact("a", "/etc/passwd", Archive::None)],
        ..stage.pod(name, "true")
    };
    let result = run.through(&pod).await;
    assert_eq!(result.verdict, PodVerdict::Error, "{}", result.message);
    run.end().await;
    result.message
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_tells_its_token_to_nobody_else() {
    let Some(mut stage) = Stage::new().await else { return };
    stage.config.patience = Duration::from_secs(2);
    let stop = CancellationToken::new();
    let (tasks, asked) = (Tasks::new(stop.clone()), Arc::new(AtomicUsize::new(0)));
    let counting = {
        let asked = asked.clone();
        axum::Router::new().fallback(move || {
            asked.fetch_add(1, Ordering::SeqCst);
            async { "" }
        })
    };
    // Somebody who has the address, and another certificate for it.
    let (other, _) = Tls::listen(stage.cluster.gateway()).await;
    let (_, ours) = Tls::listen(stage.cluster.gateway()).await;
    stage.config.certificate = Some(ours);
    stage.config.address = Some(other.address().to_string());
    let routes = counting.clone();
    tasks.spawn("other", async move { axum::serve(other, routes).await.unwrap() });
    let message = refused(&stage, "other").await;
    assert!(message.contains("invalid peer certificate"), "{message}");
    // Somebody who has none.
    let plain = TcpListener::bind((stage.cluster.gateway(), 0)).await.unwrap();
    stage.config.address = Some(plain.local_addr().unwrap().to_string());
    tasks.spawn("plain", async move { axum::serve(plain, counting).await.unwrap() });
    let message = refused(&stage, "plain").await;
    assert!(message.contains("output artifact a was not stored: nobody could be reached"), "{message}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    stop.cancel();
}
