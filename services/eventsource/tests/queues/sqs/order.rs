//! FIFO queues: within a group, events come in the order of the messages.

use std::collections::BTreeMap;

use tiphys_eventsource::Config;

use super::proxy::Proxy;
use super::site::{Site, bodies, manifest, shared};
use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::events;

#[tokio::test]
async fn groups_keep_their_order_over_a_bus_that_fails() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "order.fifo", &[]).await;
    for n in 0..20 {
        for group in ["a", "b", "c"] {
            site.send_in(group, &format!("[\"{group}\", {n}]")).await;
        }
    }
    let bus = Faulty::new();
    bus.lose_answers(7);
    bus.refuse(2);
    let config = Config { publish_patience: std::time::Duration::from_millis(100), ..Config::default() };
    let stage =
        Stage::with(&manifest(&server.url(), "order.fifo", "      jsonBody: true"), bus.clone(), config)
            .await;
    events(&stage, 10).await;
    bus.lose_answers(5);
    bus.refuse(5);
    let stored = events(&stage, 60).await;
    site.until(0, 0).await;
    assert_eq!(stage.events().await.len(), 60, "one event for each message");
    let mut groups: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for body in bodies(&stored) {
        let (group, n): (String, u32) = serde_json::from_str(&body).unwrap();
        groups.entry(group).or_default().push(n);
    }
    assert_eq!(groups.len(), 3);
    for (group, seen) in groups {
        assert_eq!(seen, (0..20).collect::<Vec<_>>(), "{group}");
    }
    stage.end().await;
}

#[tokio::test]
async fn what_was_not_stored_at_the_end_is_given_back_in_order() {
    let Some(server) = shared() else { return };
    let site = Site::make(&server.url(), "back.fifo", &[]).await;
    let proxy = Proxy::start(&server.url()).await;
    let manifest = manifest(&proxy.url, "back.fifo", "      jsonBody: true");
    let bus = Faulty::new();
    bus.away(true);
    let config = Config { publish_patience: std::time::Duration::from_millis(100), ..Config::default() };
    for n in 0..5 {
        site.send_in("a", &n.to_string()).await;
    }
    let stage = Stage::with(&manifest, bus.clone(), config).await;
    site.until(0, 5).await;
    stage.end().await;
    assert_eq!(proxy.seen("ChangeMessageVisibilityBatch"), 1, "they need not wait for their time");
    site.until(5, 0).await;
    bus.away(false);
    let stage = Stage::with(&manifest, bus, Config::default()).await;
    assert_eq!(bodies(&events(&stage, 5).await), ["0", "1", "2", "3", "4"]);
    site.until(0, 0).await;
    stage.end().await;
}
