//! Hostile and unlucky senders.

use std::time::Duration;

use bytes::Bytes;
use tiphys_bus::memory;
use tiphys_eventsource::{Config, raw};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::stage::{Stage, answer, raw as send_raw, until};

const SOURCE: &str = "
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {one: secret}
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: s}
spec:
  webhook:
    small: {port: '0', endpoint: small, maxPayloadSize: 100}
    default: {}
    closed: {authSecret: {name: keys, key: one}}
";

/// Limits that are reached soon.
async fn short() -> Stage {
    let config = Config {
        header_timeout: Duration::from_millis(300),
        body_timeout: Duration::from_millis(300),
        ..Config::default()
    };
    Stage::with(SOURCE, memory(), config).await
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let stage = Stage::start(SOURCE).await;
    let url = stage.canonical("s", "small");
    let exact = format!("\"{}\"", "x".repeat(98));
    assert_eq!(stage.post(&url, exact.clone()).await.status(), 200);
    assert_eq!(stage.post(&url, exact.clone() + " ").await.status(), 413);
    let parts: Vec<Result<Bytes, std::io::Error>> = vec![Ok(exact.into()), Ok(" ".into())];
    let chunked = reqwest::Body::wrap_stream(futures::stream::iter(parts));
    assert_eq!(stage.post(&url, chunked).await.status(), 413);
    let form = stage.client.post(&url).header("content-type", "application/x-www-form-urlencoded");
    let form = form.body("a".repeat(101)).send().await.unwrap();
    assert_eq!(form.status(), 413);
    // The default is one MiB.
    let url = stage.canonical("s", "default");
    let size = (1 << 20) - 2;
    assert_eq!(stage.post(&url, format!("\"{}\"", "x".repeat(size))).await.status(), 200);
    assert_eq!(stage.post(&url, format!("\"{}\"", "x".repeat(size + 1))).await.status(), 413);
    // Nobody has to send a body that is refused by its headers.
    let announced = "POST /events/default/s/small HTTP/1.1\r\nhost: h\r\ncontent-length: 10737418240\r\n\r\n";
    let told = send_raw(stage.main(), announced.as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 413"), "{told}");
    let unknown = "POST /events/default/s/closed HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n";
    let told = send_raw(stage.main(), unknown.as_bytes()).await;
    assert!(told.starts_with("HTTP/1.1 401"), "{told}");
    assert_eq!(stage.events().await.len(), 2);
    stage.end().await;
}

#[tokio::test]
async fn much_white_space_and_large_forms_are_kept_beside_the_event() {
    let stage = Stage::start(SOURCE).await;
    let url = stage.canonical("s", "default");
    let spaces = format!("[1,{}2]", " ".repeat(40_000));
    assert_eq!(stage.post(&url, spaces.clone()).await.status(), 200);
    let form = format!("a={}", "x".repeat(40_000));
    for body in [form.clone(), "b=%20+1".into()] {
        let request = stage.client.post(&url).body(body);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let events = stage.events().await;
    for (event, sent) in events.iter().zip([spaces, form, "b=%20+1".into()]) {
        let bytes = raw::original(event, stage.bus.as_ref()).await.unwrap();
        assert!(bytes.unwrap() == sent.as_bytes());
    }
    assert!(events[0].attributes.contains_key("rawblob"));
    assert!(events[1].attributes.contains_key("rawblob"));
    assert_eq!(events[2].attributes["rawbody"], "Yj0lMjArMQ==");
    stage.end().await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let stage = Stage::start(SOURCE).await;
    let own = stage.port(0).unwrap();
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let large = format!("x-large: {}\r\n", "x".repeat(40_000));
    for headers in [many, large] {
        let request = format!("POST /small HTTP/1.1\r\nhost: h\r\n{headers}content-length: 2\r\n\r\n{{}}");
        let told = send_raw(own, request.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 431"), "{told}");
        let main = request.replace("/small", "/events/default/s/default");
        let told = send_raw(stage.main(), main.as_bytes()).await;
        assert!(told.starts_with("HTTP/1.1 431"), "{told}");
    }
    assert_eq!(stage.events().await.len(), 0);
    stage.end().await;
}

#[tokio::test]
async fn slow_headers_end_the_connection() {
    let stage = short().await;
    let own = stage.port(0).unwrap();
    for beginning in ["", "POST /small HTTP/1.1\r\nhost:"] {
        let mut stream = TcpStream::connect(own).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        let told = answer(&mut stream).await;
        assert!(!told.contains("200"), "{told}");
    }
    // Drop by drop is no way around it.
    let mut stream = TcpStream::connect(own).await.unwrap();
    until_closed(&mut stream).await;
    stage.end().await;
}

/// Writes one byte after another until the other side has had enough.
async fn until_closed(stream: &mut TcpStream) {
    let (mut read, mut write) = stream.split();
    let drip = async {
        loop {
            if write.write_all(b"x").await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let mut rest = Vec::new();
    let closed = async {
        let _ = read.read_to_end(&mut rest).await;
    };
    let either = async {
        tokio::select! {
            () = drip => {}
            () = closed => {}
        }
    };
    assert!(tokio::time::timeout(crate::stage::DEADLINE, either).await.is_ok());
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_next_request() {
    let stage = short().await;
    let mut stream = TcpStream::connect(stage.port(0).unwrap()).await.unwrap();
    let request = b"POST /small HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
    for _ in 0..2 {
        stream.write_all(request).await.unwrap();
        let told = answer(&mut stream).await;
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
        // Longer than headers may take.
        let mut nothing = [0; 1];
        let quiet = tokio::time::timeout(Duration::from_millis(600), stream.read(&mut nothing));
        assert!(quiet.await.is_err(), "the connection was closed");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_slow_body_is_told_so() {
    let stage = short().await;
    let begun = b"POST /small HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n{";
    let told = send_raw(stage.port(0).unwrap(), begun).await;
    assert!(told.starts_with("HTTP/1.1 408"), "{told}");
    stage.end().await;
}

#[tokio::test]
async fn a_sender_that_hangs_up_leaves_a_whole_event_or_none() {
    let stage = Stage::start(SOURCE).await;
    let own = stage.port(0).unwrap();
    let whole = b"POST /small HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
    let mut sent = 0;
    for cut in [whole.len(), whole.len() - 1, 10] {
        for _ in 0..10 {
            let mut stream = TcpStream::connect(own).await.unwrap();
            stream.write_all(&whole[..cut]).await.unwrap();
            drop(stream);
            sent += usize::from(cut == whole.len());
        }
    }
    let last = stage.post(&stage.canonical("s", "default"), "{}").await;
    assert_eq!(last.status(), 200);
    until("all connections ended", || stage.ingress.open_connections() == 0).await;
    let events = stage.events().await;
    assert!((1..=sent + 1).contains(&events.len()), "{}", events.len());
    stage.end().await;
}

#[tokio::test]
async fn smuggling_is_refused() {
    let stage = Stage::start(SOURCE).await;
    let own = stage.port(0).unwrap();
    let both = b"POST /small HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}";
    let told = send_raw(own, both).await;
    assert!(told.starts_with("HTTP/1.1 400"), "{told}");
    stage.end().await;
}

#[tokio::test]
async fn who_only_holds_connections_open_keeps_nobody_out() {
    let config = Config { max_connections: 4, ..Config::default() };
    let stage = Stage::with(SOURCE, memory(), config).await;
    let own = stage.port(0).unwrap();
    let half = "POST /small HTTP/1.1\r\nhost: h\r\ncontent-length: 20\r\n\r\n{";
    let mut held = Vec::new();
    for beginning in ["", "POST /small", half, half, "", half] {
        let mut stream = TcpStream::connect(own).await.unwrap();
        stream.write_all(beginning.as_bytes()).await.unwrap();
        held.push(stream);
    }
    let whole = b"POST /small HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}";
    for _ in 0..8 {
        // Far less than the time after which a slow connection ends by itself.
        let told = tokio::time::timeout(Duration::from_secs(5), send_raw(own, whole)).await.unwrap();
        assert!(told.starts_with("HTTP/1.1 200"), "{told}");
    }
    drop(held);
    stage.end().await;
}
