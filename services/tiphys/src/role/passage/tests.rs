//! Event sources that answer, that do not, and that break off.
#![expect(clippy::disallowed_methods, reason = "a test ends its tasks by itself")]

use std::net::SocketAddr;

use axum::body::to_bytes;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::*;

/// Sends a webhook through the passage to `base`.
async fn post(base: Option<String>, patience: Duration) -> Response {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/events/default/falco/alert?x=1")
        .header("x-api-key", "k")
        .header("connection", "x-of-this-hop")
        .body(Body::from("an alert"));
    router(move || base.clone(), patience).unwrap().oneshot(request.unwrap()).await.unwrap()
}

/// An event source that takes a request and writes these bytes, then keeps the connection or closes it.
async fn source(answer: &'static str, keeps: bool) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        stream.write_all(answer.as_bytes()).await.unwrap();
        while keeps && stream.read(&mut request).await.unwrap() > 0 {}
    });
    address
}

fn is_away(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["retry-after"], "1");
}

#[tokio::test]
async fn a_webhook_and_its_answer_pass_as_they_are() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let echo = |request: Request| async move {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 1024).await.unwrap();
        let told = format!("{} {} {}", parts.method, parts.uri, String::from_utf8_lossy(&body));
        let key = parts.headers["x-api-key"].clone();
        assert!(!parts.headers.contains_key("connection"), "it concerns another connection");
        (StatusCode::UNAUTHORIZED, [("x-event-id", key)], told)
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
    let answer = post(Some(base), Duration::from_secs(60)).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["x-event-id"], "k");
    let body = to_bytes(answer.into_body(), 1024).await.unwrap();
    assert_eq!(body, "POST /events/default/falco/alert?x=1 an alert");
}

#[tokio::test]
async fn without_an_event_source_the_sender_is_told_to_try_again() {
    is_away(&post(None, Duration::from_secs(60)).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = listener.local_addr().unwrap();
    drop(listener);
    is_away(&post(Some(format!("http://{gone}")), Duration::from_secs(60)).await);
}

#[tokio::test]
async fn an_event_source_that_is_silent_or_hangs_up_is_away() {
    let silent = source("", true).await;
    is_away(&post(Some(format!("http://{silent}")), Duration::from_millis(100)).await);
    let hangs_up = source("HTTP/1.1 2", false).await;
    is_away(&post(Some(format!("http://{hangs_up}")), Duration::from_secs(60)).await);
}

/// A cut answer must not look like a whole one.
#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_here_too() {
    let broken = source("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", false).await;
    let answer = post(Some(format!("http://{broken}")), Duration::from_secs(60)).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(to_bytes(answer.into_body(), 1024).await.is_err());
}
