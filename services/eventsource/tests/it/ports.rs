//! Own ports: conflicts, certificates, changes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::stage::{Stage, until};

fn source(name: &str, port: u16, endpoint: &str, more: &str) -> String {
    format!(
        "
---
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {{name: {name}}}
spec: {{webhook: {{hit: {{port: {port}, endpoint: {endpoint}{more}}}}}}}
"
    )
}

/// A port that is free now.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

#[tokio::test]
async fn the_older_keeps_port_and_endpoint() {
    let port = free_port();
    let first = source("zulu", port, "/in", "");
    let stage = Stage::start(&first).await;
    stage.put(&(first + &source("alpha", port, "/in", "") + &source("beta", port, "/other", "")));
    until("the conflict is seen", || stage.codes() == ["TIP-SRC-006"]).await;
    let found = &stage.ingress.diagnostics()[0];
    assert_eq!(found.object, "EventSource/alpha");
    assert!(found.message.contains("EventSource/zulu"), "{}", found.message);
    let own = format!("http://127.0.0.1:{port}");
    for url in [
        format!("{own}/in"),
        format!("{own}/other"),
        stage.canonical("alpha", "hit"),
        stage.canonical("zulu", "hit"),
    ] {
        assert_eq!(stage.post(&url, "{}").await.status(), 200, "{url}");
    }
    assert_eq!(stage.post(&format!("{own}/none"), "{}").await.status(), 404);
    let sources: Vec<_> = stage.events().await.into_iter().map(|e| e.origin.source).collect();
    assert_eq!(sources, ["zulu", "beta", "alpha", "zulu"]);
    // The older goes, the younger takes its place.
    stage.put(&source("alpha", port, "/in", ""));
    until("the conflict is over", || stage.codes().is_empty()).await;
    assert_eq!(stage.post(&format!("{own}/in"), "{}").await.status(), 200);
    stage.end().await;
}

#[tokio::test]
async fn a_foreign_listener_is_a_diagnostic_until_it_is_gone() {
    let foreign = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = foreign.local_addr().unwrap().port();
    let manifests = source("s", port, "/in", "");
    let stage = Stage::start(&manifests).await;
    assert_eq!(stage.codes(), ["TIP-SRC-007"]);
    assert_eq!(stage.post(&stage.canonical("s", "hit"), "{}").await.status(), 200);
    drop(foreign);
    until("the port is open", || stage.port(port).is_some()).await;
    until("the diagnostic is gone", || stage.codes().is_empty()).await;
    let own = format!("http://127.0.0.1:{port}/in");
    assert_eq!(stage.post(&own, "{}").await.status(), 200);
    stage.put("");
    until("the port is closed", || stage.port(port).is_none()).await;
    let rebind = || std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    until("the port is free", rebind).await;
    assert_eq!(stage.post(&stage.canonical("s", "hit"), "{}").await.status(), 404);
    stage.end().await;
}

#[tokio::test]
async fn tls_and_its_conflicts() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let indent = |pem: &str| pem.replace('\n', "\n    ");
    let secret = format!(
        "
---
apiVersion: v1
kind: Secret
metadata: {{name: tls}}
stringData:
  cert: |
    {}
  key: |
    {}
",
        indent(&made.cert.pem()),
        indent(&made.signing_key.serialize_pem())
    );
    let port = free_port();
    let tls = ", serverCertSecret: {name: tls, key: cert}, serverKeySecret: {name: tls, key: key}";
    let half = ", serverCertSecret: {name: tls, key: cert}";
    let stage = Stage::start(
        &(secret
            + &source("a-safe", port, "/in", tls)
            + &source("b-plain", port, "/plain", "")
            + &source("c-half", port, "/half", half)),
    )
    .await;
    let mut codes = stage.codes();
    codes.sort();
    assert_eq!(codes, ["TIP-SRC-001", "TIP-SRC-006"]);
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([root])
        .resolve("localhost", ([127, 0, 0, 1], port).into())
        .build()
        .unwrap();
    let send = |path: &str| client.post(format!("https://localhost:{port}{path}")).body("{}").send();
    assert_eq!(send("/in").await.unwrap().status(), 200);
    assert_eq!(send("/plain").await.unwrap().status(), 404);
    for name in ["a-safe", "b-plain", "c-half"] {
        assert_eq!(stage.post(&stage.canonical(name, "hit"), "{}").await.status(), 200, "{name}");
    }
    stage.end().await;
}

#[tokio::test]
async fn routes_change_without_a_lost_request() {
    let port = free_port();
    let stage = Stage::start(&source("s", port, "/in", "")).await;
    let done = Arc::new(AtomicBool::new(false));
    let url = format!("http://127.0.0.1:{port}/in");
    let sender = async {
        let mut sent = 0;
        while !done.load(Ordering::Acquire) {
            assert_eq!(stage.post(&url, "{}").await.status(), 200);
            sent += 1;
        }
        sent
    };
    let changes = async {
        for n in 0..50 {
            let more = format!(", metadata: {{n: '{n}'}}");
            stage.put(&(source("s", port, "/in", &more) + &source(&format!("t{n}"), port, "/t", "")));
            tokio::task::yield_now().await;
            let url = stage.canonical(&format!("t{n}"), "hit");
            while stage.post(&url, "{}").await.status() != 200 {}
        }
        done.store(true, Ordering::Release);
    };
    let (sent, ()) = futures::future::join(sender, changes).await;
    let events = stage.events().await;
    assert_eq!(events.iter().filter(|e| e.origin.source == "s").count(), sent);
    stage.end().await;
}

#[tokio::test]
async fn kinds_that_are_not_run_are_named() {
    let stage = Stage::start(
        "
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: q}
spec: {amqp: {jobs: {url: amqp://q}}}
",
    )
    .await;
    let found = stage.ingress.diagnostics();
    assert_eq!(found[0].code, "TIP-SRC-003");
    assert_eq!(found[0].path, "spec.amqp.jobs");
    assert!(found[0].message.contains("`amqp`"), "{}", found[0].message);
    assert_eq!(stage.post(&stage.canonical("q", "jobs"), "{}").await.status(), 404);
    stage.end().await;
}
