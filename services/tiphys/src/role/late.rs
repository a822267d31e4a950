//! A bus that may come later. Until then it is like one that is away: who has a spool can serve already.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_bus::{
    Acked, Bus, BusError, Claim, Consumer, ConsumerConfig, ConsumerInfo, Message, Publish, StreamConfig,
    StreamInfo,
};

/// A bus, once there is one.
#[derive(Default)]
pub(super) struct Late(OnceLock<Arc<dyn Bus>>);

impl Late {
    /// It is there.
    pub(super) fn arrive(&self, bus: Arc<dyn Bus>) {
        let _ = self.0.set(bus);
    }

    fn bus(&self) -> Result<&Arc<dyn Bus>, BusError> {
        let away = || BusError::Unavailable { reason: "it was not reached since the start".into() };
        self.0.get().ok_or_else(away)
    }
}

#[async_trait]
impl Bus for Late {
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        self.bus()?.ensure_stream(config).await
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        self.bus()?.publish(message).await
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        self.bus()?.last(subject).await
    }

    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        self.bus()?.get(stream, sequence).await
    }

    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        self.bus()?.read(stream, filter, from, max).await
    }

    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError> {
        self.bus()?.wait_for(stream, after, wait).await
    }

    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        self.bus()?.purge(stream, filter, up_to).await
    }

    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.bus()?.info(stream).await
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        self.bus()?.consumer(stream, config).await
    }

    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError> {
        self.bus()?.consumer_info(stream, name).await
    }

    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        self.bus()?.delete_consumer(stream, name).await
    }

    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError> {
        self.bus()?.claim(key, owner, for_time).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        self.bus()?.release(claim).await
    }

    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        self.bus()?.put_blob(content).await
    }

    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.bus()?.get_blob(reference).await
    }

    async fn close(&self) {
        if let Some(bus) = self.0.get() {
            bus.close().await;
        }
    }
}
