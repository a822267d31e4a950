//! What a step hands over waits for a Tiphys or an API server that is away.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use tiphys_executor::launcher::{Archive, PodSpec, PodVerdict};
use tiphys_kit::{CancellationToken, Tasks};
use tiphys_servers::flaky::Flaky;
use tokio::net::TcpListener;

use crate::output::artifact;
use crate::support::{PATIENCE, Stage, until};

/// Larger than everything between a pod and us holds by itself.
const LARGE: u64 = 96 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_by_http_that_failed_is_tried_again() {
    let Some(mut stage) = Stage::new().await else { return };
    let run = stage.dialled().await;
    let address = stage.config.address.clone().unwrap();
    let pod = PodSpec {
        output_artifacts: vec![artifact("a", "/tmp/a", Archive::None)],
        ..stage.pod("away", "sleep 1; echo -n late > /tmp/a")
    };
    run.start(&pod).await;
    run.end().await;
    // Whoever is there meanwhile, such as a balancer, takes nothing.
    let (stop, refused) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
    let counting = refused.clone();
    let routes = axum::Router::new().fallback(move |method: Method| {
        if method == Method::PUT {
            counting.fetch_add(1, Ordering::SeqCst);
        }
        async { StatusCode::BAD_GATEWAY }
    });
    let listener = bind(&address).await;
    let (tasks, stopped) = (Tasks::new(stop.clone()), stop.clone());
    tasks.spawn("refuses", async move {
        tokio::select! {
            served = axum::serve(listener, routes) => served.unwrap(),
            () = stopped.cancelled() => {}
        }
    });
    until("an upload is refused", async || (refused.load(Ordering::SeqCst) > 0).then_some(())).await;
    stop.cancel();
    assert!(tasks.drain(PATIENCE).await);
    let listener = bind(&address).await;
    let mut run = stage.dialled_on(listener).await;
    let result = run.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    assert_eq!(run.store.get("out/a").await.unwrap(), "late");
    run.end().await;
}

/// Listens where somebody else did a moment ago.
async fn bind(address: &str) -> TcpListener {
    until("the address is free", async || TcpListener::bind(address).await.ok()).await
}

/// Bytes of all files below.
fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(told) if told.is_dir() => size(&entry.path()),
        Ok(told) => told.len(),
        // It was moved meanwhile.
        Err(_) => 0,
    });
    sizes.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_goes_while_outputs_travel_loses_none() {
    let Some(stage) = Stage::new().await else { return };
    let flaky = Flaky::before(stage.cluster);
    let mut run = stage.run_with(flaky.client().await, stage.config.clone()).await;
    let script = format!("head -c {LARGE} /dev/zero | tr '\\0' x > /tmp/a");
    let pod = PodSpec {
        output_artifacts: vec![artifact("large", "/tmp/a", Archive::None)],
        ..stage.pod("travels", &script)
    };
    run.start(&pod).await;
    // What is not whole yet.
    let on_the_way = stage.config.scratch.clone();
    tokio::time::timeout(PATIENCE, async {
        while size(&on_the_way) < 1 << 20 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await
    .unwrap();
    flaky.go_away();
    let part = size(&on_the_way);
    assert!(part > 0 && part < LARGE, "all of it was here before the API server went");
    until("what was cut off is tidied up", async || (size(&on_the_way) == 0).then_some(())).await;
    assert!(run.store.get("out/large").await.is_err());
    flaky.come_back();
    let result = run.end_of(&pod.key).await;
    assert_eq!(result.verdict, PodVerdict::Succeeded, "{}", result.message);
    assert_eq!(result.artifacts[0].size, LARGE);
    assert_eq!(run.store.get("out/large").await.unwrap().len() as u64, LARGE);
    let sessions = flaky
        .seen()
        .iter()
        .filter(|request| request.resource == "pods/exec" && request.name == pod.name)
        .count();
    assert!(sessions > 1, "{sessions}");
    run.end().await;
}
