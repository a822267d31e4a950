//! A process that is stopped, as SIGSTOP stops it, and may go on later: nothing it does to the world gets through
//! while its gate is closed, and what was on its way arrives when the gate opens.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_bus::{
    Acked, Bus, BusError, Claim, Consumer, ConsumerConfig, ConsumerInfo, Message, Publish, StreamConfig,
    StreamInfo,
};
use tokio::sync::watch;

/// A gate, open at first.
#[derive(Clone)]
pub(crate) struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }
}

impl Gate {
    pub(crate) fn close(&self) {
        self.0.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    pub(crate) async fn pass(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.0.receiver_count()
    }
}

/// The bus behind a gate: requests and answers wait.
pub(crate) struct Gated {
    inner: Arc<dyn Bus>,
    gate: Gate,
    /// Closed for records of journals only.
    journals: Gate,
}

impl Gated {
    pub(crate) fn on(inner: Arc<dyn Bus>, gate: Gate, journals: Gate) -> Arc<dyn Bus> {
        Arc::new(Self { inner, gate, journals })
    }

    async fn through<T>(&self, call: impl Future<Output = T>) -> T {
        self.gate.pass().await;
        let answer = call.await;
        self.gate.pass().await;
        answer
    }
}

#[async_trait]
impl Bus for Gated {
    async fn ensure_stream(&self, config: &StreamConfig) -> Result<(), BusError> {
        self.through(self.inner.ensure_stream(config)).await
    }

    #[expect(clippy::disallowed_methods, reason = "the answer is waited for")]
    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        if !message.subject.starts_with("workflows.") {
            return self.through(self.inner.publish(message)).await;
        }
        // On its way already: it arrives, even if whoever sent it does not wait for the answer.
        let (inner, gate, journals) = (self.inner.clone(), self.gate.clone(), self.journals.clone());
        let arrives = tokio::spawn(async move {
            journals.pass().await;
            gate.pass().await;
            inner.publish(message).await
        });
        let answer = arrives.await.unwrap();
        self.gate.pass().await;
        answer
    }

    async fn last(&self, subject: &str) -> Result<Option<Message>, BusError> {
        self.through(self.inner.last(subject)).await
    }

    async fn get(&self, stream: &str, sequence: u64) -> Result<Option<Message>, BusError> {
        self.through(self.inner.get(stream, sequence)).await
    }

    async fn read(
        &self,
        stream: &str,
        filter: &str,
        from: u64,
        max: usize,
    ) -> Result<Vec<Message>, BusError> {
        self.through(self.inner.read(stream, filter, from, max)).await
    }

    async fn wait_for(&self, stream: &str, after: u64, wait: Duration) -> Result<u64, BusError> {
        self.through(self.inner.wait_for(stream, after, wait)).await
    }

    async fn purge(&self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        self.through(self.inner.purge(stream, filter, up_to)).await
    }

    async fn info(&self, stream: &str) -> Result<StreamInfo, BusError> {
        self.through(self.inner.info(stream)).await
    }

    async fn consumer(&self, stream: &str, config: ConsumerConfig) -> Result<Box<dyn Consumer>, BusError> {
        self.through(self.inner.consumer(stream, config)).await
    }

    async fn consumer_info(&self, stream: &str, name: &str) -> Result<Option<ConsumerInfo>, BusError> {
        self.through(self.inner.consumer_info(stream, name)).await
    }

    async fn delete_consumer(&self, stream: &str, name: &str) -> Result<(), BusError> {
        self.through(self.inner.delete_consumer(stream, name)).await
    }

    async fn claim(&self, key: &str, owner: &str, for_time: Duration) -> Result<Option<Claim>, BusError> {
        self.through(self.inner.claim(key, owner, for_time)).await
    }

    async fn release(&self, claim: &Claim) -> Result<(), BusError> {
        self.through(self.inner.release(claim)).await
    }

    async fn put_blob(&self, content: Bytes) -> Result<String, BusError> {
        self.through(self.inner.put_blob(content)).await
    }

    async fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.through(self.inner.get_blob(reference)).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
