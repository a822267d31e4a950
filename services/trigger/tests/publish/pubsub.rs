//! Google Pub/Sub, on Google's emulator.

use std::collections::BTreeMap;

use google_cloud_pubsub::client::{Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::MessageStream;
use serde_json::{Value as Json, json};
use tiphys_core::{Firing, FiringId, Operation, Value};
use tiphys_kit::google::Access;
use tiphys_kit::{CancellationToken, Tasks};
use tiphys_servers::pubsub;
use tiphys_trigger::ledger::{Effect, Ledger, State};

use crate::world::{World, firing, within};

const BODY: &str = r#"{"a":{"n":1795348800123456789}}"#;
const TOPIC: &str = "projects/project/topics/topic";
const SUBSCRIPTION: &str = "projects/project/subscriptions/subscription";

/// A firing that sends [`BODY`], and is tried for long.
fn sending(endpoint: &str, name: &str, template: &Json) -> Firing {
    let mut all = json!({"projectID": "project", "topic": "topic", "endpoint": endpoint});
    for (key, value) in template.as_object().unwrap() {
        all[key] = value.clone();
    }
    let mut firing = firing(name, &json!({"pubsub": all}));
    firing.trigger_spec["retryStrategy"] = json!({"steps": 500, "duration": "200ms", "factor": 1});
    firing.payload.push(Value {
        dest: "a.n".into(),
        operation: Operation::Overwrite,
        value: "1795348800123456789".into(),
    });
    firing
}

macro_rules! client {
    ($kind:ty, $url:expr) => {{
        let access = Access::new(None, $url, || Ok::<_, ()>(None)).unwrap();
        let builder = <$kind>::builder().with_endpoint(access.endpoint.unwrap());
        builder.with_credentials(access.credentials.unwrap()).build().await.unwrap()
    }};
}

/// Makes topic and subscription; gives what arrives.
async fn subscribe(url: &str) -> MessageStream {
    client!(TopicAdmin, url).create_topic().set_name(TOPIC).send().await.unwrap();
    let request = client!(SubscriptionAdmin, url).create_subscription().set_name(SUBSCRIPTION);
    request.set_topic(TOPIC).set_enable_message_ordering(true).send().await.unwrap();
    client!(Subscriber, url).subscribe(SUBSCRIPTION).build()
}

async fn next(stream: &mut MessageStream) -> Message {
    let (message, handler) = within(stream.next()).await.unwrap().unwrap();
    handler.ack();
    message
}

async fn first_error(world: &World, firing: &Firing) -> tiphys_trigger::ledger::Attempt {
    let ledger = Ledger::new(world.bus.clone());
    within(async {
        loop {
            if let Some(entry) = ledger.read(&firing.id).await.unwrap().0
                && let Some(error) = entry.errors.first()
            {
                return error.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_topic_gets_the_message_with_the_firings_id() {
    let Some(server) = pubsub() else { return };
    let mut stream = subscribe(&server.url()).await;
    let world = World::start().await;
    let template = json!({"topic": "to", "attributes": {"kind": "alert", "count": 3}, "orderingKey": "k"});
    let mut firing = sending(&server.url(), "t", &template);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    firing.attributes.insert("traceparent".into(), trace.into());
    firing.parameters.push(Value {
        dest: "topic".into(),
        operation: Operation::Append,
        value: "\"pic\"".into(),
    });
    world.fire(&firing, "1").await;
    let effect = world.until(&firing.id, State::Done).await.effect.unwrap();
    let message = next(&mut stream).await;
    assert_eq!(message.data, BODY);
    assert_eq!(message.ordering_key, "k");
    let attributes: BTreeMap<&str, &str> =
        message.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let expected = [
        ("Tiphys-Firing-Id", firing.id.0.as_str()),
        ("count", "3"),
        ("kind", "alert"),
        ("traceparent", trace),
    ];
    assert_eq!(attributes, BTreeMap::from(expected));
    let receipt = format!("message {}", message.message_id);
    assert_eq!(effect, Effect::Published { to: format!("Pub/Sub topic {TOPIC}"), receipt });
    world.end().await;
}

/// Stands between the trigger and the emulator until it is dropped: the emulator itself would forget everything.
struct Line(CancellationToken);

impl Line {
    async fn open(port: u16, to: String) -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let closed = CancellationToken::new();
        let tasks = Tasks::new(closed.clone());
        let (inner, stop) = (tasks.clone(), closed.clone());
        tasks.spawn("line", async move {
            while let Some(Ok((mut near, _))) = stop.run_until_cancelled(listener.accept()).await {
                let mut far = tokio::net::TcpStream::connect(&to).await.unwrap();
                let closed = stop.clone();
                inner.spawn("connection", async move {
                    tokio::select! {
                        () = closed.cancelled() => {}
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    }
                });
            }
        });
        Self(closed)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

#[tokio::test]
async fn a_server_that_is_away_gets_each_message_once_it_is_back() {
    let Some(server) = pubsub() else { return };
    let mut stream = subscribe(&server.url()).await;
    let port = tiphys_servers::free_port();
    let near = format!("http://127.0.0.1:{port}");
    let line = Line::open(port, server.host()).await;
    let world = World::start().await;
    let firings: Vec<Firing> = (0..20)
        .map(|n| {
            let mut firing = sending(&near, "t", &json!({"orderingKey": "k"}));
            firing.id = FiringId(format!("firing-{n}"));
            firing
        })
        .collect();
    for firing in &firings[..10] {
        world.fire(firing, &firing.id.0).await;
        world.until(&firing.id, State::Done).await;
    }
    drop(line);
    for firing in &firings[10..] {
        world.fire(firing, &firing.id.0).await;
    }
    let error = first_error(&world, &firings[10]).await;
    assert_eq!(error.code, "TIP-TRG-008", "{}", error.message);
    let _line = Line::open(port, server.host()).await;
    for firing in &firings {
        world.until(&firing.id, State::Done).await;
    }
    let mut ids = std::collections::BTreeSet::new();
    while ids.len() < 20 {
        ids.insert(next(&mut stream).await.attributes["Tiphys-Firing-Id"].clone());
    }
    assert_eq!(ids, firings.iter().map(|firing| firing.id.0.clone()).collect());
    world.end().await;
}

#[tokio::test]
async fn what_is_missing_is_waited_for_and_what_is_wrong_is_named() {
    let Some(mut server) = pubsub() else { return };
    let world = World::start().await;
    let patient = sending(&server.url(), "patient", &json!({}));
    world.fire(&patient, "1").await;
    let error = first_error(&world, &patient).await;
    assert_eq!(error.code, "TIP-TRG-004");
    assert!(error.message.contains(TOPIC) && error.message.contains("NOT_FOUND"), "{}", error.message);
    client!(TopicAdmin, &server.url()).create_topic().set_name(TOPIC).send().await.unwrap();
    world.until(&patient.id, State::Done).await;
    // Killed, the emulator forgets its topics, and the client has to connect again.
    server.kill();
    let survivor = sending(&server.url(), "survivor", &json!({}));
    world.fire(&survivor, "survivor").await;
    assert_eq!(first_error(&world, &survivor).await.code, "TIP-TRG-008");
    server.restart();
    client!(TopicAdmin, &server.url()).create_topic().set_name(TOPIC).send().await.unwrap();
    world.until(&survivor.id, State::Done).await;

    let mut silent = sending(&server.url(), "silent", &json!({}));
    silent.payload.clear();
    let cases = [
        (sending(&server.url(), "project", &json!({"projectID": ""})), "`projectID`"),
        (sending(&server.url(), "topic", &json!({"topic": ""})), "`topic`"),
        (silent, "`payload`"),
    ];
    for (hopeless, part) in cases {
        world.fire(&hopeless, &hopeless.trigger).await;
        let dead = world.until(&hopeless.id, State::Dead).await;
        assert_eq!((dead.attempts, dead.errors[0].code.as_str()), (1, "TIP-TRG-001"), "{part}");
        assert!(dead.errors[0].message.contains(part), "{}", dead.errors[0].message);
    }
    world.end().await;
}

#[tokio::test]
async fn a_credential_that_is_none_is_waited_for_and_never_told() {
    let Some(server) = pubsub() else { return };
    let mut stream = subscribe(&server.url()).await;
    let world = World::start().await;
    let put = |text: &str| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google"}, "stringData": {"key": text},
        });
        world.put(&secret.to_string());
    };
    put("s3cret");
    let template = json!({"credentialSecret": {"name": "google", "key": "key"}});
    let firing = sending(&server.url(), "t", &template);
    world.fire(&firing, "1").await;
    let error = first_error(&world, &firing).await;
    assert_eq!(error.code, "TIP-TRG-004");
    assert!(error.message.contains("`credentialSecret`") && !error.message.contains("s3cret"));
    // The emulator looks at nobody's token.
    let user = json!({
        "type": "service_account", "client_email": "a@b", "project_id": "project",
        "private_key_id": "1", "private_key": private_key(), "token_uri": "http://127.0.0.1:9/",
    });
    put(&user.to_string());
    world.until(&firing.id, State::Done).await;
    assert_eq!(next(&mut stream).await.data, BODY);
    world.end().await;
}

/// A key that was made for this test and opens nothing.
fn private_key() -> String {
    let made = std::process::Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output();
    String::from_utf8(made.expect("openssl").stdout).unwrap()
}
