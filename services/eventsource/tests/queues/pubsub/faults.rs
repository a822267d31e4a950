//! Who dies when, and what becomes of the messages.

use std::time::Duration;

use serde_json::json;
use tiphys_eventsource::Config;
use tiphys_servers::pubsub;

use super::site::{Site, manifest, shared, sorted, started};
use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::{down, events, until, up};

/// The emulator forgets everything: topic and subscription are made again, and its message ids begin again.
#[tokio::test]
async fn the_server_is_killed_and_comes_back_empty() {
    let Some(mut server) = pubsub() else { return };
    let url = server.url();
    let site = Site::at(&url, "gone").await;
    let stage = started(&url, "gone", &json!({})).await;
    let mut ids = Vec::new();
    for n in 10..20 {
        ids.push(site.send(&n.to_string()).await);
    }
    events(&stage, 10).await;
    server.kill();
    let reason = down(&stage, "TIP-SRC-008").await;
    assert!(reason.contains("subscription"), "{reason}");
    assert!(!stage.health.problems().is_empty());
    server.restart();
    up(&stage).await;
    assert!(stage.codes().is_empty());
    let site = Site::at(&url, "gone").await;
    let mut again = Vec::new();
    for n in 20..30 {
        again.push(site.send(&n.to_string()).await);
    }
    assert_eq!(ids, again, "the case in question: the same ids once more");
    let stored = events(&stage, 20).await;
    assert_eq!(sorted(&stored), (10..30).map(|n| n.to_string()).collect::<Vec<_>>());
    stage.end().await;
}

/// The source dies between the storing of an event and the ack of its message: the message comes again, and is the
/// same event.
#[test]
fn a_redelivery_is_the_same_event() {
    let Some(server) = shared() else { return };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (survivor, victim) = (runtime(), runtime());
    let bus = Faulty::new();
    let manifest = manifest(&server.url(), "killed", &json!({}));
    let site = survivor.block_on(async {
        let site = Site::at(&server.url(), "killed").await;
        site.make(|plain| plain.set_ack_deadline_seconds(10)).await;
        for n in 10..60 {
            site.send(&n.to_string()).await;
        }
        site
    });
    bus.mute(true);
    victim.block_on(async {
        let stage = Stage::with(&manifest, bus.clone(), Config::default()).await;
        assert_eq!(events(&stage, 50).await.len(), 50);
        std::mem::forget(stage);
    });
    victim.shutdown_background();
    bus.mute(false);
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        let single = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        single.block_on(async {
            let stage = Stage::with(&manifest, bus, Config::default()).await;
            let again = || {
                handle
                    .render()
                    .lines()
                    .any(|line| line.starts_with("tiphys_events_duplicate_total") && line.ends_with(" 50"))
            };
            until("all came again", || async { again() }).await;
            assert_eq!(sorted(&stage.events().await), (10..60).map(|n| n.to_string()).collect::<Vec<_>>());
            stage.end().await;
        });
    });
    assert!(survivor.block_on(site.rest()).is_empty(), "all are acked now");
}

#[tokio::test]
async fn a_bus_that_is_away_loses_nothing() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "away").await;
    let bus = Faulty::new();
    let config = Config { publish_patience: Duration::from_millis(20), ..Config::default() };
    let stage = Stage::with(&manifest(&server.url(), "away", &json!({})), bus.clone(), config).await;
    up(&stage).await;
    bus.away(true);
    // More than are held at once.
    for n in 100..600 {
        site.send(&n.to_string()).await;
    }
    bus.away(false);
    let stored = events(&stage, 500).await;
    assert_eq!(sorted(&stored), (100..600).map(|n| n.to_string()).collect::<Vec<_>>());
    stage.end().await;
    assert!(site.rest().await.is_empty());
}

/// Stopped while the bus is away, the source gives its messages back.
#[tokio::test]
async fn a_stop_while_the_bus_is_away_loses_nothing() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "stopped").await;
    let bus = Faulty::new();
    let config = Config { publish_patience: Duration::from_millis(20), ..Config::default() };
    let manifest = manifest(&server.url(), "stopped", &json!({}));
    let stage = Stage::with(&manifest, bus.clone(), config.clone()).await;
    up(&stage).await;
    bus.away(true);
    for n in 10..40 {
        site.send(&n.to_string()).await;
    }
    stage.end().await;
    bus.away(false);
    let stage = Stage::with(&manifest, bus, config).await;
    let stored = events(&stage, 30).await;
    assert_eq!(sorted(&stored), (10..40).map(|n| n.to_string()).collect::<Vec<_>>());
    stage.end().await;
}

/// Killed again and again while messages come in, wherever it stands then.
#[test]
fn killed_five_times_among_a_thousand_messages() {
    let Some(server) = shared() else { return };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let survivor = runtime();
    let bus = tiphys_bus::memory();
    let manifest = manifest(&server.url(), "storm", &json!({}));
    let site = survivor.block_on(async {
        let site = Site::at(&server.url(), "storm").await;
        site.make(|plain| plain).await;
        site
    });
    for round in 0..5 {
        let victim = runtime();
        let stage = victim.block_on(Stage::with(&manifest, bus.clone(), Config::default()));
        survivor.block_on(async {
            let site = &site;
            let sending =
                (0..200).map(|n| async move { site.send(&(1000 + round * 200 + n).to_string()).await });
            futures::future::join_all(sending).await;
            // Some are stored, some on their way.
            until("some are stored", || async {
                stage.bus.info(tiphys_bus::streams::EVENTS).await.unwrap().last > round * 200
            })
            .await;
        });
        victim.shutdown_background();
        std::mem::forget(stage);
    }
    survivor.block_on(async {
        let stage = Stage::with(&manifest, bus, Config::default()).await;
        assert_eq!(
            sorted(&events(&stage, 1000).await),
            (1000..2000).map(|n| n.to_string()).collect::<Vec<_>>()
        );
        stage.end().await;
        assert!(site.rest().await.is_empty());
    });
}
