//! NATS, core and JetStream, on a server of each test's own.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::pull::Config as PullConfig;
use async_nats::jetstream::consumer::{AckPolicy, Info};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tiphys_bus::memory;
use tiphys_eventsource::Config;
use tiphys_servers::{Nats, nats, nats_with};

use crate::faulty::Faulty;
use crate::stage::Stage;
use crate::wait::{down, events, letters, until, up, within};

/// An event source `n` with the event `example`, and a Secret `login` with these values.
fn manifest(server: &Nats, event: &Value, secret: Option<&Value>) -> String {
    let mut event = event.clone();
    event["url"] = json!(server.url());
    let source = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "EventSource", "metadata": {"name": "n"},
        "spec": {"nats": {"example": event}},
    });
    let login = json!({"name": "login"});
    let own = json!({"apiVersion": "v1", "kind": "Secret", "metadata": login, "stringData": secret});
    format!("{source}\n---\n{}\n", if secret.is_some() { own } else { Value::Null })
}

fn key(key: &str) -> Value {
    json!({"name": "login", "key": key})
}
async fn client(server: &Nats) -> Client {
    within("a client", async {
        loop {
            if let Ok(client) = async_nats::connect(server.url()).await {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

async fn publish(client: &Client, subject: &str, data: impl Into<String>) {
    client.publish(subject.to_owned(), data.into().into()).await.unwrap();
    client.flush().await.unwrap();
}

/// A stream `S` of the subjects `s.>` and `falco.>`.
async fn stream(client: &Client) -> Context {
    let context = jetstream::new(client.clone());
    let config = jetstream::stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into(), "falco.>".into()],
        ..jetstream::stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    context
}

async fn store(context: &Context, subject: &str, data: impl Into<String>) {
    within("a stored message", async {
        let data: String = data.into();
        loop {
            if let Ok(ack) = context.publish(subject.to_owned(), data.clone().into()).await
                && ack.await.is_ok()
            {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}

/// Makes the consumer `reader`, with which a message that is not acked comes again soon.
async fn impatient(context: &Context) {
    let config = PullConfig {
        durable_name: Some("reader".into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(1),
        ..PullConfig::default()
    };
    context.get_stream("S").await.unwrap().create_consumer(config).await.unwrap();
}

async fn consumer(context: &Context, name: &str) -> Info {
    context.get_stream("S").await.unwrap().consumer_info(name).await.unwrap()
}

fn numbers(events: &[tiphys_core::Event]) -> Vec<u64> {
    let number = |event: &tiphys_core::Event| {
        serde_json::from_slice::<Value>(&event.data).unwrap()["body"]["n"].as_u64().unwrap()
    };
    events.iter().map(number).collect()
}

#[tokio::test]
async fn a_message_becomes_an_event_in_argos_shape() {
    let Some(server) = nats() else { return };
    let event = json!({"subject": "foo.*", "queue": "q", "jsonBody": true, "metadata": {"team": "red"}});
    let stage = Stage::start(&manifest(&server, &event, None)).await;
    up(&stage).await;
    let client = client(&server).await;
    let mut headers = HeaderMap::new();
    headers.insert("X-Kind", "alert");
    let data = r#"{ "n": 1795348800123456789 }"#;
    client.publish_with_headers("foo.bar", headers, data.into()).await.unwrap();
    let found = events(&stage, 1).await;
    assert_eq!(found[0].kind, "nats");
    assert_eq!(
        String::from_utf8_lossy(&found[0].data),
        r#"{"subject":"foo.bar","body":{"n":1795348800123456789},"header":{"X-Kind":["alert"]},"metadata":{"team":"red"}}"#
    );
    // What is no JSON is a letter, and the next message an event.
    publish(&client, "foo.bar", "not json").await;
    publish(&client, "foo.bar", "{}").await;
    let letter = letters(&stage, 1).await.remove(0);
    assert_eq!(letter.raw, Some(STANDARD.encode("not json")));
    assert_eq!(letter.code, "TIP-SRC-009");
    assert_eq!(events(&stage, 2).await.len(), 2);
    stage.end().await;
}

#[tokio::test]
async fn a_plain_subscription_comes_back_after_its_server() {
    let Some(mut server) = nats() else { return };
    let stage = Stage::start(&manifest(&server, &json!({"subject": "foo", "jsonBody": true}), None)).await;
    up(&stage).await;
    publish(&client(&server).await, "foo", r#"{"n":1}"#).await;
    events(&stage, 1).await;
    server.kill();
    down(&stage, "TIP-SRC-008").await;
    server.restart();
    up(&stage).await;
    // The subscription follows the connection by a moment.
    let client = client(&server).await;
    until("an event after the restart", || async {
        publish(&client, "foo", r#"{"n":2}"#).await;
        stage.events().await.len() > 1
    })
    .await;
    assert_eq!(numbers(&events(&stage, 2).await)[..2], [1, 2]);
    assert!(stage.codes().is_empty());
    stage.end().await;
}

#[tokio::test]
async fn what_was_received_waits_for_a_bus_that_is_away() {
    let Some(server) = nats() else { return };
    let bus = Faulty::new();
    let config = Config { publish_patience: Duration::from_millis(100), ..Config::default() };
    let event = json!({"subject": "foo", "jsonBody": true});
    let stage = Stage::with(&manifest(&server, &event, None), bus.clone(), config).await;
    up(&stage).await;
    bus.away(true);
    let client = client(&server).await;
    for n in 0..300 {
        publish(&client, "foo", json!({"n": n}).to_string()).await;
    }
    bus.away(false);
    let mut found = numbers(&events(&stage, 300).await);
    found.sort_unstable();
    assert_eq!(found, (0..300).collect::<Vec<_>>());
    stage.end().await;
}

#[tokio::test]
async fn wrong_credentials_are_told_of_and_mended() {
    let Some(mut server) = nats_with("authorization { token: s3cret }") else { return };
    let event = json!({"subject": "foo", "jsonBody": true, "auth": {"token": key("token")}});
    let stage = Stage::start(&manifest(&server, &event, None)).await;
    assert!(down(&stage, "TIP-SRC-002").await.contains("`token` of Secret `default/login`"));
    stage.put(&manifest(&server, &event, Some(&json!({"token": "wr0ng"}))));
    let reason = down(&stage, "TIP-SRC-008").await;
    assert_eq!(reason, "the NATS server refuses our credentials");
    stage.put(&manifest(&server, &event, Some(&json!({"token": "s3cret"}))));
    up(&stage).await;
    // The server changes its mind, and the Secret follows.
    server
        .restart_with("authorization { users: [{user: me, password: pw, permissions: {subscribe: [bar]}}] }");
    assert!(!down(&stage, "TIP-SRC-008").await.contains("s3cret"));
    let event = json!({"subject": "foo", "jsonBody": true,
        "auth": {"basic": {"username": key("user"), "password": key("password")}}});
    stage.put(&manifest(&server, &event, Some(&json!({"user": "me", "password": "pw"}))));
    until("the refusal of the subscription", || async {
        down(&stage, "TIP-SRC-008").await.contains("refuses the subscription to `foo`")
    })
    .await;
    server.restart_with("authorization { users: [{user: me, password: pw}] }");
    up(&stage).await;
    let login = async_nats::ConnectOptions::new().user_and_password("me".into(), "pw".into());
    publish(&login.connect(server.url()).await.unwrap(), "foo", r#"{"n":1}"#).await;
    assert_eq!(events(&stage, 1).await.len(), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_stream_is_read_from_its_beginning_and_acked() {
    let Some(mut server) = nats() else { return };
    let context = stream(&client(&server).await).await;
    // A killed server has forgotten the last acks, and sends those messages again.
    impatient(&context).await;
    for n in 0..100 {
        store(&context, "s.a", json!({"n": n}).to_string()).await;
    }
    store(&context, "s.b", "not json").await;
    let event = json!({"jsonBody": true, "jetstream": {"stream": "S", "consumer": "reader"}});
    let stage = Stage::start(&manifest(&server, &event, None)).await;
    assert_eq!(numbers(&events(&stage, 100).await), (0..100).collect::<Vec<_>>());
    let letter = letters(&stage, 1).await.remove(0);
    assert_eq!(letter.raw, Some(STANDARD.encode("not json")));
    until("all are acked", || async { consumer(&context, "reader").await.ack_floor.stream_sequence == 101 })
        .await;

    server.kill();
    down(&stage, "TIP-SRC-008").await;
    server.restart();
    let again = jetstream::new(client(&server).await);
    for n in 100..200 {
        store(&again, "s.a", json!({"n": n}).to_string()).await;
    }
    let found = events(&stage, 200).await;
    assert_eq!(numbers(&found), (0..200).collect::<Vec<_>>());
    assert!(found.iter().all(|event| event.occurred.is_some()));
    until("all are acked", || async { consumer(&again, "reader").await.ack_floor.stream_sequence == 201 })
        .await;
    assert_eq!(stage.events().await.len(), 200);
    stage.end().await;
}

#[tokio::test]
async fn a_stream_that_is_missing_is_told_of_and_read_once_it_is_there() {
    let Some(server) = nats() else { return };
    let event = json!({"jsonBody": true, "subject": "s.a", "jetstream": {"stream": "S"}});
    let stage = Stage::start(&manifest(&server, &event, None)).await;
    assert!(down(&stage, "TIP-SRC-008").await.contains("`S`"));
    let context = stream(&client(&server).await).await;
    store(&context, "s.b", r#"{"n":0}"#).await;
    store(&context, "s.a", r#"{"n":1}"#).await;
    assert_eq!(numbers(&events(&stage, 1).await), [1]);
    // A stream made anew counts from 1 again; its messages are others.
    context.delete_stream("S").await.unwrap();
    down(&stage, "TIP-SRC-008").await;
    let context = stream(&client(&server).await).await;
    store(&context, "s.b", r#"{"n":0}"#).await;
    store(&context, "s.a", r#"{"n":2}"#).await;
    assert_eq!(numbers(&events(&stage, 2).await), [1, 2]);
    stage.end().await;
}

/// A source dies between the storing of an event and the ack of its message: the message comes again, and is the same
/// event.
#[test]
fn a_redelivery_is_the_same_event() {
    let Some(server) = nats() else { return };
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let survivor = runtime();
    let bus = Faulty::new();
    let event = json!({"jsonBody": true, "jetstream": {"stream": "S", "consumer": "reader"}});
    let manifest = manifest(&server, &event, None);
    let context = survivor.block_on(async {
        let context = stream(&client(&server).await).await;
        impatient(&context).await;
        for n in 0..50 {
            store(&context, "s.a", json!({"n": n}).to_string()).await;
        }
        context
    });
    bus.mute(true);
    let victim = runtime();
    victim.block_on(async {
        let stage = Stage::with(&manifest, bus.clone(), Config::default()).await;
        assert_eq!(events(&stage, 50).await.len(), 50);
        std::mem::forget(stage);
    });
    victim.shutdown_background();
    bus.mute(false);
    survivor.block_on(async {
        assert_eq!(consumer(&context, "reader").await.ack_floor.stream_sequence, 0, "nothing was acked");
        let stage = Stage::with(&manifest, bus, Config::default()).await;
        until("all are acked", || async {
            consumer(&context, "reader").await.ack_floor.stream_sequence == 50
        })
        .await;
        assert!(consumer(&context, "reader").await.delivered.consumer_sequence >= 100);
        assert_eq!(numbers(&stage.events().await), (0..50).collect::<Vec<_>>());
        stage.end().await;
    });
}

#[tokio::test]
async fn with_one_under_way_the_order_stays_whatever_happens() {
    let Some(server) = nats() else { return };
    let context = stream(&client(&server).await).await;
    let bus = Faulty::new();
    let config = Config { publish_patience: Duration::from_millis(20), ..Config::default() };
    let event = json!({"jsonBody": true, "jetstream": {"stream": "S", "maxAckPending": 1}});
    let stage = Stage::with(&manifest(&server, &event, None), bus.clone(), config).await;
    up(&stage).await;
    for n in 0..20 {
        bus.away(n % 2 == 0);
        store(&context, "s.a", json!({"n": n}).to_string()).await;
    }
    bus.lose_answers(3);
    bus.away(false);
    assert_eq!(numbers(&events(&stage, 20).await), (0..20).collect::<Vec<_>>());
    stage.end().await;
}

#[tokio::test]
async fn an_id_of_the_sender_counts_where_the_manifest_says_so() {
    let Some(server) = nats() else { return };
    let event = json!({"subject": "foo", "idHeader": "Nats-Msg-Id", "jsonBody": true});
    let stage = Stage::with(&manifest(&server, &event, None), Arc::clone(&memory()), Config::default()).await;
    up(&stage).await;
    let client = client(&server).await;
    for (id, data) in [("1", r#"{"n":1}"#), ("1", r#"{"n":1}"#), ("2", r#"{"n":2}"#)] {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        client.publish_with_headers("foo", headers, data.into()).await.unwrap();
    }
    assert_eq!(numbers(&events(&stage, 2).await), [1, 2]);
    stage.end().await;
}

#[tokio::test]
async fn an_encrypted_connection_is_made_with_the_authority_of_the_secret() {
    let folder = std::env::temp_dir().join(format!("tiphys-nats-tls-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let (certificate, private) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&private, made.signing_key.serialize_pem()).unwrap();
    let Some(server) = nats_with(&format!("tls {{ cert_file: {certificate:?}, key_file: {private:?} }}"))
    else {
        return;
    };
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let event = json!({"subject": "foo", "tls": {"caCertSecret": key("ca")}});
    let stage = Stage::start(&manifest(&server, &event, Some(&json!({"ca": other.cert.pem()})))).await;
    assert!(down(&stage, "TIP-SRC-008").await.contains("connection to NATS"));
    stage.put(&manifest(&server, &event, Some(&json!({"ca": made.cert.pem()}))));
    up(&stage).await;
    stage.put(&manifest(&server, &json!({"subject": "foo", "tls": {"insecureSkipVerify": true}}), None));
    up(&stage).await;
    stage.end().await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn a_message_too_large_for_the_bus_is_kept_whole_and_acked() {
    let Some(server) = nats_with("max_payload: 4MB") else { return };
    let context = stream(&client(&server).await).await;
    let large = "x".repeat(2 << 20);
    store(&context, "s.a", large.clone()).await;
    store(&context, "s.a", "small").await;
    let event = json!({"jetstream": {"stream": "S", "consumer": "reader"}});
    let stage = Stage::start(&manifest(&server, &event, None)).await;
    events(&stage, 1).await;
    let letter = letters(&stage, 1).await.remove(0);
    assert_eq!((letter.code.as_str(), letter.raw), ("TIP-BUS-003", None));
    let blob = letter.reason.rsplit(' ').next().unwrap();
    assert_eq!(stage.bus.get_blob(blob).await.unwrap().unwrap(), large);
    until("both are acked", || async { consumer(&context, "reader").await.ack_floor.stream_sequence == 2 })
        .await;
    stage.end().await;
}

/// Falcosidekick connects for each alert, publishes without waiting for an answer, and goes.
#[tokio::test]
async fn an_alert_of_falcosidekick_comes_byte_for_byte() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let Some(server) = nats() else { return };
    stream(&client(&server).await).await;
    let event = json!({"subject": "falco.>", "jsonBody": true, "jetstream": {"stream": "S"}});
    let stage = Stage::start(&manifest(&server, &event, None)).await;
    let request = include_str!("../data/falcosidekick.http");
    let alert = request.lines().find(|line| line.starts_with('{')).unwrap();
    let mut connection =
        tokio::net::TcpStream::connect(server.url().trim_start_matches("nats://")).await.unwrap();
    let subject = "falco.notice.terminal_shell_in_container";
    let said =
        format!("CONNECT {{\"verbose\":false}}\r\nPUB {subject} {}\r\n{alert}\r\nPING\r\n", alert.len());
    connection.write_all(said.as_bytes()).await.unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(b"PONG\r\n") {
        assert_ne!(connection.read_buf(&mut heard).await.unwrap(), 0);
    }
    drop(connection);
    let found = events(&stage, 1).await.remove(0);
    assert_eq!(String::from_utf8_lossy(&found.data), format!(r#"{{"subject":"{subject}","body":{alert}}}"#));
    stage.end().await;
}
