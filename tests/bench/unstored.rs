//! A bus that answers a publisher at once and stores nothing: what a webhook costs without its bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_bus::{
    Acked, Bus, BusError, Claim, Consumer, ConsumerConfig, ConsumerInfo, Message, Publish, StreamConfig,
    StreamInfo, memory,
};

/// Everything but publishing goes to a bus in memory.
pub(crate) struct Unstored {
    inner: Arc<dyn Bus>,
    sequence: AtomicU64,
}

impl Unstored {
    /// A fresh one.
    pub(crate) fn open() -> Arc<dyn Bus> {
        Arc::new(Self { inner: memory(), sequence: AtomicU64::new(0) })
    }
}

#[async_trait]
impl Bus for Unstored {
    async fn publish(&self, _message: Publish) -> Result<Acked, BusError> {
        Ok(Acked { sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1, duplicate: false })
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

    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        self.inner.purge(stream, filter, up_to).await
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

    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError> {
        self.inner.claim(key, owner, for_time).await
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
