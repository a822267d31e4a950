//! What the rules stand on: a bus of some adapter, a clock to move, and short words for frequent deeds.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tiphys_bus::{
    Acked, Bus, BusError, Consumer, ConsumerConfig, Delivery, Options, Publish, Start, StreamConfig,
    StreamInfo, embedded, memory_with, streams,
};
use tiphys_core::{FixedClock, Timestamp};

/// Long enough for a slow machine; nothing waits that long when all is well.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// Long enough to see that something does not come.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

/// Sets up buses of one adapter.
pub(crate) struct Rig(Adapter);

enum Adapter {
    Memory,
    Embedded,
    #[cfg(feature = "jetstream")]
    JetStream,
    #[cfg(feature = "jetstream")]
    Cluster,
}

/// A bus under test.
pub(crate) struct Fixture {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) clock: Arc<FixedClock>,
    folder: Option<TempDir>,
    #[cfg(feature = "jetstream")]
    nats: Option<crate::nats::Place>,
}

impl Rig {
    pub(crate) const fn memory() -> Self {
        Self(Adapter::Memory)
    }

    pub(crate) const fn embedded() -> Self {
        Self(Adapter::Embedded)
    }

    #[cfg(feature = "jetstream")]
    pub(crate) const fn jetstream() -> Self {
        Self(Adapter::JetStream)
    }

    #[cfg(feature = "jetstream")]
    pub(crate) const fn cluster() -> Self {
        Self(Adapter::Cluster)
    }

    /// Whether a rule is left out for this adapter; says why.
    pub(crate) fn leaves_out(&self, rule: &str) -> bool {
        #[cfg(not(feature = "jetstream"))]
        let _ = rule;
        match self.0 {
            Adapter::Memory | Adapter::Embedded => false,
            #[cfg(feature = "jetstream")]
            Adapter::JetStream => crate::nats::leaves_out(rule, false),
            #[cfg(feature = "jetstream")]
            Adapter::Cluster => crate::nats::leaves_out(rule, true),
        }
    }

    /// An empty bus whose clock stands at a fixed time.
    pub(crate) fn start(&self) -> Fixture {
        let clock = Arc::new(FixedClock::at(start_time()));
        let options = options(&clock);
        match self.0 {
            Adapter::Memory => Fixture {
                bus: memory_with(options),
                clock,
                folder: None,
                #[cfg(feature = "jetstream")]
                nats: None,
            },
            Adapter::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                Fixture {
                    bus: embedded::open(folder.path(), options).unwrap(),
                    clock,
                    folder: Some(folder),
                    #[cfg(feature = "jetstream")]
                    nats: None,
                }
            }
            #[cfg(feature = "jetstream")]
            Adapter::JetStream | Adapter::Cluster => {
                let alone = matches!(self.0, Adapter::JetStream);
                let nats = if alone { crate::nats::Place::alone() } else { crate::nats::Place::shared() };
                let bus = crate::nats::now(nats.open(options));
                Fixture { bus, clock, folder: None, nats: Some(nats) }
            }
        }
    }

    /// A bus with one stream `T` without limits.
    pub(crate) async fn with_stream(&self) -> Fixture {
        self.with(stream()).await
    }

    /// A bus with one stream.
    pub(crate) async fn with(&self, config: StreamConfig) -> Fixture {
        let fixture = self.start();
        fixture.bus.ensure_stream(&config).await.unwrap();
        fixture
    }
}

fn start_time() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

fn options(clock: &Arc<FixedClock>) -> Options {
    Options {
        clock: Arc::clone(clock) as _,
        look_every: Duration::from_millis(5),
        save_every: Duration::from_millis(20),
        reserve: 0,
        ..Options::default()
    }
}

impl Fixture {
    /// Closes the bus and opens it again, where the adapter keeps anything.
    pub(crate) async fn reopen(&mut self) {
        if let Some(folder) = &self.folder {
            self.bus.close().await;
            self.bus = embedded::open(folder.path(), options(&self.clock)).unwrap();
        }
        #[cfg(feature = "jetstream")]
        if let Some(nats) = &self.nats {
            self.bus.close().await;
            self.bus = nats.open(options(&self.clock)).await;
        }
    }

    /// Bytes of payload, of which there should be `payload`. A NATS server counts what surrounds it too.
    pub(crate) fn bytes(&self, info: StreamInfo, payload: u64) -> u64 {
        #[cfg(feature = "jetstream")]
        if self.nats.is_some() {
            assert!(info.bytes >= payload, "{info:?}");
            return payload;
        }
        #[cfg(not(feature = "jetstream"))]
        let _ = payload;
        info.bytes
    }

    /// Moves the clock.
    pub(crate) fn advance(&self, by: Duration) {
        use tiphys_core::Clock as _;
        self.clock.set(self.clock.now() + by);
    }

    /// Stores `payload` on a subject.
    pub(crate) async fn put(&self, subject: &str, payload: &str) -> u64 {
        let message = Publish::new(subject, payload.to_owned());
        self.bus.publish(message).await.unwrap().sequence
    }

    pub(crate) async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        self.bus.publish(message).await
    }

    /// Payloads of the messages of the stream `T` that match.
    pub(crate) async fn texts(&self, filter: &str) -> Vec<String> {
        let messages = self.bus.read("T", filter, 0, 1000).await.unwrap();
        messages.iter().map(|m| text(&m.payload)).collect()
    }

    pub(crate) async fn consumer(&self, config: ConsumerConfig) -> Box<dyn Consumer> {
        self.bus.consumer("T", config).await.unwrap()
    }
}

/// The stream `T`, subjects `t.>`.
pub(crate) fn stream() -> StreamConfig {
    StreamConfig {
        name: "T".into(),
        max_messages: 0,
        max_bytes: 0,
        max_age: Duration::ZERO,
        duplicate_window: Duration::from_secs(600),
        last_per_subject: false,
        trim_acked: false,
    }
}

/// The stream of claims.
pub(crate) fn claims() -> StreamConfig {
    let all = streams::all();
    all.into_iter().find(|s| s.name == streams::CLAIMS).unwrap()
}

/// A consumer of everything from the start, patient.
pub(crate) fn reader(name: &str) -> ConsumerConfig {
    ConsumerConfig {
        name: name.into(),
        filters: vec![],
        start: Start::All,
        ack_wait: Duration::from_secs(600),
        max_ack_pending: 1000,
    }
}

pub(crate) fn text(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload).into_owned()
}

/// Payloads of deliveries.
pub(crate) fn said(deliveries: &[Box<dyn Delivery>]) -> Vec<String> {
    let messages = deliveries.iter().map(|d| d.message());
    messages.map(|m| text(&m.payload)).collect()
}

/// Fetches what comes first.
pub(crate) async fn fetch(consumer: &dyn Consumer, max: usize) -> Vec<Box<dyn Delivery>> {
    let got = consumer.fetch(max, LONG).await.unwrap();
    assert!(!got.is_empty(), "nothing came");
    got
}

/// Sees that nothing comes.
pub(crate) async fn nothing(consumer: &dyn Consumer) {
    let got = consumer.fetch(10, SHORT).await.unwrap();
    assert_eq!(said(&got), Vec::<String>::new());
}

/// Waits until something holds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, holds: impl Fn() -> F) {
    let deadline = Instant::now() + LONG;
    while !holds().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
