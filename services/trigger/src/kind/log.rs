//! `log`: writes one line per firing, at most one in `intervalSeconds`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::Value as Json;
use tiphys_core::{Firing, Timestamp};
use tracing::info;

use super::{Context, TriggerKind};
use crate::error::Error;
use crate::ledger::Effect;

/// The kind. It remembers when each trigger wrote last.
#[derive(Default)]
pub(super) struct Log(Mutex<HashMap<[String; 3], Timestamp>>);

impl Log {
    /// Whether a line may be written now; then it counts as written.
    fn may_write(&self, firing: &Firing, seconds: i64, now: Timestamp) -> bool {
        let key = [firing.namespace.clone(), firing.sensor.clone(), firing.trigger.clone()];
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait =
            written.get(&key).is_some_and(|last| now.as_second() < last.as_second().saturating_add(seconds));
        if !wait {
            written.insert(key, now);
        }
        !wait
    }
}

#[async_trait]
impl TriggerKind for Log {
    fn key(&self) -> &'static str {
        "log"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let firing = context.firing;
        let seconds = context.template.get("intervalSeconds").and_then(Json::as_i64).unwrap_or_default();
        if seconds > 0 && !self.may_write(firing, seconds, context.now) {
            let reason = format!("a line was written within the last {seconds} s (`intervalSeconds`)");
            return Ok(Effect::Skipped { reason });
        }
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
