//! A process that is stopped, as SIGSTOP stops it, and may go on later: nothing it does to the world gets through
//! while its gate is closed, and what was on its way arrives when the gate opens.

use std::sync::Arc;

use async_trait::async_trait;
use tiphys_bus::{Acked, Bus, BusError, Layer, Publish};
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
}

#[async_trait]
impl Layer for Gated {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        self.gate.pass().await;
        Ok(self.inner.as_ref())
    }

    async fn leave(&self) {
        self.gate.pass().await;
    }

    #[expect(clippy::disallowed_methods, reason = "the answer is waited for")]
    async fn publish(&self, message: Publish) -> Result<Acked, BusError> {
        if !message.subject.starts_with("workflows.") {
            let answer = self.enter().await?.publish(message).await;
            self.leave().await;
            return answer;
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

    async fn close(&self) {
        self.inner.close().await;
    }
}
