//! What is said of a source that cannot read, and that it mends itself.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::{Value, json};
use tiphys_servers::{kafka, kafka_with_tls};

use super::site::{group, manifest, numbers, producer, secret, send, topic};
use crate::stage::Stage;
use crate::wait::{down, events, up, within};

/// Waits until the source reports a reason with these words; gives it.
async fn told(stage: &Stage, words: &str) -> String {
    within(words, async {
        loop {
            let why = down(stage, "TIP-SRC-008").await;
            if why.contains(words) {
                return why;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await
}

fn key(secret: &str, key: &str) -> Value {
    json!({"name": secret, "key": key})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_and_a_broker_that_is_away_are_told_and_mend_themselves() {
    let Some(mut server) = kafka() else { return };
    let stage = Stage::start(&manifest(&server.url(), &group("g"))).await;
    told(&stage, "nknown topic").await;
    topic(&server, "t", 1).await;
    up(&stage).await;
    server.kill();
    told(&stage, "topic `t` cannot be read").await;
    tokio::task::block_in_place(|| server.restart());
    send(&producer(&server), 0, numbers(0..1)).await;
    events(&stage, 1).await;
    up(&stage).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_told_and_not_shown() {
    let Some(server) = kafka() else { return };
    topic(&server, "t", 1).await;
    send(&producer(&server), 0, numbers(0..1)).await;
    let login = |password: &str, mechanism: &str| {
        let mut event = group("g");
        event["sasl"] = json!({"mechanism": mechanism, "userSecret": key("login", "user"),
            "passwordSecret": key("login", password)});
        manifest(&server.asking(), &event)
    };
    let stage = Stage::start(&login("wrong", "SCRAM-SHA-512")).await;
    told(&stage, "uthentication").await;
    assert!(!format!("{:?}{:?}", stage.ingress.diagnostics(), stage.health.parts()).contains("not-it"));
    for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", ""] {
        stage.put(&login("password", mechanism));
        events(&stage, 1).await;
        up(&stage).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_checked_on_both_sides() {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // OpenSSL takes a certificate with its issuer's name for one that signed itself.
    params.distinguished_name.push(DnType::CommonName, "authority");
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let certified = || {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        (key.serialize_pem(), certificate.pem())
    };
    let (server_key, server_certificate) = certified();
    let identity = format!("{server_key}{server_certificate}");
    let Some(server) = kafka_with_tls(&identity, &authority.pem()) else { return };
    topic(&server, "t", 1).await;
    send(&producer(&server), 0, numbers(0..1)).await;
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let (own_key, own) = certified();
    let pems =
        secret("pem", &json!({"ca": authority.pem(), "other": other.cert.pem(), "key": own_key, "own": own}));
    let with = |tls: Value| {
        let mut event = group("g");
        event["tls"] = tls;
        format!("{}---\n{pems}\n", manifest(&server.secret(), &event))
    };
    let mine = |ca: &str| json!({"caCertSecret": key("pem", ca), "clientCertSecret": key("pem", "own"), "clientKeySecret": key("pem", "key")});
    // An authority that knows nothing of the server.
    let stage = Stage::start(&with(mine("other"))).await;
    told(&stage, "topic `t` cannot be read").await;
    stage.put(&with(mine("ca")));
    up(&stage).await;
    events(&stage, 1).await;
    // The server wants to see a certificate of ours.
    stage.put(&with(json!({"caCertSecret": key("pem", "ca")})));
    told(&stage, "topic `t` cannot be read").await;
    stage.put(&with(mine("ca")));
    up(&stage).await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_run_is_named() {
    let nowhere = "127.0.0.1:9";
    let mut registry = group("g");
    registry["schemaRegistry"] = json!({"url": "http://x", "schemaId": 1});
    let mut mechanism = group("g");
    mechanism["sasl"] = json!({"mechanism": "GSSAPI"});
    let stage = Stage::start(&manifest(nowhere, &registry)).await;
    assert!(down(&stage, "TIP-SRC-001").await.contains("`schemaRegistry`"));
    for (event, part) in [
        (json!({"topic": "t"}), "`consumerGroup`"),
        (json!({"topic": "t", "partition": "first"}), "`partition`"),
        (json!({"consumerGroup": {"groupName": "g"}}), "`topic`"),
        (mechanism, "GSSAPI"),
    ] {
        stage.put(&manifest(nowhere, &event));
        crate::stage::until(part, || {
            let found = stage.ingress.diagnostics();
            found.iter().any(|found| found.code == "TIP-SRC-001" && found.message.contains(part))
        })
        .await;
    }
    stage.end().await;
}
