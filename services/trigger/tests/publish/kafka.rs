//! Kafka, on a broker of each test's own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value as Json, json};
use tiphys_core::{Firing, FiringId, Operation, Value};
use tiphys_servers::kafka::USER;
use tiphys_servers::{Kafka, kafka, kafka_with_tls};
use tiphys_trigger::dlq;
use tiphys_trigger::ledger::{Effect, Ledger, State};

use crate::world::{TRACE, World, firing, within};

const BODY: &[u8] = br#"{"a":{"n":1795348800123456789}}"#;

/// A firing that publishes [`BODY`], and is tried for long.
fn publishing(url: &str, name: &str, template: &Json) -> Firing {
    let mut template = template.clone();
    template["url"] = json!(url);
    let mut firing = firing(name, &json!({"kafka": template}));
    firing.trigger_spec["retryStrategy"] = json!({"steps": 500, "duration": "300ms", "factor": 1});
    firing.payload.push(Value {
        dest: "a.n".into(),
        operation: Operation::Overwrite,
        value: "1795348800123456789".into(),
    });
    firing
}

async fn topic(server: &Kafka, name: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", server.url()).create().unwrap();
    let topic = NewTopic::new(name, 1, TopicReplication::Fixed(1)).set("max.message.bytes", "2000");
    let made = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

/// A message as a reader sees it.
struct Read {
    key: String,
    body: Vec<u8>,
    headers: BTreeMap<String, String>,
}

/// All messages of a topic of one partition.
fn read(server: &Kafka, topic: &str) -> Vec<Read> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", server.url())
        .set("group.id", "reader")
        .create()
        .unwrap();
    let patience = Duration::from_secs(20);
    let (_, end) = consumer.fetch_watermarks(topic, 0, patience).unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let mut all = Vec::new();
    for _ in 0..end {
        let message = consumer.poll(patience).expect("a message").unwrap();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        all.push(Read {
            key: text(message.key()),
            body: message.payload().unwrap().to_vec(),
            headers: headers.map(|header| (header.key.to_owned(), text(header.value))).collect(),
        });
    }
    all
}

fn login(user: &str, password: &str) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"},
        "stringData": {"user": user, "password": password}})
    .to_string()
}

/// Waits until a firing was tried in vain; gives the last reason.
async fn in_vain(world: &World, firing: &Firing) -> String {
    let ledger = Ledger::new(world.bus.clone());
    within(async {
        loop {
            let entry = ledger.read(&firing.id).await.unwrap().0;
            if let Some(last) = entry.and_then(|entry| entry.errors.last().cloned()) {
                return format!("{last:?}");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_is_the_firings_id_unless_the_manifest_names_one() {
    let Some(server) = kafka() else { return };
    topic(&server, "t").await;
    let world = World::start().await;
    world.put(&login("wanted", "unused"));
    let mut plain = publishing(&server.url(), "plain", &json!({"topic": "nowhere"}));
    plain.parameters.push(Value {
        dest: "topic".into(),
        operation: Operation::Overwrite,
        value: "\"t\"".into(),
    });
    world.fire(&plain, "1").await;
    let effect = world.until(&plain.id, State::Done).await.effect.unwrap();
    assert!(
        matches!(&effect, Effect::Published { to, receipt }
            if to.ends_with("topic t") && receipt == "partition 0 offset 0"),
        "{effect:?}"
    );
    let secure = json!([{"name": "who", "valueFrom": {"secretKeyRef": {"name": "login", "key": "user"}}}]);
    let keyed = json!({
        "topic": "t", "partitioningKey": "host-7", "compress": true, "requiredAcks": 1, "flushFrequency": 5,
        "headers": {"team": "red"}, "secureHeaders": secure, "version": "2.0.0",
    });
    let mut keyed = publishing(&server.url(), "keyed", &keyed);
    keyed.attributes.insert("traceparent".into(), TRACE.into());
    world.fire(&keyed, "2").await;
    world.until(&keyed.id, State::Done).await;
    let all = tokio::task::block_in_place(|| read(&server, "t"));
    let ids = [&plain, &keyed].map(|firing| firing.id.0.as_str());
    assert_eq!(all.iter().map(|one| one.key.as_str()).collect::<Vec<_>>(), [ids[0], "host-7"]);
    assert!(all.iter().all(|one| one.body == BODY));
    assert_eq!(all.iter().map(|one| one.headers["Tiphys-Firing-Id"].as_str()).collect::<Vec<_>>(), ids);
    assert_eq!((all[1].headers["team"].as_str(), all[1].headers["who"].as_str()), ("red", "wanted"));
    assert_eq!(all[0].headers.get("traceparent"), None);
    assert_eq!(all[1].headers["traceparent"], TRACE);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_gets_each_message_once_it_is_back() {
    let Some(mut server) = kafka() else { return };
    topic(&server, "t").await;
    let world = World::start().await;
    let mut firings = Vec::new();
    for n in 0..30 {
        if n == 10 {
            world.until(&FiringId("firing-9".into()), State::Done).await;
            server.kill();
        }
        let mut firing = publishing(&server.url(), "t", &json!({"topic": "t"}));
        firing.id = FiringId(format!("firing-{n}"));
        world.fire(&firing, &n.to_string()).await;
        firings.push(firing);
    }
    let why = in_vain(&world, &firings[10]).await;
    assert!(why.contains("timed out") && why.contains("Connection refused"), "{why}");
    tokio::task::block_in_place(|| server.restart());
    for firing in &firings {
        world.until(&firing.id, State::Done).await;
    }
    let all = tokio::task::block_in_place(|| read(&server, "t"));
    let keys: BTreeSet<&str> = all.iter().map(|one| one.key.as_str()).collect();
    assert_eq!(keys, firings.iter().map(|firing| firing.id.0.as_str()).collect());
    // None reached the broker before it died without our knowing.
    assert_eq!(all.len(), 30);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_topic_and_wrong_credentials_are_told_and_mend_themselves() {
    let Some(server) = kafka() else { return };
    let world = World::start().await;
    let waiting = publishing(&server.url(), "waiting", &json!({"topic": "t"}));
    world.fire(&waiting, "1").await;
    let why = in_vain(&world, &waiting).await;
    assert!(why.contains("topic `t`") && why.contains("nknown topic"), "{why}");
    topic(&server, "t").await;
    world.until(&waiting.id, State::Done).await;
    world.put(&login(USER.0, "wr0ng"));
    let key = |key: &str| json!({"name": "login", "key": key});
    let template = json!({"topic": "t", "sasl":
        {"mechanism": "SCRAM-SHA-512", "userSecret": key("user"), "passwordSecret": key("password")}});
    let patient = publishing(&server.asking(), "patient", &template);
    world.fire(&patient, "2").await;
    let why = in_vain(&world, &patient).await;
    assert!(why.contains("uthentication") && !why.contains("wr0ng"), "{why}");
    world.put(&login(USER.0, USER.1));
    world.until(&patient.id, State::Done).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_will_never_do_is_a_dead_letter_at_once() {
    let Some(server) = kafka() else { return };
    topic(&server, "t").await;
    let world = World::start().await;
    let mut large = publishing(&server.url(), "large", &json!({"topic": "t"}));
    large.payload[0].value = json!("x".repeat(5000)).to_string();
    let registry = json!({"topic": "t", "schemaRegistry": {"url": "http://x", "schemaId": 1}});
    let registry = publishing(&server.url(), "registry", &registry);
    let mechanism = json!({"topic": "t", "sasl": {"mechanism": "GSSAPI"}});
    let mechanism = publishing(&server.url(), "mechanism", &mechanism);
    let nameless = publishing(&server.url(), "nameless", &json!({}));
    for (n, (firing, part)) in [
        (&large, "too large"),
        (&registry, "`schemaRegistry`"),
        (&mechanism, "`sasl.mechanism: GSSAPI`"),
        (&nameless, "lacks `url` or `topic`"),
    ]
    .into_iter()
    .enumerate()
    {
        world.fire(firing, &n.to_string()).await;
        world.until(&firing.id, State::Dead).await;
        let letters = dlq::list(&world.bus, 1, 10).await.unwrap();
        let reason = &letters[n].letter.reason;
        assert!(reason.contains(part), "{reason}");
    }
    world.end().await;
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
        (key.serialize_pem(), params.signed_by(&key, &authority).unwrap().pem())
    };
    let (server_key, server_certificate) = certified();
    let identity = format!("{server_key}{server_certificate}");
    let Some(server) = kafka_with_tls(&identity, &authority.pem()) else { return };
    topic(&server, "t").await;
    let world = World::start().await;
    let (key, own) = certified();
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let pems = |ca: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "pem"},
            "stringData": {"ca": ca, "key": key, "own": own}})
        .to_string()
    };
    world.put(&pems(&other.cert.pem()));
    let of = |key: &str| json!({"name": "pem", "key": key});
    let tls = json!({"caCertSecret": of("ca"), "clientCertSecret": of("own"), "clientKeySecret": of("key")});
    let firing = publishing(&server.secret(), "secret", &json!({"topic": "t", "tls": tls}));
    world.fire(&firing, "1").await;
    let why = in_vain(&world, &firing).await;
    assert!(why.contains("certificate verify failed"), "{why}");
    world.put(&pems(&authority.pem()));
    world.until(&firing.id, State::Done).await;
    assert_eq!(tokio::task::block_in_place(|| read(&server, "t")).len(), 1);
    world.end().await;
}
