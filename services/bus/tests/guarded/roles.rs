//! Each service as a user of its own: it can do its work, and not that of another.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tiphys_bus::jetstream::{Credentials, JetStreamConfig, open, permissions, users};
use tiphys_bus::{Bus, BusError, ConsumerConfig, Options, Publish, Start, streams};
use tiphys_servers::{Nats, nats_with};

const LONG: Duration = Duration::from_secs(20);

/// Two installations on one server, all with the same password.
fn server() -> Option<Nats> {
    let of = |prefix: &str| users(&JetStreamConfig::new("", prefix));
    let (one, two) = (of("test"), of("other"));
    // Both lists of users as one.
    let inner = |text: &str| {
        let (_, rest) = text.split_once("users: [").unwrap();
        rest.rsplit_once("]\n}").unwrap().0.to_owned()
    };
    let mut text = format!("authorization {{ users: [ {} {} ] }}", inner(&one), inner(&two));
    for user in permissions(&JetStreamConfig::new("", "test")) {
        text = text.replace(&format!("$TIPHYS_{}_PASSWORD", user.role.to_uppercase()), "secret");
    }
    nats_with(&text)
}

async fn bus(server: &Nats, prefix: &str, role: &str) -> Arc<dyn Bus> {
    let config = JetStreamConfig {
        role: Some(role.into()),
        credentials: Credentials::Password { user: format!("{prefix}-{role}"), password: "secret".into() },
        request_timeout: Duration::from_secs(2),
        trims: role == "bus",
        ..JetStreamConfig::new(server.url(), prefix)
    };
    open(config, Options::default()).await.unwrap()
}

fn reader(name: &str) -> ConsumerConfig {
    ConsumerConfig {
        name: name.into(),
        filters: vec![],
        start: Start::All,
        ack_wait: LONG,
        max_ack_pending: 10,
    }
}

/// Takes one message and acks it.
async fn take(bus: &dyn Bus, stream: &str) {
    let consumer = bus.consumer(stream, reader("c")).await.unwrap();
    let got = consumer.fetch(1, LONG).await.unwrap();
    got[0].progress().await.unwrap();
    got[0].nack(Duration::ZERO).await.unwrap();
    let got = consumer.fetch(1, LONG).await.unwrap();
    got[0].ack().await.unwrap();
    assert_eq!(consumer.info().await.unwrap().outstanding, 0);
    bus.delete_consumer(stream, "other").await.unwrap();
}

/// Reads and waits, in each way.
async fn look(bus: &dyn Bus, stream: &str, subject: &str) {
    assert!(bus.last(subject).await.unwrap().is_some());
    assert_eq!(bus.read(stream, "", 1, 10).await.unwrap().len(), 1);
    assert_eq!(bus.wait_for(stream, 1, Duration::from_millis(100)).await.unwrap(), 1);
}

async fn work(server: &Nats) {
    let keeper = bus(server, "test", "bus").await;
    for mut stream in streams::all() {
        // The server of the test is small.
        stream.max_bytes = stream.max_bytes.min(1 << 20);
        keeper.ensure_stream(&stream).await.unwrap();
    }
    keeper.tend().await.unwrap();
    assert!(!keeper.findings().await.is_empty());

    let source = bus(server, "test", "eventsource").await;
    let event = || Publish::new("events.ns.s.e", "x").id("1");
    source.publish(event()).await.unwrap();
    assert!(source.publish(event()).await.unwrap().duplicate);
    look(&*source, streams::EVENTS, "events.ns.s.e").await;
    let blob = source.put_blob(Bytes::from(vec![1; 1 << 20])).await.unwrap();

    let sensor = bus(server, "test", "sensor").await;
    take(&*sensor, streams::EVENTS).await;
    assert!(sensor.get_blob(&blob).await.unwrap().is_some());
    let state = sensor.publish(Publish::new("state.ns.s.t", "x").expect_last(0)).await.unwrap();
    let refused = sensor.publish(Publish::new("state.ns.s.t", "x").expect_last(state.sequence + 7)).await;
    assert!(matches!(refused, Err(BusError::Conflict { .. })));
    sensor.purge(streams::STATE, "state.ns.s.t", None).await.unwrap();
    let claim = sensor.claim("k", "me", LONG).await.unwrap().unwrap();
    sensor.release(&claim).await.unwrap();
    for subject in ["firings.ns.s.t", "verdicts.ns.s", "dead.ns.sensor.s.t"] {
        sensor.publish(Publish::new(subject, "x")).await.unwrap();
    }

    let trigger = bus(server, "test", "trigger").await;
    take(&*trigger, streams::FIRINGS).await;
    for subject in ["ledger.f", "workflows.ns.w"] {
        trigger.publish(Publish::new(subject, "x").id(subject).expect_last(0)).await.unwrap();
    }

    let executor = bus(server, "test", "executor").await;
    look(&*executor, streams::WORKFLOWS, "workflows.ns.w").await;
    executor.purge(streams::WORKFLOWS, "workflows.ns.w", None).await.unwrap();
    executor.publish(Publish::new("cron.ns.k.n", "x")).await.unwrap();

    let api = bus(server, "test", "server").await;
    look(&*api, streams::EVENTS, "events.ns.s.e").await;
    for subject in ["audit.ns", "catalog.k.ns.n", "control.ns.s.t", "events.ns.s.e"] {
        api.publish(Publish::new(subject, "x")).await.unwrap();
    }
    assert!(api.consumer_info(streams::EVENTS, "c").await.unwrap().is_some());
    look(&*keeper, streams::CATALOG, "catalog.k.ns.n").await;
}

async fn forbidden(server: &Nats) {
    let source = bus(server, "test", "eventsource").await;
    let api = bus(server, "test", "server").await;
    let before = (api.info(streams::FIRINGS).await.unwrap(), api.info(streams::EVENTS).await.unwrap());
    // What it may do by mistake tells nothing.
    let refused = |refused: Result<(), BusError>| {
        let told = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains("refuses our user"), "{told}");
    };
    refused(source.publish(Publish::new("firings.ns.s.t", "forged")).await.map(drop));
    refused(source.purge(streams::EVENTS, "", None).await.map(drop));
    refused(source.consumer(streams::FIRINGS, reader("thief")).await.map(drop));
    refused(source.last("ledger.f").await.map(drop));
    let sensor = bus(server, "test", "sensor").await;
    refused(sensor.publish(Publish::new("events.ns.s.e", "forged")).await.map(drop));
    let after = (api.info(streams::FIRINGS).await.unwrap(), api.info(streams::EVENTS).await.unwrap());
    assert_eq!(before, after);
    assert!(api.consumer_info(streams::FIRINGS, "thief").await.unwrap().is_none());
    // Another installation on the same server sees nothing of it.
    let stranger = bus(server, "other", "server").await;
    assert!(matches!(stranger.info(streams::EVENTS).await, Err(BusError::Missing { .. })));
    // With the role of another no answer arrives.
    let config = JetStreamConfig {
        role: Some("bus".into()),
        credentials: Credentials::Password { user: "test-sensor".into(), password: "secret".into() },
        request_timeout: Duration::from_secs(1),
        ..JetStreamConfig::new(server.url(), "test")
    };
    assert!(open(config, Options::default()).await.is_err());
}

/// Tests are selected by this name.
mod jetstream {
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_service_does_its_work_and_no_other() {
        let Some(server) = super::server() else { return };
        super::work(&server).await;
        super::forbidden(&server).await;
    }
}
