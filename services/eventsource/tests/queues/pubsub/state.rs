//! What is said about a source that cannot receive, and that it recovers by itself.

use serde_json::json;
use tiphys_servers::{free_port, pubsub_at};

use super::site::{Site, manifest, shared, sorted, started};
use crate::stage::Stage;
use crate::wait::{down, events, up};

#[tokio::test]
async fn a_missing_subscription_is_named_until_it_appears() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "missing").await;
    let stage = Stage::start(&manifest(&server.url(), "missing", &json!({"topic": ""}))).await;
    let reason = down(&stage, "TIP-SRC-008").await;
    assert!(reason.contains("projects/missing/subscriptions/subscription` does not exist"), "{reason}");
    let other = stage.health.problems();
    assert_eq!(other.len(), 1, "only this source is not ready: {other:?}");
    site.make(|plain| plain).await;
    site.send("1").await;
    up(&stage).await;
    assert_eq!(sorted(&events(&stage, 1).await), ["1"]);
    assert!(stage.codes().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn a_subscription_that_is_deleted_is_made_again() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "deleted").await;
    let stage = started(&server.url(), "deleted", &json!({})).await;
    site.send("1").await;
    events(&stage, 1).await;
    let request = site.subscriptions.delete_subscription().set_subscription(site.subscription());
    request.send().await.unwrap();
    crate::wait::until("it is made again", || async {
        let request = site.subscriptions.get_subscription().set_subscription(site.subscription());
        request.send().await.is_ok()
    })
    .await;
    site.send("2").await;
    assert_eq!(sorted(&events(&stage, 2).await), ["1", "2"]);
    up(&stage).await;
    stage.end().await;
}

#[tokio::test]
async fn a_subscription_of_another_topic_is_refused() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "other").await;
    site.make(|plain| plain).await;
    let stage = Stage::start(&manifest(&server.url(), "other", &json!({"topic": "wanted"}))).await;
    let reason = down(&stage, "TIP-SRC-008").await;
    assert!(reason.contains("belongs to topic `projects/other/topics/topic`"), "{reason}");
    stage.end().await;
}

/// A server that lets nobody in, and in its place one that does.
#[tokio::test]
async fn denied_credentials_are_named_until_they_are_let_in() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    // Questions about subscriptions come as plain HTTP with JSON.
    let refused = json!({"error": {"code": 401, "status": "UNAUTHENTICATED", "message": "no such key"}});
    let refused = refused.to_string();
    let denying = axum::Router::new().fallback(async move || {
        (axum::http::StatusCode::UNAUTHORIZED, [("content-type", "application/json")], refused.clone())
    });
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let tasks = tiphys_kit::Tasks::new(tiphys_kit::CancellationToken::new());
    let closing = tiphys_kit::CancellationToken::new();
    let closed = closing.clone();
    tasks.spawn("denying", async move {
        let serve = axum::serve(listener, denying).with_graceful_shutdown(closed.cancelled_owned());
        serve.await.unwrap();
    });
    let stage = Stage::start(&manifest(&url, "denied", &json!({}))).await;
    let reason = down(&stage, "TIP-SRC-008").await;
    assert!(reason.contains("UNAUTHENTICATED: no such key"), "{reason}");
    closing.cancel();
    let Some(_server) = tokio::task::spawn_blocking(move || pubsub_at(port)).await.unwrap() else { return };
    up(&stage).await;
    let site = Site::at(&url, "denied").await;
    site.send("1").await;
    assert_eq!(sorted(&events(&stage, 1).await), ["1"]);
    stage.end().await;
}

#[tokio::test]
async fn a_credential_that_is_none_is_named_and_not_shown() {
    let Some(server) = shared() else { return };
    let source =
        manifest(&server.url(), "secret", &json!({"credentialSecret": {"name": "google", "key": "key"}}));
    let with = |text: &str| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google"}, "stringData": {"key": text},
        });
        format!("{source}\n---\n{secret}\n")
    };
    let stage = Stage::start(&source).await;
    down(&stage, "TIP-SRC-002").await;
    stage.put(&with("s3cret"));
    let reason = down(&stage, "TIP-SRC-001").await;
    assert!(reason.contains("Secret `google`") && !reason.contains("s3cret"), "{reason}");
    stage.end().await;
}

#[tokio::test]
async fn without_a_project_nothing_is_asked_of_an_emulator() {
    let Some(server) = shared() else { return };
    let stage = Stage::start(&manifest(&server.url(), "x", &json!({"projectID": ""}))).await;
    let reason = down(&stage, "TIP-SRC-001").await;
    assert!(reason.contains("lacks `projectID`"), "{reason}");
    stage.end().await;
}

/// A source that starts ends all streams of the emulator, to be rid of dead ones; those that live go on.
#[tokio::test]
async fn two_sources_share_a_subscription() {
    let Some(server) = shared() else { return };
    let site = Site::at(&server.url(), "two").await;
    site.make(|plain| plain).await;
    let first = started(&server.url(), "two", &json!({})).await;
    let second = started(&server.url(), "two", &json!({})).await;
    let mut sent = 0;
    crate::wait::until("both get messages", || {
        sent += 1;
        let text = sent.to_string();
        let (site, first, second) = (&site, &first, &second);
        async move {
            site.send(&text).await;
            !first.events().await.is_empty() && !second.events().await.is_empty()
        }
    })
    .await;
    crate::wait::until("each message is somebody's", || async {
        first.events().await.len() + second.events().await.len() == sent
    })
    .await;
    assert!(first.codes().is_empty() && second.codes().is_empty());
    first.end().await;
    second.end().await;
}
