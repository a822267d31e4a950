//! A bus that is away, slow, or loses its answers, as far as events are concerned.
#![allow(dead_code, reason = "each suite uses a part")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_bus::{
    Acked, Bus, BusError, Claim, Consumer, ConsumerConfig, ConsumerInfo, Message, Publish, StreamConfig,
    StreamInfo, memory,
};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};

pub(crate) struct Faulty {
    inner: Arc<dyn Bus>,
    away: AtomicBool,
    lose: AtomicUsize,
    refuse: AtomicUsize,
    mute: AtomicBool,
    waiting: AtomicUsize,
    gate: Arc<RwLock<()>>,
}

impl Faulty {
    /// A memory bus that works.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: memory(),
            away: AtomicBool::new(false),
            lose: AtomicUsize::new(0),
            refuse: AtomicUsize::new(0),
            mute: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
            gate: Arc::default(),
        })
    }

    /// Whether events are refused as by a bus that is away.
    pub(crate) fn away(&self, away: bool) {
        self.away.store(away, Ordering::Release);
    }

    /// The next events are stored, but nobody learns of it.
    pub(crate) fn lose_answers(&self, n: usize) {
        self.lose.store(n, Ordering::Release);
    }

    /// From now on events are stored, and nobody is ever answered: as if the asker had died.
    pub(crate) fn mute(&self, mute: bool) {
        self.mute.store(mute, Ordering::Release);
    }

    /// The next events are refused, and those behind them are not.
    pub(crate) fn refuse(&self, n: usize) {
        self.refuse.store(n, Ordering::Release);
    }

    /// No event is stored as long as the guard lives.
    pub(crate) async fn shut(&self) -> OwnedRwLockWriteGuard<()> {
        self.gate.clone().write_owned().await
    }

    /// How many events are being stored.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

fn unavailable() -> BusError {
    BusError::Unavailable { reason: "on purpose".into() }
}

#[async_trait]
impl Bus for Faulty {
    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        if !message.subject.starts_with("events.") {
            return self.inner.publish(message).await;
        }
        if self.away.load(Ordering::Acquire) {
            return Err(unavailable());
        }
        let less = |left: usize| left.checked_sub(1);
        if self.refuse.fetch_update(Ordering::AcqRel, Ordering::Acquire, less).is_ok() {
            return Err(unavailable());
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let open = self.gate.read().await;
        let answer = self.inner.publish(message).await;
        drop(open);
        self.waiting.fetch_sub(1, Ordering::AcqRel);
        if self.mute.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
        match self.lose.fetch_update(Ordering::AcqRel, Ordering::Acquire, less) {
            Ok(_) => Err(unavailable()),
            Err(_) => answer,
        }
    }

    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        self.inner.ensure_stream(config).await
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        self.inner.last(subject).await
    }

    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        self.inner.get(stream, sequence).await
    }

    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        self.inner.read(stream, filter, from, max).await
    }

    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError> {
        self.inner.wait_for(stream, after, wait).await
    }

    async fn purge(&self, stream: &str, filter: &str, to: Option<u64>) -> Result<u64, BusError> {
        self.inner.purge(stream, filter, to).await
    }

    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.inner.info(stream).await
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        self.inner.consumer(stream, config).await
    }

    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError> {
        self.inner.consumer_info(stream, name).await
    }

    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        self.inner.delete_consumer(stream, name).await
    }

    async fn claim(&self, key: &str, owner: &str, time: Duration) -> Result<Option<Claim>, BusError> {
        self.inner.claim(key, owner, time).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        self.inner.release(claim).await
    }

    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        self.inner.put_blob(content).await
    }

    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.inner.get_blob(reference).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
