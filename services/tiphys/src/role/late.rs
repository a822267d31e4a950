//! A bus that may come later. Until then it is like one that is away: who has a spool can serve already.

use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tiphys_bus::{Bus, BusError, Layer};

/// A bus, once there is one.
#[derive(Default)]
pub(super) struct Late(OnceLock<Arc<dyn Bus>>);

impl Late {
    /// It is there.
    pub(super) fn arrive(&self, bus: Arc<dyn Bus>) {
        let _ = self.0.set(bus);
    }
}

#[async_trait]
impl Layer for Late {
    async fn enter(&self) -> Result<&dyn Bus, BusError> {
        let away = || BusError::Unavailable { reason: "it was not reached since the start".into() };
        self.0.get().map(AsRef::as_ref).ok_or_else(away)
    }
}
