//! Up to where the spool was forwarded.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::BusError;
use crate::port::{Bus, Publish, StreamConfig};

const STREAM: &str = "SPOOL";
const SUBJECT: &str = "spool.cursor";

/// Two positions that belong together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Every event of the local log up to this sequence is on the bus.
    pub(super) local: u64,
    /// Every event after `local` that is on the bus nevertheless stands there after this sequence.
    pub(super) remote: u64,
}

pub(super) async fn ensure(local: &dyn Bus) -> Result<(), BusError> {
    local
        .ensure_stream(&StreamConfig {
            name: STREAM.into(),
            max_messages: 0,
            max_bytes: 0,
            max_age: Duration::ZERO,
            duplicate_window: Duration::ZERO,
            last_per_subject: true,
            trim_acked: false,
        })
        .await
}

pub(super) async fn load(local: &dyn Bus) -> Result<Cursor, BusError> {
    let Some(message) = local.last(SUBJECT).await? else {
        return Ok(Cursor::default());
    };
    serde_json::from_slice(&message.payload)
        .map_err(|error| BusError::Invalid { reason: format!("the spool's cursor cannot be read: {error}") })
}

pub(super) async fn save(local: &dyn Bus, cursor: Cursor) -> Result<(), BusError> {
    let record = serde_json::to_vec(&cursor)
        .map_err(|error| BusError::Invalid { reason: format!("the spool's cursor: {error}") })?;
    local.publish(Publish::new(SUBJECT, record)).await.map(|_| ())
}
