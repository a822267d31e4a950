//! Publishers and takers, each with a connection of its own, and the judge of what they did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tiphys_bus::jetstream::{JetStreamConfig, open};
use tiphys_bus::{Bus, BusError, ConsumerConfig, Options, Publish, Start, StreamConfig};
use tiphys_servers::Cluster;
use tokio::task::JoinSet;

/// Each has a connection of its own, and begins at another server.
const PUBLISHERS: u32 = 3;
const TAKERS: usize = 2;
/// In flight of each publisher.
const WINDOW: u32 = 8;
/// A taker pauses so long when nothing works.
const PAUSE: Duration = Duration::from_millis(50);
/// Nothing takes so long when all is well.
const LONG: Duration = Duration::from_secs(90);

/// What happens meanwhile.
pub(crate) struct Load {
    bus: Arc<dyn Bus>,
    events: u32,
    /// Publishers and takers; they end with this.
    tasks: JoinSet<()>,
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
    pub(crate) async fn start(cluster: &Cluster, events: u32) -> Self {
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
        let mut load =
            Self { bus, events, tasks: JoinSet::new(), told: Arc::default(), taken: Arc::default() };
        for number in 0..TAKERS {
            let (bus, taken) = (connect(cluster, number).await, Arc::clone(&load.taken));
            load.tasks.spawn(take(bus, taken));
        }
        for number in 0..PUBLISHERS {
            let bus = connect(cluster, number as usize).await;
            let told = Arc::clone(&load.told);
            let mine: Vec<u32> = (0..events).filter(|event| event % PUBLISHERS == number).collect();
            load.tasks.spawn(publish(bus, mine, told));
        }
        load
    }

    /// Waits until so many are acknowledged.
    pub(crate) async fn stored(&self, count: u32) {
        let stored = || self.told.lock().unwrap().len() >= count as usize;
        self.until(&format!("{count} events stored"), stored).await;
    }

    async fn until(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + LONG;
        while !holds() {
            let (told, taken) = (self.told.lock().unwrap().len(), self.taken.lock().unwrap().len());
            assert!(Instant::now() < deadline, "never: {what}; {told} are stored, {taken} taken");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits for the end, and judges: each event is stored once, where its publisher was told, and was taken.
    pub(crate) async fn end(self) {
        self.stored(self.events).await;
        self.until("all taken", || self.taken.lock().unwrap().len() >= self.events as usize).await;
        let deadline = Instant::now() + LONG;
        let stored = loop {
            match self.bus.read("T", "", 1, self.events as usize * 2).await {
                Ok(stored) => break stored,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            tokio::time::sleep(PAUSE).await;
        };
        let found: Vec<(u32, u64)> = stored.iter().map(|m| (number(&m.payload), m.sequence)).collect();
        assert_eq!(found.len(), self.events as usize, "each is stored once");
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

/// Publishes each event until it is acknowledged, as every caller does.
async fn publish(bus: Arc<dyn Bus>, mine: Vec<u32>, told: Arc<Mutex<BTreeMap<u32, u64>>>) {
    use futures::StreamExt as _;
    let each = futures::stream::iter(mine).for_each_concurrent(WINDOW as usize, |event| {
        let (bus, told) = (Arc::clone(&bus), Arc::clone(&told));
        async move {
            loop {
                let message = Publish::new("t.a", event.to_string()).id(event.to_string());
                match bus.publish(message).await {
                    Ok(acked) => {
                        told.lock().unwrap().insert(event, acked.sequence);
                        // Spreads the load over the time in which things happen.
                        tokio::time::sleep(Duration::from_millis(200)).await;
                        return;
                    }
                    Err(error) => assert!(matches!(error, BusError::Unavailable { .. }), "{error}"),
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    });
    each.await;
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
