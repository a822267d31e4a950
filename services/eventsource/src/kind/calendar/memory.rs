//! The last tick of a calendar, remembered over restarts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tiphys_bus::{Bus, Publish, streams};
use tiphys_core::Timestamp;
use tiphys_manifest::event_source::Calendar as Config;

use super::super::Scope;
use crate::error::Error;

/// What is remembered.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Format; 1.
    version: u32,
    /// The schedule or interval with its zone. After an edit the old ticks mean nothing.
    rule: String,
    /// The last tick whose event is stored.
    last: Timestamp,
}

/// Remembers.
pub(super) struct Memory {
    bus: Arc<dyn Bus>,
    subject: String,
    rule: String,
}

impl Memory {
    pub(super) fn new(scope: &Scope, config: &Config) -> Self {
        let origin = &scope.origin;
        let name = format!("{}/{}", origin.source, origin.event);
        Self {
            bus: scope.bus.clone(),
            subject: streams::subject(streams::CRON, &[&origin.namespace, "calendar", &name]),
            rule: format!("{}|{}|{}", config.schedule, config.interval, config.timezone),
        }
    }

    /// The last tick under the same rule.
    pub(super) async fn last(&self) -> Result<Option<Timestamp>, Error> {
        let message = self.bus.last(&self.subject).await?;
        // A record that cannot be read is of another version; the ticks then count from now.
        let record = message.and_then(|m| serde_json::from_slice::<Record>(&m.payload).ok());
        Ok(record.filter(|record| record.version == 1 && record.rule == self.rule).map(|record| record.last))
    }

    pub(super) async fn remember(&self, tick: Timestamp) -> Result<(), Error> {
        let record = Record { version: 1, rule: self.rule.clone(), last: tick };
        let payload = serde_json::to_vec(&record).map_err(Error::Payload)?;
        self.bus.publish(Publish::new(self.subject.clone(), payload)).await?;
        Ok(())
    }
}
