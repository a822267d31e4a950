//! What becomes of a message, and of the subscription.

use google_cloud_pubsub::model::Message;
use serde_json::{Value, json};

use super::site::{Site, shared, sorted, started};
use crate::wait::{events, until};

#[tokio::test]
async fn a_message_is_an_event_in_argos_shape() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "shape").await;
    let more = json!({"metadata": {"team": "red"}, "filter": {"expression": "body.n > 1"}});
    let stage = started(&server.url(), "shape", &more).await;
    site.send(r#"{"n": 1}"#).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let message = Message::new().set_data(r#"{"n": 1795348800123456789}"#).set_attributes([
        ("b", "2"),
        ("a", "1"),
        ("googclient_traceparent", trace),
    ]);
    let id = site.send_message(message).await;
    let event = events(&stage, 1).await.remove(0);
    assert_eq!(event.kind, "pubsub");
    assert_eq!(event.attributes["nativeid"], format!("{}/{id}", site.subscription()));
    assert_eq!(event.attributes["traceparent"], trace);
    assert!(event.occurred.unwrap() <= event.received);
    let payload: Value = serde_json::from_slice(&event.data).unwrap();
    let time = payload["publishTime"].as_str().unwrap();
    assert!(time.ends_with(" +0000 UTC"), "{time}");
    let wanted = format!(
        r#"{{"id":"{id}","body":{{"n":1795348800123456789}},"attributes":{{"a":"1","b":"2","googclient_traceparent":"{trace}"}},"publishTime":"{time}","metadata":{{"team":"red"}}}}"#
    );
    assert_eq!(std::str::from_utf8(&event.data).unwrap(), wanted);
    stage.end().await;
    assert!(site.rest().await.is_empty(), "what the filter refuses is acked, too");
}

#[tokio::test]
async fn a_subscription_is_made_and_deleted_as_the_manifest_says() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "made").await;
    // Neither the topic nor the subscription is there, and the subscription has no name.
    let more = json!({"subscriptionID": "", "deleteSubscriptionOnFinish": true});
    let stage = started(&server.url(), "made", &more).await;
    let listed = || async {
        let request = site.subscriptions.list_subscriptions().set_project("projects/made");
        request.send().await.unwrap().subscriptions
    };
    let made = listed().await.remove(0);
    assert_eq!(made.topic, site.topic());
    assert!(made.name.starts_with("projects/made/subscriptions/one-"), "{}", made.name);
    site.send("1").await;
    events(&stage, 1).await;
    stage.end().await;
    assert!(listed().await.is_empty());

    // One that exists is used, stays, and needs no topic in the manifest.
    site.subscribe(|plain| plain).await;
    site.send("2").await;
    let stage = started(&server.url(), "made", &json!({"topic": ""})).await;
    assert_eq!(sorted(&events(&stage, 1).await), ["2"]);
    stage.end().await;
    assert_eq!(listed().await.len(), 1);
}

#[tokio::test]
async fn a_message_that_is_no_json_is_a_dead_letter() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "poison").await;
    let stage = started(&server.url(), "poison", &json!({})).await;
    site.send("{\"a\": \u{1}s3cret").await;
    site.send("[]").await;
    let letter = crate::wait::letters(&stage, 1).await.remove(0);
    assert_eq!(letter.code, "TIP-SRC-009");
    assert!(!letter.reason.contains("s3cret"), "{}", letter.reason);
    use base64::Engine as _;
    let raw = base64::engine::general_purpose::STANDARD.decode(letter.raw.unwrap()).unwrap();
    assert_eq!(raw, "{\"a\": \u{1}s3cret".as_bytes());
    assert_eq!(sorted(&events(&stage, 1).await), ["[]"]);
    stage.end().await;
    assert!(site.rest().await.is_empty(), "both are acked");
}

#[tokio::test]
async fn an_exactly_once_subscription_is_acked_with_confirmation() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "once").await;
    site.make(|plain| plain.set_enable_exactly_once_delivery(true).set_ack_deadline_seconds(10)).await;
    let stage = started(&server.url(), "once", &json!({})).await;
    for n in 0..50 {
        site.send(&n.to_string()).await;
    }
    assert_eq!(events(&stage, 50).await.len(), 50);
    let stopped = stage.events().await.len();
    stage.end().await;
    assert_eq!(stopped, 50);
    assert!(site.rest().await.is_empty());
}

#[tokio::test]
async fn what_is_published_at_a_stop_is_there_at_the_next_start() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "stops").await;
    let bus = tiphys_bus::memory();
    let manifest = super::site::manifest(&server.url(), "stops", &json!({}));
    let mut sent = Vec::new();
    for round in 0..3 {
        let config = tiphys_eventsource::Config::default();
        let stage = crate::stage::Stage::with(&manifest, bus.clone(), config).await;
        crate::wait::up(&stage).await;
        for n in 0..40 {
            sent.push((round * 100 + n + 100).to_string());
            site.send(sent.last().unwrap()).await;
        }
        stage.end().await;
    }
    let stage = crate::stage::Stage::with(&manifest, bus, tiphys_eventsource::Config::default()).await;
    until("all are events", || async { sorted(&stage.events().await) == sent }).await;
    stage.end().await;
}
