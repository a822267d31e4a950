//! A bus that answers a publisher at once and stores nothing: what a webhook costs without its bus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use tiphys_bus::{Acked, Bus, BusError, Layer, Publish, memory};

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
impl Layer for Unstored {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        Ok(self.inner.as_ref())
    }

    async fn publish(&self, _message: Publish) -> Result<Acked, BusError> {
        Ok(Acked { sequence: self.sequence.fetch_add(1, Ordering::Relaxed) + 1, duplicate: false })
    }
}
