//! Buses that stand before another one: what they do not change goes on as it is.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::error::BusError;
use crate::finding::Finding;
use crate::port::{
    Acked, Bus, Claim, Consumer, ConsumerConfig, ConsumerInfo, Message, Publish, StreamConfig, StreamInfo,
};

/// A bus before another one. Whoever is a layer is a [`Bus`].
///
/// The calls that some layer changes stand here as well, with what a layer does that does not change them.
#[async_trait]
pub trait Layer: Send + Sync + 'static {
    /// The bus behind, for one call. It may wait; where it fails the call is not made.
    async fn enter(&self) -> Result<&dyn Bus, BusError>;

    /// Runs between the answer of the bus behind and its return.
    async fn leave(&self) {}

    /// See [`Bus::publish`].
    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        let answer = self.enter().await?.publish(message).await;
        self.leave().await;
        answer
    }

    /// See [`Bus::get`].
    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        let answer = self.enter().await?.get(stream, sequence).await;
        self.leave().await;
        answer
    }

    /// See [`Bus::consumer`].
    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        let answer = self.enter().await?.consumer(stream, config).await;
        self.leave().await;
        answer
    }

    /// See [`Bus::put_blob`].
    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        let answer = self.enter().await?.put_blob(content).await;
        self.leave().await;
        answer
    }

    /// See [`Bus::close`]. The bus behind is closed too, where there is one.
    async fn close(&self) {
        if let Ok(bus) = self.enter().await {
            bus.close().await;
        }
    }
}

#[async_trait]
impl<L: Layer> Bus for L {
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        let answer = self.enter().await?.ensure_stream(config).await;
        self.leave().await;
        answer
    }

    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        Layer::publish(self, message).await
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        let answer = self.enter().await?.last(subject).await;
        self.leave().await;
        answer
    }

    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        Layer::get(self, stream, sequence).await
    }

    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        let answer = self.enter().await?.read(stream, filter, from, max).await;
        self.leave().await;
        answer
    }

    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError> {
        let answer = self.enter().await?.wait_for(stream, after, wait).await;
        self.leave().await;
        answer
    }

    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        let answer = self.enter().await?.purge(stream, filter, up_to).await;
        self.leave().await;
        answer
    }

    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        let answer = self.enter().await?.info(stream).await;
        self.leave().await;
        answer
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        Layer::consumer(self, stream, config).await
    }

    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError> {
        let answer = self.enter().await?.consumer_info(stream, name).await;
        self.leave().await;
        answer
    }

    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        let answer = self.enter().await?.delete_consumer(stream, name).await;
        self.leave().await;
        answer
    }

    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError> {
        let answer = self.enter().await?.claim(key, owner, for_time).await;
        self.leave().await;
        answer
    }

    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        let answer = self.enter().await?.release(claim).await;
        self.leave().await;
        answer
    }

    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        Layer::put_blob(self, content).await
    }

    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        let answer = self.enter().await?.get_blob(reference).await;
        self.leave().await;
        answer
    }

    async fn tend(&self) -> Result<(), BusError> {
        let answer = self.enter().await?.tend().await;
        self.leave().await;
        answer
    }

    async fn findings(&self) -> Vec<Finding> {
        match self.enter().await {
            Ok(bus) => bus.findings().await,
            Err(_) => Vec::new(),
        }
    }

    async fn close(&self) {
        Layer::close(self).await;
    }
}
