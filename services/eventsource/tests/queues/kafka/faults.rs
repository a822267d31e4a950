//! Who dies when, and what becomes of the messages.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use tiphys_bus::Bus;
use tiphys_eventsource::Config;
use tiphys_servers::kafka;

use super::site::{bodies, group, manifest, numbers, producer, send, topic};
use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::{events, letters, until};

/// A stage in a runtime of its own, which can be killed: its tasks end where they stand.
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

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_event_and_commit_the_redelivery_is_no_second_event() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let manifest = manifest(&server.url(), &group("g"));
    let bus = Faulty::new();
    bus.mute(true);
    let kill = tokio::task::block_in_place(|| doomed(manifest.clone(), bus.clone()));
    send(&producer(&server), 0, numbers(0..50)).await;
    until("stored", || async { bus.read("EVENTS", "", 0, 100).await.is_ok_and(|all| !all.is_empty()) }).await;
    tokio::task::block_in_place(kill);
    bus.mute(false);
    let stage = Stage::with(&manifest, bus, Config::default()).await;
    send(&producer(&server), 0, numbers(50..51)).await;
    events(&stage, 51).await;
    assert_eq!(
        bodies(&stage).await,
        numbers(0..51).collect::<Vec<_>>(),
        "what was stored came again, and is known"
    );
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_bus_at_the_end_comes_again_and_lost_answers_make_no_second_event() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let bus = Faulty::new();
    let config = || Config { publish_patience: Duration::from_millis(200), ..Config::default() };
    let manifest = manifest(&server.url(), &group("g"));
    let shut = bus.shut().await;
    let stage = Stage::with(&manifest, bus.clone(), config()).await;
    send(&producer(&server), 0, numbers(0..1500)).await;
    until("messages wait", || async { bus.waiting() > 0 }).await;
    stage.end().await;
    drop(shut);
    bus.lose_answers(3);
    let stage = Stage::with(&manifest, bus.clone(), config()).await;
    events(&stage, 1500).await;
    let mut all = bodies(&stage).await;
    all.sort_unstable();
    let mut sent: Vec<String> = numbers(0..1500).collect();
    sent.sort_unstable();
    assert_eq!(all, sent, "each once");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_wait_for_the_bus_without_filling_the_memory() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let bus = Faulty::new();
    let shut = bus.shut().await;
    let config = Config { publish_patience: Duration::from_millis(200), ..Config::default() };
    let stage = Stage::with(&manifest(&server.url(), &group("g")), bus.clone(), config).await;
    // Far more than a partition may have waiting: it is paused, and goes on.
    let large = |n: u32| format!("[{n},\"{}\"]", "x".repeat(300_000));
    send(&producer(&server), 0, (0..60).map(large)).await;
    until("messages wait", || async { bus.waiting() > 0 }).await;
    drop(shut);
    events(&stage, 60).await;
    let all = bodies(&stage).await;
    assert!(all.len() == 60 && (0..60).all(|n| all.contains(&large(n))), "each once");
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_poisoned_message_becomes_a_dead_letter_and_the_next_goes_on() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    let poison = ["{\"n\":0}".to_owned(), "no json".to_owned(), "{\"n\":2}".to_owned()];
    send(&producer(&server), 0, poison).await;
    let stage = Stage::start(&manifest(&server.url(), &group("g"))).await;
    events(&stage, 2).await;
    let letters = letters(&stage, 1).await;
    let raw = base64::engine::general_purpose::STANDARD.decode(letters[0].raw.as_ref().unwrap()).unwrap();
    assert_eq!((letters[0].stage.as_str(), raw.as_slice()), ("eventsource", b"no json".as_slice()));
    assert_eq!(bodies(&stage).await, [r#"{"n":0}"#, r#"{"n":2}"#]);
    stage.end().await;
}
