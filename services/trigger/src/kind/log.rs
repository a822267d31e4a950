//! `log`: writes one line per firing, at most one per `intervalSeconds`.

use async_trait::async_trait;
use tracing::info;

use super::{Context, TriggerKind};
use crate::error::Error;
use crate::ledger::Effect;

/// The kind.
pub(super) struct Log;

#[async_trait]
impl TriggerKind for Log {
    fn key(&self) -> &'static str {
        "log"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let firing = context.firing;
        let events: Vec<&str> = firing.events.iter().map(|event| event.id.0.as_str()).collect();
        info!(
            namespace = firing.namespace,
            sensor = firing.sensor,
            trigger = firing.trigger,
            firing = %firing.id,
            events = events.join(","),
            "log trigger"
        );
        Ok(Effect::Log)
    }
}
