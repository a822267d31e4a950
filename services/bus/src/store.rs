//! Where a log keeps its records: the seam between what the memory and the embedded adapter share and
//! where they differ.

pub(crate) mod codec;
pub(crate) mod disk;
pub(crate) mod memory;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tiphys_core::Timestamp;

use crate::error::BusError;
use crate::port::{ConsumerConfig, StreamConfig};

/// The number of a stream in its store; given once.
pub(crate) type StreamNumber = u16;

/// A message to be written.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) subject: Arc<str>,
    pub(crate) id: Option<String>,
    pub(crate) stored: Timestamp,
    pub(crate) body: Body,
}

/// The part of a message that stays in the store until somebody reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) payload: Bytes,
}

/// The id of a message that was removed while its stream must still know the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Remembered {
    pub(crate) id: String,
    pub(crate) stored: Timestamp,
}

/// A consumer as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SavedConsumer {
    pub(crate) filters: Vec<String>,
    pub(crate) ack_wait: Duration,
    pub(crate) max_ack_pending: usize,
    pub(crate) begun_after: u64,
    /// Everything before this was handed out once.
    pub(crate) next: u64,
    /// Of that, what is not acked, with how often it was handed out.
    pub(crate) unsettled: Vec<(u64, u32)>,
}

impl SavedConsumer {
    /// A consumer made with this configuration, at the position before `next`.
    pub(crate) fn new(config: &ConsumerConfig, next: u64) -> Self {
        Self {
            filters: config.filters.clone(),
            ack_wait: config.ack_wait,
            max_ack_pending: config.max_ack_pending.max(1),
            begun_after: next.saturating_sub(1),
            next,
            unsettled: Vec::new(),
        }
    }
}

/// What one commit changes in one stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamChange {
    /// Made, or given other limits.
    pub(crate) config: Option<StreamConfig>,
    /// Last sequence ever given, and the time it was stored, after this commit.
    pub(crate) last: u64,
    pub(crate) stored: Timestamp,
    pub(crate) inserts: BTreeMap<u64, Record>,
    pub(crate) removes: BTreeSet<u64>,
    /// Ids that outlive their message.
    pub(crate) remembered: BTreeMap<u64, Remembered>,
    /// Sequences whose remembered ids have outlived the duplicate window.
    pub(crate) forgotten: Vec<u64>,
    /// Consumers made, moved, or (`None`) deleted.
    pub(crate) consumers: BTreeMap<String, Option<SavedConsumer>>,
}

/// One commit: all of it becomes durable, or nothing.
pub(crate) type Batch = BTreeMap<StreamNumber, StreamChange>;

/// Keeps records.
pub(crate) trait Store: Send + Sync + 'static {
    /// Makes the batch durable, as a whole, before it returns.
    fn commit(&self, batch: &Batch) -> Result<(), BusError>;

    /// Whether there is room for new messages; removals and positions are written even if not.
    fn room(&self) -> Result<(), BusError>;

    /// The body of a message; `None` when it was removed.
    fn body(&self, stream: StreamNumber, sequence: u64) -> Result<Option<Body>, BusError>;

    /// Keeps a blob under its reference; durable when it returns. May block for long.
    fn put_blob(&self, reference: &str, content: &Bytes) -> Result<(), BusError>;

    /// Reads a blob. May block for long.
    fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError>;

    /// Lets go of files and locks; everything afterwards is refused.
    fn close(&self);
}
