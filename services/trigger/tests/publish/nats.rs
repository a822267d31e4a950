//! NATS, core and JetStream, on a server of each test's own.

use async_nats::jetstream::{self, Context};
use async_nats::{Client, Message};
use futures::StreamExt as _;
use serde_json::{Value as Json, json};
use tiphys_core::{Firing, FiringId, Operation, Value};
use tiphys_servers::{Nats, nats, nats_with};
use tiphys_trigger::dlq;
use tiphys_trigger::ledger::{Effect, State};

use crate::world::{TRACE, World, firing, within};

/// A firing that publishes `{"a":{"n":1795348800123456789}}`, and is tried for long.
fn publishing(server: &Nats, name: &str, template: &Json) -> Firing {
    let mut template = template.clone();
    template["url"] = json!(server.url());
    let mut firing = firing(name, &json!({"nats": template}));
    firing.trigger_spec["retryStrategy"] = json!({"steps": 200, "duration": "50ms", "factor": 1});
    firing.payload.push(Value {
        dest: "a.n".into(),
        operation: Operation::Overwrite,
        value: "1795348800123456789".into(),
    });
    firing
}

const BODY: &[u8] = br#"{"a":{"n":1795348800123456789}}"#;

async fn stream(client: &Client) -> Context {
    let context = jetstream::new(client.clone());
    let config = jetstream::stream::Config {
        name: "S".into(),
        subjects: vec!["s.>".into()],
        ..jetstream::stream::Config::default()
    };
    context.create_stream(config).await.unwrap();
    context
}

async fn stored(context: &Context) -> u64 {
    context.get_stream("S").await.unwrap().cached_info().state.messages
}

fn header<'a>(message: &'a Message, name: &str) -> &'a str {
    message.headers.as_ref().unwrap().get(name).unwrap().as_str()
}

#[tokio::test]
async fn a_listener_gets_the_message_with_the_firings_id() {
    let Some(server) = nats() else { return };
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut messages = client.subscribe("told.red").await.unwrap();
    client.flush().await.unwrap();
    let world = World::start().await;
    let mut firing = publishing(&server, "t", &json!({"subject": "told"}));
    firing.attributes.insert("traceparent".into(), TRACE.into());
    firing.parameters.push(Value {
        dest: "subject".into(),
        operation: Operation::Append,
        value: "\".red\"".into(),
    });
    world.fire(&firing, "1").await;
    let message = within(messages.next()).await.unwrap();
    assert_eq!(&message.payload[..], BODY);
    assert_eq!(header(&message, "Nats-Msg-Id"), firing.id.0);
    assert_eq!(header(&message, "Tiphys-Firing-Id"), firing.id.0);
    assert_eq!(header(&message, "traceparent"), TRACE);
    let effect = world.until(&firing.id, State::Done).await.effect.unwrap();
    assert!(matches!(effect, Effect::Published { to, .. } if to.ends_with("subject told.red")));
    world.end().await;
}

#[tokio::test]
async fn a_stream_acks_and_stores_one_message_of_two_tries() {
    let Some(server) = nats() else { return };
    let context = stream(&async_nats::connect(server.url()).await.unwrap()).await;
    let firing = publishing(&server, "t", &json!({"subject": "s.a"}));
    // Two rooms that know nothing of each other: as when one dies before it writes what it did.
    for receipt in ["stream S, sequence 1", "stream S, sequence 1, as before"] {
        let world = World::start().await;
        world.fire(&firing, "1").await;
        let effect = world.until(&firing.id, State::Done).await.effect;
        assert!(matches!(effect, Some(Effect::Published { receipt: said, .. }) if said == receipt));
        world.end().await;
    }
    assert_eq!(stored(&context).await, 1);
}

#[tokio::test]
async fn a_server_that_is_away_gets_each_message_once_it_is_back() {
    let Some(mut server) = nats() else { return };
    let _ = stream(&async_nats::connect(server.url()).await.unwrap()).await;
    let world = World::start().await;
    let template = json!({"subject": "s.a", "jetstream": true});
    let mut firings: Vec<Firing> = Vec::new();
    for n in 0..30 {
        if n == 10 {
            server.kill();
        }
        let mut firing = publishing(&server, "t", &template);
        firing.id = FiringId(format!("firing-{n}"));
        world.fire(&firing, &n.to_string()).await;
        firings.push(firing);
    }
    within(async {
        while tiphys_trigger::ledger::Ledger::new(world.bus.clone())
            .read(&firings[29].id)
            .await
            .unwrap()
            .0
            .is_none_or(|entry| entry.errors.is_empty())
        {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    })
    .await;
    server.restart();
    for firing in &firings {
        world.until(&firing.id, State::Done).await;
    }
    let context = jetstream::new(async_nats::connect(server.url()).await.unwrap());
    assert_eq!(stored(&context).await, 30);
    world.end().await;
}

#[tokio::test]
async fn credentials_come_from_secrets_and_are_never_told() {
    let Some(server) = nats_with("authorization { token: s3cret }") else { return };
    let world = World::start().await;
    let secret = |token: &str| {
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"token": token}}).to_string()
    };
    world.put(&secret("wr0ng"));
    let template = json!({"subject": "foo", "auth": {"token": {"name": "login", "key": "token"}}});
    let mut hopeless = publishing(&server, "hopeless", &template);
    hopeless.trigger_spec["retryStrategy"] = json!({"steps": 2, "duration": "10ms"});
    world.fire(&hopeless, "1").await;
    world.until(&hopeless.id, State::Dead).await;
    let letter = dlq::list(&world.bus, 1, 10).await.unwrap().remove(0).letter;
    assert!(letter.reason.contains("refuses our credentials"), "{}", letter.reason);
    assert!(!serde_json::to_string(&letter).unwrap().contains("wr0ng"));
    let patient = publishing(&server, "patient", &template);
    world.fire(&patient, "2").await;
    world.put(&secret("s3cret"));
    world.until(&patient.id, State::Done).await;
    world.end().await;
}

#[tokio::test]
async fn what_a_user_may_not_do_is_a_failure_and_no_more_than_that() {
    let users = "authorization { users: [{user: me, password: pw, permissions: {publish: [mine], subscribe: [none]}}] }";
    let Some(server) = nats_with(users) else { return };
    let world = World::start().await;
    world.put(
        &json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "login"}, "stringData": {"u": "me", "p": "pw"}})
            .to_string(),
    );
    let auth = json!({"basic": {"username": {"name": "login", "key": "u"}, "password": {"name": "login", "key": "p"}}});
    let mine = publishing(&server, "mine", &json!({"subject": "mine", "auth": auth}));
    world.fire(&mine, "1").await;
    world.until(&mine.id, State::Done).await;
    let mut other = publishing(&server, "other", &json!({"subject": "other", "auth": auth}));
    other.trigger_spec["retryStrategy"] = json!({"steps": 1});
    world.fire(&other, "2").await;
    world.until(&other.id, State::Dead).await;
    let letter = dlq::list(&world.bus, 1, 10).await.unwrap().remove(0).letter;
    assert!(letter.reason.contains("does not let us publish to `other`"), "{}", letter.reason);
    world.end().await;
}
