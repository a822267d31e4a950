//! Amazon SQS: ElasticMQ, which survives a kill, and moto, which tells right keys from wrong ones.

use std::collections::BTreeMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use serde_json::{Value as Json, json};
use tiphys_core::{Firing, FiringId, Operation, Value};
use tiphys_servers::{elasticmq, moto};
use tiphys_trigger::dlq;
use tiphys_trigger::ledger::{Effect, Ledger, State};

use crate::world::{World, firing, within};

const SECRET: &str = r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "aws"},
    "stringData": {"access": "some-id", "secret": "hush-hush"}}"#;

/// A firing that sends `{"a":{"n":1795348800123456789}}`, and is tried for long.
fn sending(endpoint: &str, name: &str, template: &Json) -> Firing {
    let mut all = json!({
        "region": "eu-west-1", "endpoint": endpoint,
        "accessKey": {"name": "aws", "key": "access"}, "secretKey": {"name": "aws", "key": "secret"},
    });
    for (key, value) in template.as_object().unwrap() {
        all[key] = value.clone();
    }
    let mut firing = firing(name, &json!({"sqs": all}));
    firing.trigger_spec["retryStrategy"] = json!({"steps": 500, "duration": "300ms", "factor": 1});
    firing.payload.push(Value {
        dest: "a.n".into(),
        operation: Operation::Overwrite,
        value: "1795348800123456789".into(),
    });
    firing
}

const BODY: &str = r#"{"a":{"n":1795348800123456789}}"#;

fn client(endpoint: &str) -> Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .endpoint_url(endpoint)
        .credentials_provider(Credentials::new("test", "test", None, None, "test"));
    Client::from_conf(config.build())
}

async fn queue(client: &Client, name: &str) -> String {
    let mut request = client.create_queue().queue_name(name);
    if name.ends_with(".fifo") {
        request = request.attributes(QueueAttributeName::FifoQueue, "true");
    }
    request.send().await.unwrap().queue_url.unwrap()
}

/// Receives, and deletes, until there are so many and no more.
async fn receive(client: &Client, url: &str, count: usize) -> Vec<Message> {
    let mut all = Vec::new();
    within(async {
        loop {
            let request =
                client.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(1);
            let request = request
                .message_attribute_names("All")
                .message_system_attribute_names(MessageSystemAttributeName::All);
            let messages = request.send().await.unwrap().messages.unwrap_or_default();
            if messages.is_empty() && all.len() >= count {
                return;
            }
            for message in messages {
                let receipt = message.receipt_handle().unwrap();
                client.delete_message().queue_url(url).receipt_handle(receipt).send().await.unwrap();
                all.push(message);
            }
        }
    })
    .await;
    all
}

fn attributes(message: &Message) -> BTreeMap<&str, (&str, &str)> {
    let all = message.message_attributes.as_ref().unwrap();
    all.iter()
        .map(|(name, value)| (name.as_str(), (value.data_type(), value.string_value().unwrap())))
        .collect()
}

#[tokio::test]
async fn a_queue_gets_the_message_with_the_firings_id() {
    let Some(server) = moto() else { return };
    let client = client(&server.url());
    let url = queue(&client, "plain").await;
    let world = World::start().await;
    world.put(SECRET);
    let template = json!({"queue": "pl", "delaySeconds": 0, "attributes": {"kind": "alert", "count": 3}});
    let mut firing = sending(&server.url(), "t", &template);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    firing.attributes.insert("traceparent".into(), trace.into());
    firing.parameters.push(Value {
        dest: "queue".into(),
        operation: Operation::Append,
        value: "\"ain\"".into(),
    });
    world.fire(&firing, "1").await;
    let effect = world.until(&firing.id, State::Done).await.effect.unwrap();
    let messages = receive(&client, &url, 1).await;
    assert_eq!(messages.len(), 1);
    assert_eq!(messages[0].body(), Some(BODY));
    let expected = [
        ("Tiphys-Firing-Id", ("String", firing.id.0.as_str())),
        ("count", ("Number", "3")),
        ("kind", ("String", "alert")),
        ("traceparent", ("String", trace)),
    ];
    assert_eq!(attributes(&messages[0]), BTreeMap::from(expected));
    let receipt = format!("message {}", messages[0].message_id().unwrap());
    assert_eq!(effect, Effect::Published { to: "SQS queue plain in eu-west-1".into(), receipt });
    world.end().await;
}

#[tokio::test]
async fn a_fifo_queue_stores_one_message_of_two_tries() {
    let Some(server) = elasticmq() else { return };
    let client = client(&server.url());
    let url = queue(&client, "q.fifo").await;
    let firing = sending(&server.url(), "t", &json!({"queue": "q.fifo"}));
    // Two rooms that know nothing of each other: as when one dies before it writes what it did.
    for _ in 0..2 {
        let world = World::start().await;
        world.put(SECRET);
        world.fire(&firing, "1").await;
        world.until(&firing.id, State::Done).await;
        world.end().await;
    }
    let messages = receive(&client, &url, 1).await;
    assert_eq!(messages.len(), 1);
    let system = messages[0].attributes.as_ref().unwrap();
    assert_eq!(system[&MessageSystemAttributeName::MessageDeduplicationId], firing.id.0);
    assert_eq!(system[&MessageSystemAttributeName::MessageGroupId], "default/s/t");
}

#[tokio::test]
async fn a_server_that_is_away_gets_each_message_once_it_is_back() {
    let Some(mut server) = elasticmq() else { return };
    let client = client(&server.url());
    let url = queue(&client, "back.fifo").await;
    let world = World::start().await;
    world.put(SECRET);
    let mut firings: Vec<Firing> = Vec::new();
    for n in 0..30 {
        if n == 10 {
            // ElasticMQ finds a queue again after a kill by the messages that it kept of it.
            for firing in &firings {
                world.until(&firing.id, State::Done).await;
            }
            server.kill();
        }
        let mut firing = sending(&server.url(), "t", &json!({"queue": "back.fifo", "messageGroupId": "g"}));
        firing.id = FiringId(format!("firing-{n}"));
        world.fire(&firing, &n.to_string()).await;
        firings.push(firing);
    }
    let ledger = Ledger::new(world.bus.clone());
    within(async {
        while ledger.read(&firings[29].id).await.unwrap().0.is_none_or(|entry| entry.errors.is_empty()) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    server.restart();
    for firing in &firings {
        world.until(&firing.id, State::Done).await;
    }
    let messages = receive(&client, &url, 30).await;
    let mut ids: Vec<&str> =
        messages.iter().map(|message| attributes(message)["Tiphys-Firing-Id"].1).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!((messages.len(), ids.len()), (30, 30));
    world.end().await;
}

#[tokio::test]
async fn what_is_missing_is_waited_for_and_what_is_wrong_is_named() {
    let Some(server) = moto() else { return };
    let client = client(&server.url());
    let world = World::start().await;
    world.put(SECRET);
    let patient = sending(&server.url(), "patient", &json!({"queue": "later"}));
    world.fire(&patient, "1").await;
    let ledger = Ledger::new(world.bus.clone());
    let error = within(async {
        loop {
            if let Some(entry) = ledger.read(&patient.id).await.unwrap().0
                && let Some(error) = entry.errors.first()
            {
                return error.clone();
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    assert_eq!(error.code, "TIP-TRG-004");
    assert!(
        error.message.contains("`later`") && error.message.contains("NonExistentQueue"),
        "{}",
        error.message
    );
    queue(&client, "later").await;
    world.until(&patient.id, State::Done).await;

    for (name, template, part) in [
        ("region", json!({"queue": "later", "region": ""}), "`region`"),
        ("queue", json!({}), "`queue`"),
        ("key", json!({"queue": "later", "secretKey": null}), "`secretKey`"),
        ("delay", json!({"queue": "later", "delaySeconds": 901}), "901"),
        ("empty", json!({"queue": "later", "attributes": {"a": ""}}), "`a`"),
        (
            "many",
            json!({"queue": "later", "attributes": {
            "a": 1, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1, "h": 1, "i": 1, "j": 1}}),
            "10 attributes",
        ),
    ] {
        let hopeless = sending(&server.url(), name, &template);
        world.fire(&hopeless, name).await;
        let dead = world.until(&hopeless.id, State::Dead).await;
        assert_eq!((dead.attempts, dead.errors[0].code.as_str()), (1, "TIP-TRG-001"), "{name}");
        assert!(dead.errors[0].message.contains(part), "{}", dead.errors[0].message);
    }
    let refused = sending(&server.url(), "refused", &json!({"queue": "later", "attributes": {"a b": "c"}}));
    world.fire(&refused, "refused").await;
    let dead = world.until(&refused.id, State::Dead).await;
    assert_eq!(
        (dead.attempts, dead.errors[0].code.as_str()),
        (1, "TIP-TRG-007"),
        "{}",
        dead.errors[0].message
    );
    world.end().await;
}

#[tokio::test]
async fn wrong_keys_are_tried_again_and_never_told() {
    let Some(server) = tiphys_servers::moto_with_keys(0) else { return };
    let world = World::start().await;
    world.put(SECRET);
    let mut firing = sending(&server.url(), "t", &json!({"queue": "q"}));
    firing.trigger_spec["retryStrategy"] = json!({"steps": 2, "duration": "10ms"});
    world.fire(&firing, "1").await;
    world.until(&firing.id, State::Dead).await;
    let letter = dlq::list(&world.bus, 1, 10).await.unwrap().remove(0).letter;
    assert!(letter.reason.contains("the credentials are wrong or missing"), "{}", letter.reason);
    assert!(!serde_json::to_string(&letter).unwrap().contains("hush-hush"));
    world.end().await;
}
