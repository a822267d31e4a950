//! What a log promises while its store is slow or fails: seen through a store that obeys the test.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::{LogBus, State};
use crate::error::BusError;
use crate::options::Options;
use crate::port::{Bus, ConsumerConfig, Publish, Start, StreamConfig};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Body, Store, StreamNumber};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(50);

/// A store whose commits wait for a gate, and fail on demand.
#[derive(Default)]
struct Gated {
    inner: MemoryStore,
    shut: Mutex<bool>,
    opened: Condvar,
    fails: AtomicBool,
    full: AtomicBool,
    entered: AtomicUsize,
}

impl Gated {
    fn gate(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.opened.notify_all();
    }

    async fn entered(&self, count: usize) {
        let entered = async {
            while self.entered.load(Ordering::SeqCst) < count {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(LONG, entered).await.unwrap();
    }
}

impl Store for Gated {
    fn commit(&self, batch: &Batch) -> Result<(), BusError> {
        self.entered.fetch_add(1, Ordering::SeqCst);
        let mut shut = self.shut.lock().unwrap();
        while *shut {
            shut = self.opened.wait(shut).unwrap();
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(BusError::Unavailable { reason: "the disk said no".into() });
        }
        self.inner.commit(batch)
    }

    fn room(&self) -> Result<(), BusError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(BusError::Full { stream: String::new(), reason: "no room".into() });
        }
        Ok(())
    }

    fn body(&self, stream: StreamNumber, sequence: u64) -> Result<Option<Body>, BusError> {
        self.inner.body(stream, sequence)
    }

    fn put_blob(&self, reference: &str, content: &Bytes) -> Result<(), BusError> {
        self.inner.put_blob(reference, content)
    }

    fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.inner.get_blob(reference)
    }

    fn close(&self) {}
}

/// A bus with the stream `T`, whose commits from here on are counted from 0.
async fn gated() -> (Arc<LogBus>, Arc<Gated>) {
    let store = Arc::new(Gated::default());
    let options = Options { save_every: Duration::from_secs(3600), ..Options::default() };
    let bus = LogBus::threaded(options, Arc::clone(&store) as _, State::default()).unwrap();
    let config = StreamConfig {
        name: "T".into(),
        max_messages: 0,
        max_bytes: 0,
        max_age: Duration::ZERO,
        duplicate_window: LONG,
        last_per_subject: false,
        trim_acked: false,
    };
    bus.ensure_stream(&config).await.unwrap();
    store.entered.store(0, Ordering::SeqCst);
    (Arc::new(bus), store)
}

fn reader() -> ConsumerConfig {
    ConsumerConfig {
        name: "c".into(),
        filters: vec![],
        start: Start::All,
        ack_wait: LONG,
        max_ack_pending: 100,
    }
}

#[tokio::test]
async fn what_is_not_synced_does_not_exist() {
    let (bus, store) = gated().await;
    let consumer = bus.consumer("T", reader()).await.unwrap();
    store.entered.store(0, Ordering::SeqCst);
    store.gate(true);
    let first = bus.publish(Publish::new("t.a", "x").id("1"));
    tokio::pin!(first);
    assert!(timeout(SHORT, &mut first).await.is_err(), "answered before the sync");
    store.entered(1).await;
    // Judged while the first is on its way to the disk.
    let duplicate = bus.publish(Publish::new("t.a", "x").id("1"));
    let conflict = bus.publish(Publish::new("t.a", "y").expect_last(0));
    tokio::pin!(duplicate, conflict);
    assert!(timeout(SHORT, &mut duplicate).await.is_err(), "a duplicate of nothing");
    assert!(timeout(SHORT, &mut conflict).await.is_err(), "a conflict with nothing");
    assert_eq!(bus.last("t.a").await.unwrap(), None);
    assert_eq!(bus.get("T", 1).await.unwrap(), None);
    assert!(bus.read("T", "", 0, 10).await.unwrap().is_empty());
    assert_eq!(bus.info("T").await.unwrap().last, 0);
    assert_eq!(bus.wait_for("T", 0, SHORT).await.unwrap(), 0);
    assert!(consumer.fetch(1, SHORT).await.unwrap().is_empty());
    store.gate(false);
    assert!(!first.await.unwrap().duplicate);
    assert!(duplicate.await.unwrap().duplicate);
    assert!(matches!(conflict.await, Err(BusError::Conflict { actual: 1, .. })));
}

#[tokio::test]
async fn the_next_commit_gathers_while_one_is_synced() {
    let (bus, store) = gated().await;
    store.gate(true);
    let mut waiting = tokio::task::JoinSet::new();
    let publish = |n: usize| {
        let bus = Arc::clone(&bus);
        async move { bus.publish(Publish::new(format!("t.s{n}"), "x")).await }
    };
    waiting.spawn(publish(0));
    store.entered(1).await;
    for n in 1..=200 {
        waiting.spawn(publish(n));
    }
    // All of them are in the queue once each task has run.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    store.gate(false);
    while let Some(done) = waiting.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(store.entered.load(Ordering::SeqCst), 2, "one commit for all that waited");
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_written_and_all_can_be_read() {
    let (bus, store) = gated().await;
    bus.publish(Publish::new("t.a", "kept")).await.unwrap();
    store.fails.store(true, Ordering::SeqCst);
    store.gate(true);
    let both = async {
        tokio::join!(
            bus.publish(Publish::new("t.a", "lost").id("1")),
            bus.publish(Publish::new("t.a", "refused").expect_last(7)),
        )
    };
    tokio::pin!(both);
    assert!(timeout(SHORT, &mut both).await.is_err());
    store.gate(false);
    let (lost, refused) = both.await;
    assert!(matches!(lost, Err(BusError::Unavailable { .. })), "{lost:?}");
    assert!(refused.is_err());
    // The disk is well again; what its cache holds is not trusted.
    store.fails.store(false, Ordering::SeqCst);
    let next = bus.publish(Publish::new("t.a", "next").id("1")).await;
    assert!(matches!(next, Err(BusError::Unavailable { .. })), "{next:?}");
    let all = bus.read("T", "", 0, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    bus.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_messages_and_nothing_else() {
    let (bus, store) = gated().await;
    bus.publish(Publish::new("t.a", "x").id("1")).await.unwrap();
    let consumer = bus.consumer("T", reader()).await.unwrap();
    store.full.store(true, Ordering::SeqCst);
    let refused = bus.publish(Publish::new("t.a", "y")).await;
    assert!(matches!(&refused, Err(BusError::Full { stream, .. }) if stream == "T"), "{refused:?}");
    assert!(bus.publish(Publish::new("t.a", "x").id("1")).await.unwrap().duplicate);
    let out = consumer.fetch(1, LONG).await.unwrap();
    out[0].ack().await.unwrap();
    assert_eq!(bus.purge("T", "", None).await.unwrap(), 1);
    store.full.store(false, Ordering::SeqCst);
    assert_eq!(bus.publish(Publish::new("t.a", "y")).await.unwrap().sequence, 2);
}

#[tokio::test]
async fn a_publisher_that_goes_away_hurts_nobody() {
    let (bus, store) = gated().await;
    store.gate(true);
    let gone = timeout(SHORT, bus.publish(Publish::new("t.a", "x"))).await;
    assert!(gone.is_err());
    store.gate(false);
    let next = bus.publish(Publish::new("t.b", "y")).await.unwrap();
    assert_eq!(next.sequence, 2, "what was handed over is stored");
    assert!(bus.last("t.a").await.unwrap().is_some());
}

#[tokio::test]
async fn close_finishes_what_waits() {
    let (bus, store) = gated().await;
    store.gate(true);
    let publish = bus.publish(Publish::new("t.a", "x"));
    let close = async {
        store.entered(1).await;
        let closing = bus.close();
        tokio::pin!(closing);
        assert!(timeout(SHORT, &mut closing).await.is_err(), "closed too early");
        store.gate(false);
        closing.await;
    };
    let (published, ()) = tokio::join!(publish, close);
    assert_eq!(published.unwrap().sequence, 1);
}
