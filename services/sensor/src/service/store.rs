//! Condition state on the bus: one record per trigger, written by compare-and-set.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tiphys_bus::{Bus, BusError, Message, Publish, streams};
use tiphys_core::{DeadLetter, Event};

use crate::eval::State;
use crate::parsed::Parsed;
use crate::seen::Seen;
use crate::state::{ConditionState, Dropped, Held, Outbox, Row};

/// What is longer goes into a blob, so that the record stays far below what a message may be.
const INLINE: usize = 16 << 10;

/// Format of the record that this version writes.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    version: u32,
    #[serde(default)]
    held: Vec<HeldRecord>,
    #[serde(default)]
    firings: Vec<Content>,
    #[serde(default)]
    dead: Vec<DeadLetter>,
    #[serde(default)]
    dropped: Vec<Dropped>,
    #[serde(default)]
    rows: Vec<Row>,
    #[serde(default)]
    seen: Seen,
    #[serde(default)]
    floor: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeldRecord {
    dependency: String,
    sequence: u64,
    event: Content,
}

/// A JSON text, here or in a blob.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inline: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blob: Option<String>,
}

/// The records of one sensor.
pub(super) struct Store {
    bus: Arc<dyn Bus>,
    namespace: String,
    sensor: String,
    /// Sequence of each trigger's record, for compare-and-set.
    last: BTreeMap<String, u64>,
    /// Blobs of events that wait, by the sequence of the event, so that each is stored once.
    blobs: BTreeMap<u64, String>,
}

impl Store {
    pub(super) fn new(bus: Arc<dyn Bus>, namespace: &str, sensor: &str) -> Self {
        Self {
            bus,
            namespace: namespace.to_owned(),
            sensor: sensor.to_owned(),
            last: BTreeMap::new(),
            blobs: BTreeMap::new(),
        }
    }

    /// Reads all records of the sensor, also those of triggers that are gone.
    pub(super) async fn load(&mut self) -> Result<State, BusError> {
        self.last.clear();
        self.blobs.clear();
        let mut state = State::new();
        let filter = format!("{}.*", streams::subject(streams::STATE, &[&self.namespace, &self.sensor]));
        let mut from = 1;
        loop {
            let page = self.bus.read(streams::STATE, &filter, from, 64).await?;
            let Some(last) = page.last() else {
                return Ok(state);
            };
            from = last.sequence + 1;
            for message in &page {
                let trigger = message.subject.rsplit('.').next().map(streams::name_of).unwrap_or_default();
                // The sensor's own entry stands under the empty name.
                if trigger.is_empty() {
                    continue;
                }
                state.insert(trigger.clone(), self.read(message).await?);
                self.last.insert(trigger, message.sequence);
            }
        }
    }

    /// Writes one trigger's record; durable when it returns.
    pub(super) async fn save(&mut self, trigger: &str, state: &ConditionState) -> Result<(), BusError> {
        let mut held = Vec::with_capacity(state.held.len());
        for (dependency, one) in &state.held {
            let sequence = one.event.sequence;
            let event = match self.blobs.get(&sequence) {
                Some(blob) => Content { inline: None, blob: Some(blob.clone()) },
                None => {
                    let text = one.event.event.encode().map_err(|error| invalid(trigger, &error))?;
                    let content = self.content(trigger, text).await?;
                    if let Some(blob) = &content.blob {
                        self.blobs.insert(sequence, blob.clone());
                    }
                    content
                }
            };
            held.push(HeldRecord { dependency: dependency.clone(), sequence, event });
        }
        let mut firings = Vec::with_capacity(state.outbox.firings.len());
        for firing in &state.outbox.firings {
            let text = serde_json::to_vec(&**firing).map_err(|error| invalid(trigger, &error))?;
            firings.push(self.content(trigger, text.into()).await?);
        }
        let record = Record {
            version: VERSION,
            held,
            firings,
            dead: state.outbox.dead.clone(),
            dropped: state.outbox.dropped.clone(),
            rows: state.rows.clone(),
            seen: state.seen.clone(),
            floor: state.floor,
        };
        let record = serde_json::to_vec(&record).map_err(|error| invalid(trigger, &error))?;
        let expected = self.last.get(trigger).copied().unwrap_or(0);
        let publish = Publish::new(self.subject(trigger), record).expect_last(expected);
        let stored = self.bus.publish(publish).await?;
        self.last.insert(trigger.to_owned(), stored.sequence);
        Ok(())
    }

    /// Forgets the blobs of events that no longer wait.
    pub(super) fn forget_blobs(&mut self, state: &State) {
        let waits = |sequence: &u64| {
            let mut held = state.values().flat_map(|state| state.held.values());
            held.any(|held| held.event.sequence == *sequence)
        };
        self.blobs.retain(|sequence, _| waits(sequence));
    }

    /// Removes the record of a trigger that no longer waits for anything.
    pub(super) async fn remove(&mut self, trigger: &str) -> Result<(), BusError> {
        if let Some(last) = self.last.remove(trigger) {
            self.bus.purge(streams::STATE, &self.subject(trigger), Some(last)).await?;
        }
        Ok(())
    }

    fn subject(&self, trigger: &str) -> String {
        streams::subject(streams::STATE, &[&self.namespace, &self.sensor, trigger])
    }

    async fn content(&self, trigger: &str, text: Bytes) -> Result<Content, BusError> {
        if text.len() > INLINE {
            return Ok(Content { inline: None, blob: Some(self.bus.put_blob(text).await?) });
        }
        let inline = serde_json::from_slice(&text).map_err(|error| invalid(trigger, &error))?;
        Ok(Content { inline: Some(inline), blob: None })
    }

    async fn text(&self, trigger: &str, content: Content) -> Result<Bytes, BusError> {
        match content {
            Content { inline: Some(inline), .. } => Ok(Bytes::from(inline.get().to_owned())),
            Content { blob: Some(blob), .. } => {
                let found = self.bus.get_blob(&blob).await?;
                found.ok_or_else(|| BusError::Missing {
                    what: format!("blob `{blob}` of trigger `{trigger}`"),
                })
            }
            Content { .. } => Err(invalid(trigger, &"an empty entry")),
        }
    }

    async fn read(&mut self, message: &Message) -> Result<ConditionState, BusError> {
        let subject = &message.subject;
        let record: Record =
            serde_json::from_slice(&message.payload).map_err(|error| invalid(subject, &error))?;
        if record.version > VERSION {
            return Err(invalid(subject, &format!("format {} is newer than {VERSION}", record.version)));
        }
        let mut held = BTreeMap::new();
        for one in record.held {
            if let Some(blob) = &one.event.blob {
                self.blobs.insert(one.sequence, blob.clone());
            }
            let text = self.text(subject, one.event).await?;
            let event = Event::decode(&text).map_err(|error| invalid(subject, &error))?;
            // When it is due for a reset depends on the trigger as it now is.
            held.insert(one.dependency, Held::new(Arc::new(Parsed::new(event, one.sequence)), &[]));
        }
        let mut firings = Vec::with_capacity(record.firings.len());
        for content in record.firings {
            let text = self.text(subject, content).await?;
            let firing = serde_json::from_slice(&text).map_err(|error| invalid(subject, &error))?;
            firings.push(Arc::new(firing));
        }
        Ok(ConditionState {
            held,
            outbox: Outbox { firings, dead: record.dead, dropped: record.dropped },
            rows: record.rows,
            seen: record.seen,
            floor: record.floor,
        })
    }
}

fn invalid(what: &str, reason: &dyn std::fmt::Display) -> BusError {
    BusError::Invalid { reason: format!("condition state of `{what}`: {reason}") }
}
