//! Which sensors have a consumer: a record in STATE for each, so that those that are gone can be retired even
//! where they went while nothing ran.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::Timestamp;
use tracing::info;

use super::consumer_name;

/// A sensor's entry; its subject is that of the state of a trigger without a name.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    version: u32,
    /// Since when it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    absent_since: Option<Timestamp>,
}

pub(super) struct Registry {
    bus: Arc<dyn Bus>,
}

/// The subject of a sensor's entry.
fn subject(namespace: &str, sensor: &str) -> String {
    streams::subject(streams::STATE, &[namespace, sensor, ""])
}

impl Registry {
    pub(super) fn new(bus: Arc<dyn Bus>) -> Self {
        Self { bus }
    }

    /// The sensor exists.
    pub(super) async fn note(&self, namespace: &str, sensor: &str) -> Result<(), BusError> {
        let subject = subject(namespace, sensor);
        let there = self.bus.last(&subject).await?;
        let known = there.and_then(|message| serde_json::from_slice(&message.payload).ok());
        if matches!(known, Some(Entry { absent_since: None, .. })) {
            return Ok(());
        }
        self.write(&subject, &Entry { version: 1, absent_since: None }).await
    }

    /// Deletes the consumer and the state of each sensor that is gone for longer than `retire_after`.
    pub(super) async fn sweep(
        &self,
        exists: impl Fn(&str, &str) -> bool,
        now: Timestamp,
        retire_after: Duration,
    ) -> Result<(), BusError> {
        let mut from = 1;
        loop {
            let page = self.bus.read(streams::STATE, "state.*.*.%", from, 256).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            from = last.sequence + 1;
            for message in &page {
                let names: Vec<String> = message.subject.split('.').skip(1).map(streams::name_of).collect();
                let [namespace, sensor, _] = names.as_slice() else {
                    continue;
                };
                if exists(namespace, sensor) {
                    continue;
                }
                let entry: Entry = serde_json::from_slice(&message.payload).unwrap_or_default();
                match entry.absent_since {
                    None => {
                        let entry = Entry { version: 1, absent_since: Some(now) };
                        self.write(&message.subject, &entry).await?;
                    }
                    Some(since) if now.duration_since(since).unsigned_abs() >= retire_after => {
                        self.retire(namespace, sensor).await?;
                    }
                    Some(_) => {}
                }
            }
        }
    }

    async fn retire(&self, namespace: &str, sensor: &str) -> Result<(), BusError> {
        info!(namespace, sensor, "the sensor is gone for good, its position is forgotten");
        self.bus.delete_consumer(streams::EVENTS, &consumer_name(namespace, sensor)).await?;
        let all = format!("{}.>", streams::subject(streams::STATE, &[namespace, sensor]));
        self.bus.purge(streams::STATE, &all, None).await.map(|_| ())
    }

    async fn write(&self, subject: &str, entry: &Entry) -> Result<(), BusError> {
        let record = serde_json::to_vec(entry)
            .map_err(|error| BusError::Invalid { reason: format!("registry entry: {error}") })?;
        self.bus.publish(Publish::new(subject, record)).await.map(|_| ())
    }
}
