//! Order within an ordering key, also while the bus comes and goes.

use std::time::Duration;

use google_cloud_pubsub::model::Message;
use serde_json::{Value, json};
use tiphys_eventsource::Config;

use super::site::{Site, manifest, shared};
use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::{events, up};

#[tokio::test]
async fn messages_with_one_key_become_events_in_their_order() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "order").await;
    site.make(|plain| plain.set_enable_message_ordering(true)).await;
    let bus = Faulty::new();
    let config = Config { publish_patience: Duration::from_millis(20), ..Config::default() };
    let stage = Stage::with(&manifest(&server.url(), "order", &json!({})), bus.clone(), config).await;
    up(&stage).await;
    for n in 0..100 {
        bus.away(n % 20 < 10);
        let key = format!("key-{}", n % 4);
        let data = json!({"key": key, "n": n}).to_string();
        site.send_message(Message::new().set_ordering_key(key).set_data(data)).await;
    }
    bus.lose_answers(5);
    bus.away(false);
    let stored = events(&stage, 100).await;
    assert_eq!(stored.len(), 100);
    for key in 0..4 {
        let body = |event: &tiphys_core::Event| {
            let body: Value = serde_json::from_slice(&crate::stage::body_of(event)).unwrap();
            (body["key"] == format!("key-{key}")).then(|| body["n"].as_i64().unwrap())
        };
        let numbers: Vec<i64> = stored.iter().filter_map(body).collect();
        assert_eq!(numbers, (0..25).map(|n| n * 4 + key).collect::<Vec<_>>());
    }
    // A message of a key is begun after the one before it was acked: one more of each, and all hundred are.
    for key in 0..4 {
        let data = json!({"key": format!("key-{key}"), "last": true}).to_string();
        site.send_message(Message::new().set_ordering_key(format!("key-{key}")).set_data(data)).await;
    }
    events(&stage, 104).await;
    stage.end().await;
    let again = site.rest().await;
    assert!(again.iter().all(|message| message.contains("last")), "{again:?}");
}
