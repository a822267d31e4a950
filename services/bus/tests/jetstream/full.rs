//! A full bus: publishers are refused, nothing is lost, and once it is drained it takes again.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tiphys_bus::jetstream::{JetStreamConfig, open};
use tiphys_bus::{Bus, BusError, Options, Publish, StreamConfig};
use tiphys_servers::{Nats, nats};

use crate::jetstream::{LONG, reader, stream};

/// It takes again so soon after it was drained.
const SOON: Duration = Duration::from_secs(5);

async fn connect(server: &Nats, trims: bool) -> Arc<dyn Bus> {
    let config = JetStreamConfig { trims, ..JetStreamConfig::new(server.url(), "test") };
    open(config, Options::default()).await.unwrap()
}

/// Publishes until the stream is full; how many it took.
async fn fill(bus: &dyn Bus, from: usize) -> usize {
    for number in from.. {
        let message = Publish::new("t.a", vec![b'x'; 1000]).id(number.to_string());
        match bus.publish(message).await {
            Ok(_) => {}
            Err(BusError::Full { .. }) => return number - from,
            Err(error) => panic!("{error}"),
        }
    }
    unreachable!("a full stream refuses")
}

/// `keeper` makes room while others publish; where publishers make room themselves there is none.
async fn fills_and_recovers(server: &Nats, trims: bool, limits: StreamConfig) {
    let (publisher, keeper) = (connect(server, trims).await, connect(server, true).await);
    keeper.ensure_stream(&limits).await.unwrap();
    let consumer = publisher.consumer("T", reader("c")).await.unwrap();
    let first = fill(&*publisher, 0).await;
    assert!(first > 10, "{first}");
    // Nobody has acked anything: no room can be made.
    keeper.tend().await.unwrap();
    assert_eq!(fill(&*publisher, first).await, 0);
    assert_eq!(publisher.info("T").await.unwrap().messages, first as u64);
    let mut taken = BTreeSet::new();
    while taken.len() < first {
        for delivery in consumer.fetch(100, LONG).await.unwrap() {
            taken.insert(delivery.message().sequence);
            delivery.ack().await.unwrap();
        }
    }
    assert_eq!(taken.len(), first, "each that was stored was there to be taken");
    let drained = Instant::now();
    let message = || Publish::new("t.a", vec![b'x'; 1000]).id("after");
    while let Err(refused) = publisher.publish(message()).await {
        assert!(matches!(refused, BusError::Full { .. }) && drained.elapsed() < SOON, "{refused}");
        if !trims {
            keeper.tend().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What is acked stays as long as there is room for it, so that it can be replayed.
    assert!(publisher.info("T").await.unwrap().messages > first as u64 / 2);
}

/// Tests are selected by this name.
mod jetstream {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_bus_takes_again_once_it_is_drained() {
        let Some(server) = nats() else { return };
        let by_bytes = StreamConfig { max_bytes: 100_000, trim_acked: true, ..stream() };
        fills_and_recovers(&server, true, by_bytes).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_full_bus_is_given_room_by_the_one_that_tends_it() {
        let Some(server) = nats() else { return };
        let by_number = StreamConfig { max_messages: 100, trim_acked: true, ..stream() };
        fills_and_recovers(&server, false, by_number).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_namespace_that_is_full_holds_no_other() {
        let Some(server) = nats() else { return };
        let of = async |namespace: &str, max_messages: u64| {
            let config = JetStreamConfig::new(server.url(), "test");
            let config = JetStreamConfig { namespace: Some(namespace.into()), ..config };
            let bus = open(config, Options::default()).await.unwrap();
            bus.ensure_stream(&StreamConfig { max_messages, ..stream() }).await.unwrap();
            bus
        };
        let (loud, quiet) = (of("loud", 20).await, of("quiet", 30).await);
        assert_eq!(fill(&*loud, 0).await, 20);
        assert_eq!(quiet.info("T").await.unwrap().messages, 0);
        assert_eq!(fill(&*quiet, 0).await, 30, "the same ids are no duplicates of another namespace");
    }
}
