//! What only a real server can show: its own clock and limits, its death, and ours.
#![cfg(feature = "jetstream")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy knows only functions marked as tests")]

#[path = "jetstream/child.rs"]
mod child;
#[path = "jetstream/full.rs"]
mod full;

/// Tests are selected by this name.
mod jetstream {
    use std::collections::HashSet;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use bytes::Bytes;
    use futures::future::join_all;
    use tiphys_bus::jetstream::{Credentials, JetStreamConfig, open};
    use tiphys_bus::{Bus, BusError, ConsumerConfig, Options, Publish, Start, StreamConfig};

    use tiphys_servers::{Nats, nats, nats_with};

    pub(crate) const LONG: Duration = Duration::from_secs(30);

    pub(crate) fn stream() -> StreamConfig {
        StreamConfig {
            name: "T".into(),
            max_messages: 0,
            max_bytes: 0,
            max_age: Duration::ZERO,
            duplicate_window: Duration::from_secs(60),
            last_per_subject: false,
            trim_acked: false,
        }
    }

    pub(crate) fn reader(name: &str) -> ConsumerConfig {
        ConsumerConfig {
            name: name.into(),
            filters: vec![],
            start: Start::All,
            ack_wait: Duration::from_secs(600),
            max_ack_pending: 1000,
        }
    }

    async fn with(server: &Nats, config: StreamConfig) -> Arc<dyn Bus> {
        let bus = open(JetStreamConfig::new(server.url(), "test"), Options::default()).await.unwrap();
        bus.ensure_stream(&config).await.unwrap();
        bus
    }

    /// Tries again until it works, as every caller does who is told that the bus is unavailable.
    async fn insist<T, F: Future<Output = Result<T, BusError>>>(deed: impl Fn() -> F) -> T {
        let deadline = Instant::now() + LONG;
        loop {
            match deed().await {
                Ok(done) => return done,
                Err(error) => assert!(
                    matches!(error, BusError::Unavailable { .. }) && Instant::now() < deadline,
                    "{error}"
                ),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_killed_server_loses_and_doubles_nothing() {
        let Some(mut server) = nats() else { return };
        let bus = with(&server, stream()).await;
        let consumer = bus
            .consumer("T", ConsumerConfig { ack_wait: Duration::from_secs(2), ..reader("c") })
            .await
            .unwrap();
        let publisher = async {
            for start in (0..400).step_by(20) {
                let batch = (start..start + 20).map(|n: u32| {
                    let bus = &bus;
                    insist(move || bus.publish(Publish::new("t.a", n.to_string()).id(n.to_string())))
                });
                join_all(batch).await;
            }
        };
        let taker = async {
            let mut seen = HashSet::new();
            while seen.len() < 400 {
                let got = insist(|| consumer.fetch(50, Duration::from_secs(5))).await;
                seen.extend(got.iter().map(|d| d.message().payload.clone()));
                // What cannot be acked comes again.
                join_all(got.iter().map(|d| d.ack())).await;
            }
        };
        let killer = async {
            for sequence in [60, 200] {
                let _ = insist(|| bus.wait_for("T", sequence, LONG)).await;
                server.restart();
            }
        };
        tokio::time::timeout(LONG * 2, async { tokio::join!(publisher, taker, killer) }).await.unwrap();
        let stored = insist(|| bus.info("T")).await;
        assert_eq!(stored.messages, 400, "each is stored once");
        let deadline = Instant::now() + LONG;
        while insist(|| consumer.info()).await.ack_floor < stored.last {
            assert!(Instant::now() < deadline, "something is never acked");
            for delivery in insist(|| consumer.fetch(50, Duration::from_millis(200))).await {
                let _ = delivery.ack().await;
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn those_who_wait_outlive_a_restart() {
        let Some(mut server) = nats() else { return };
        let bus = with(&server, stream()).await;
        let consumer = bus.consumer("T", reader("c")).await.unwrap();
        bus.publish(Publish::new("t.a", "1")).await.unwrap();
        assert_eq!(consumer.fetch(5, LONG).await.unwrap().len(), 1);
        // The server may have forgotten that it handed out the first one.
        let second = async {
            loop {
                let got = insist(|| consumer.fetch(5, LONG)).await;
                assert!(!got.is_empty(), "nothing came");
                if got.iter().any(|d| d.message().payload == "2") {
                    break;
                }
            }
        };
        let restart = async {
            server.restart();
            let message = || Publish::new("t.a", "2").id("2");
            insist(|| bus.publish(message())).await;
        };
        let (grown, (), ()) = tokio::join!(insist(|| bus.wait_for("T", 1, LONG)), second, restart);
        assert_eq!(grown, 2);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn ids_and_messages_go_by_the_servers_clock() {
        let Some(server) = nats() else { return };
        let mut config = stream();
        config.max_age = Duration::from_secs(2);
        config.duplicate_window = Duration::from_millis(500);
        let bus = with(&server, config).await;
        let message = || Publish::new("t.a", "x").id("1");
        bus.publish(message()).await.unwrap();
        assert!(bus.publish(message()).await.unwrap().duplicate);
        let deadline = Instant::now() + LONG;
        while bus.publish(message()).await.unwrap().duplicate {
            assert!(Instant::now() < deadline, "the id is never forgotten");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        while bus.info("T").await.unwrap().messages > 0 {
            assert!(Instant::now() < deadline, "the messages never go");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(bus.info("T").await.unwrap().first, 0);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn bytes_fill_a_stream_until_they_are_acked() {
        let Some(server) = nats() else { return };
        let mut config = stream();
        (config.max_bytes, config.trim_acked) = (100_000, true);
        let bus = with(&server, config).await;
        let consumer = bus.consumer("T", reader("c")).await.unwrap();
        let message = || Publish::new("t.a", vec![b'x'; 10_000]);
        let mut stored = 0;
        let refused = loop {
            match bus.publish(message()).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, BusError::Full { .. }), "{refused}");
        assert_eq!(stored, 9);
        for delivery in consumer.fetch(2, LONG).await.unwrap() {
            delivery.ack().await.unwrap();
        }
        bus.publish(message()).await.unwrap();
        bus.publish(message()).await.unwrap();
        assert!(bus.publish(message()).await.is_err());
        assert_eq!(bus.info("T").await.unwrap().first, 3);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn installations_share_a_server_and_nothing_else() {
        let Some(server) = nats() else { return };
        let one = with(&server, stream()).await;
        let config = JetStreamConfig::new(server.url(), "test2");
        let two = open(config, Options::default()).await.unwrap();
        one.publish(Publish::new("t.a", "x")).await.unwrap();
        assert!(matches!(two.info("T").await, Err(BusError::Missing { .. })));
        two.ensure_stream(&stream()).await.unwrap();
        assert_eq!(two.info("T").await.unwrap().messages, 0);
        // Two who store the same at once store it once.
        let content = Bytes::from(vec![7; 1 << 20]);
        let (a, b) = tokio::join!(one.put_blob(content.clone()), one.put_blob(content.clone()));
        assert_eq!(a.as_ref().unwrap(), b.as_ref().unwrap());
        assert_eq!(one.get_blob(&a.unwrap()).await.unwrap(), Some(content));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_stands_in_the_way_is_said() {
        let Some(server) = nats_with("authorization { token: right }") else { return };
        let told = async |token: &str| {
            let mut config = JetStreamConfig::new(server.url(), "test");
            config.credentials = Credentials::Token(token.to_owned().into());
            open(config, Options::default()).await.err().map(|error| error.to_string())
        };
        assert_eq!(told("right").await, None);
        let refused = told("wr0ng").await.unwrap();
        assert!(refused.contains("credentials") && !refused.contains("wr0ng"), "{refused}");
        let nobody = JetStreamConfig::new("nats://127.0.0.1:1", "test");
        let refused = open(nobody, Options::default()).await.err().unwrap();
        assert!(matches!(refused, BusError::Unavailable { .. }), "{refused}");
    }
}
