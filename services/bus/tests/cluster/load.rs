//! Publishers and takers, each with a connection of its own, and the judge of what they did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tiphys_bus::jetstream::{JetStreamConfig, open};
use tiphys_bus::{Bus, BusError, ConsumerConfig, Options, Publish, Start, StreamConfig};
use tiphys_servers::Cluster;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Each has a connection of its own, and begins at another server.
const PUBLISHERS: u32 = 3;
const TAKERS: usize = 2;
/// In flight of each publisher, all the time: so some are always on the way when something happens.
const WINDOW: u32 = 16;
/// A taker pauses so long when nothing works.
const PAUSE: Duration = Duration::from_millis(50);
/// Nothing takes so long when all is well.
const LONG: Duration = Duration::from_secs(90);

/// What happens meanwhile.
pub(crate) struct Load {
    bus: Arc<dyn Bus>,
    publishers: JoinSet<()>,
    /// They end with this.
    takers: JoinSet<()>,
    stop: CancellationToken,
    /// Sequences that publishers were told, by event.
    told: Arc<Mutex<BTreeMap<u32, u64>>>,
    taken: Arc<Mutex<BTreeSet<u32>>>,
}

/// A number from the environment.
pub(crate) fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

async fn connect(cluster: &Cluster, first: usize) -> Arc<dyn Bus> {
    let urls: Vec<String> = (0..3).map(|node| cluster.url((first + node) % 3)).collect();
    let config = JetStreamConfig {
        replicas: 3,
        request_timeout: Duration::from_secs(5),
        ..JetStreamConfig::new(urls.join(","), "test")
    };
    open(config, Options::default()).await.unwrap()
}

impl Load {
    /// Begins to publish and to take.
    pub(crate) async fn start(cluster: &Cluster) -> Self {
        let bus = connect(cluster, 0).await;
        let stream = StreamConfig {
            name: "T".into(),
            max_messages: 0,
            max_bytes: 0,
            max_age: Duration::ZERO,
            duplicate_window: Duration::from_secs(600),
            last_per_subject: false,
            trim_acked: false,
        };
        bus.ensure_stream(&stream).await.unwrap();
        let mut load = Self {
            bus,
            publishers: JoinSet::new(),
            takers: JoinSet::new(),
            stop: CancellationToken::new(),
            told: Arc::default(),
            taken: Arc::default(),
        };
        for number in 0..TAKERS {
            let (bus, taken) = (connect(cluster, number).await, Arc::clone(&load.taken));
            load.takers.spawn(take(bus, taken));
        }
        for number in 0..PUBLISHERS {
            let bus = connect(cluster, number as usize).await;
            for lane in 0..WINDOW {
                let events = (number * WINDOW + lane..).step_by((PUBLISHERS * WINDOW) as usize);
                let (bus, told, stop) = (Arc::clone(&bus), Arc::clone(&load.told), load.stop.clone());
                load.publishers.spawn(publish(bus, events, told, stop));
            }
        }
        load
    }

    /// Waits until so many more are acknowledged.
    pub(crate) async fn stored(&self, more: usize) {
        let count = self.told.lock().unwrap().len() + more;
        self.until(&format!("{more} more events stored"), || self.told.lock().unwrap().len() >= count).await;
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds() {
            let (told, taken) = (self.told.lock().unwrap().len(), self.taken.lock().unwrap().len());
            assert!(Instant::now() < deadline, "never: {what}; {told} are stored, {taken} taken");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Lets the publishers come to an end, and judges: each event is stored once, where its publisher was told, and was
    /// taken.
    pub(crate) async fn end(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.publishers.join_next().await {
            ended.unwrap();
        }
        let events = self.told.lock().unwrap().len();
        self.until("all taken", || self.taken.lock().unwrap().len() >= events).await;
        let deadline = Instant::now() + LONG;
        let stored = loop {
            match self.bus.read("T", "", 1, events * 2).await {
                Ok(stored) => break stored,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        let found: Vec<(u32, u64)> = stored.iter().map(|m| (number(&m.payload), m.sequence)).collect();
        assert_eq!(found.len(), events, "each is stored once");
        let told = self.told.lock().unwrap().clone();
        assert_eq!(
            found.into_iter().collect::<BTreeMap<_, _>>(),
            told,
            "each stands where its publisher was told"
        );
        // What was handed out and not acked comes again, so in the end all is acked.
        let last = stored.last().unwrap().sequence;
        loop {
            let info = self.bus.consumer_info("T", "c").await;
            if matches!(info, Ok(Some(info)) if info.ack_floor >= last) {
                break;
            }
            assert!(Instant::now() < deadline, "something is never acked: {info:?}");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn number(payload: &[u8]) -> u32 {
    std::str::from_utf8(payload).unwrap().parse().unwrap()
}

/// Publishes one event after another, each until it is acknowledged, as every caller does.
async fn publish(
    bus: Arc<dyn Bus>,
    events: impl Iterator<Item = u32>,
    told: Arc<Mutex<BTreeMap<u32, u64>>>,
    stop: CancellationToken,
) {
    for event in events {
        if stop.is_cancelled() {
            return;
        }
        let acked = loop {
            let message = Publish::new("t.a", event.to_string()).id(event.to_string());
            match bus.publish(message).await {
                Ok(acked) => break acked,
                Err(error) => assert!(matches!(error, BusError::Unavailable { .. }), "{error}"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        told.lock().unwrap().insert(event, acked.sequence);
    }
}

async fn take(bus: Arc<dyn Bus>, taken: Arc<Mutex<BTreeSet<u32>>>) {
    let config = ConsumerConfig {
        name: "c".into(),
        filters: vec![],
        start: Start::All,
        ack_wait: Duration::from_secs(3),
        max_ack_pending: 200,
    };
    let consumer = loop {
        match bus.consumer("T", config.clone()).await {
            Ok(consumer) => break consumer,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    };
    loop {
        match consumer.fetch(20, Duration::from_secs(2)).await {
            Ok(deliveries) => {
                for delivery in deliveries {
                    taken.lock().unwrap().insert(number(&delivery.message().payload));
                    // Where it fails the delivery comes again.
                    let _ = delivery.ack().await;
                }
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}
