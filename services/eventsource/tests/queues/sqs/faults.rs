//! Who dies when, and what becomes of the messages.

use std::sync::Arc;

use aws_sdk_sqs::types::QueueAttributeName;
use base64::Engine as _;
use tiphys_bus::{Bus, memory};
use tiphys_eventsource::Config;
use tiphys_servers::elasticmq;

use super::proxy::Proxy;
use super::site::{Site, manifest, shared};
use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::{down, events, letters, until, up};

/// A stage of its own in a runtime of its own, which can be killed: its tasks end where they stand.
fn doomed(manifest: String, bus: Arc<dyn Bus>) -> impl FnOnce() {
    let (started, wait) = std::sync::mpsc::sync_channel(0);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let tasks = runtime.handle().clone();
    std::thread::spawn(move || {
        let stage = tasks.block_on(Stage::with(&manifest, bus, Config::default()));
        started.send(stage).unwrap();
    });
    let stage = wait.recv().unwrap();
    move || {
        runtime.shutdown_background();
        drop(stage);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_event_and_deletion_the_redelivery_is_no_second_event() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "killed", &[]).await;
    let proxy = Proxy::start(&server.url()).await;
    proxy.keep_deletes(true);
    let bus = memory();
    let through = manifest(&proxy.url, "killed", "");
    let kill = tokio::task::block_in_place(|| doomed(through, bus.clone()));
    for n in 0..25 {
        site.send(&n.to_string()).await;
    }
    until("stored", || async { bus.read("EVENTS", "", 0, 100).await.is_ok_and(|all| all.len() == 25) }).await;
    until("a deletion is tried", || async { proxy.seen("DeleteMessageBatch") > 0 }).await;
    tokio::task::block_in_place(kill);
    assert_eq!(site.counts().await, (0, 25), "nothing is deleted");
    site.show(proxy.receipts()).await;
    let stage = Stage::with(&manifest(&server.url(), "killed", ""), bus, Config::default()).await;
    site.until(0, 0).await;
    assert_eq!(stage.events().await.len(), 25);
    stage.end().await;
}

#[tokio::test]
async fn a_deletion_that_fails_is_tried_again() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "again", &[]).await;
    let proxy = Proxy::start(&server.url()).await;
    proxy.refuse(2);
    let stage = Stage::start(&manifest(&proxy.url, "again", "")).await;
    site.send("a").await;
    events(&stage, 1).await;
    site.until(0, 0).await;
    assert_eq!(proxy.seen("DeleteMessageBatch"), 3);
    stage.end().await;
}

#[tokio::test]
async fn the_server_is_killed_and_comes_back() {
    let Some(mut server) = elasticmq() else { return };
    let url = server.url();
    let site = Site::make(&url, "gone", &[]).await;
    let stage = Stage::start(&manifest(&url, "gone", "")).await;
    up(&stage).await;
    for n in 0..30 {
        site.send(&n.to_string()).await;
    }
    events(&stage, 5).await;
    server.kill();
    let why = down(&stage, "TIP-SRC-008").await;
    assert!(why.contains("`gone`") && why.contains("Connection refused"), "{why}");
    server.restart();
    up(&stage).await;
    for n in 30..40 {
        site.send(&n.to_string()).await;
    }
    events(&stage, 40).await;
    site.until(0, 0).await;
    assert_eq!(stage.events().await.len(), 40, "one event for each message");
    stage.end().await;
}

#[tokio::test]
async fn poison_becomes_a_dead_letter_with_its_raw_bytes() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "poison", &[]).await;
    let stage = Stage::start(&manifest(&server.url(), "poison", "      jsonBody: true")).await;
    site.send("{\"half\": ").await;
    site.send("{}").await;
    events(&stage, 1).await;
    let letters = letters(&stage, 1).await;
    let raw = base64::engine::general_purpose::STANDARD.decode(letters[0].raw.as_ref().unwrap()).unwrap();
    assert_eq!(raw, b"{\"half\": ");
    assert_eq!((letters[0].stage.as_str(), letters[0].code.as_str()), ("eventsource", "TIP-SRC-009"));
    assert!(letters[0].reason.starts_with("queues/one: "), "{}", letters[0].reason);
    site.until(0, 0).await;
    stage.end().await;
}

#[tokio::test]
async fn with_dlq_the_queue_moves_poison_by_its_own_rule() {
    let Some(server) = shared() else { return };
    let dead = Site::make(&server.url(), "dead", &[]).await;
    let arn = dead.client.get_queue_attributes().queue_url(&dead.url);
    let arn = arn.attribute_names(QueueAttributeName::QueueArn).send().await.unwrap();
    let arn = &arn.attributes.unwrap()[&QueueAttributeName::QueueArn];
    let policy = serde_json::json!({"deadLetterTargetArn": arn, "maxReceiveCount": "1"}).to_string();
    let site = Site::make(&server.url(), "redrive", &[(QueueAttributeName::RedrivePolicy, &policy)]).await;
    let proxy = Proxy::start(&server.url()).await;
    let stage = Stage::start(&manifest(&proxy.url, "redrive", "      jsonBody: true\n      dlq: true")).await;
    site.send("nonsense").await;
    site.send("{}").await;
    events(&stage, 1).await;
    site.until(0, 1).await;
    // The one that is left; the other's receipt is of no use any more.
    for receipt in proxy.receipts() {
        let request = site.client.change_message_visibility().queue_url(&site.url);
        let _ = request.receipt_handle(receipt).visibility_timeout(0).send().await;
    }
    dead.until(1, 0).await;
    assert!(stage.bus.read("DEAD", "", 0, 10).await.unwrap().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn while_the_bus_is_away_messages_are_held_and_none_is_lost() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "held", &[]).await;
    let proxy = Proxy::start(&server.url()).await;
    let bus = Faulty::new();
    bus.away(true);
    let config = Config { publish_patience: std::time::Duration::from_millis(50), ..Config::default() };
    let stage = Stage::with(&manifest(&proxy.url, "held", ""), bus.clone(), config).await;
    for n in 0..15 {
        site.send(&n.to_string()).await;
    }
    until("more time is asked for", || async { proxy.seen("ChangeMessageVisibilityBatch") > 0 }).await;
    assert!(stage.events().await.is_empty());
    let received = proxy.receipts().len();
    assert!(received > 0 && proxy.seen("DeleteMessageBatch") == 0);
    bus.away(false);
    events(&stage, 15).await;
    site.until(0, 0).await;
    assert_eq!(stage.events().await.len(), 15);
    assert_eq!(received + proxy.receipts().len(), 15, "each was received once");
    stage.end().await;
}
