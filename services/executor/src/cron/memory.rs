//! What is remembered of a cron workflow: since when it is known, and what it was scheduled for last.

use serde::{Deserialize, Serialize};
use tiphys_bus::{Bus, BusError, Publish, streams};
use tiphys_core::Timestamp;

use crate::error::Error;

/// Last value of `cron.NAMESPACE.workflow.NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Memory {
    /// Format; 1.
    pub(super) version: u32,
    /// Times before this were never its business.
    pub(super) since: Timestamp,
    /// The last time that was dealt with, by a run or by a decision against one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Timestamp>,
}

fn subject(namespace: &str, name: &str) -> String {
    streams::subject(streams::CRON, &[namespace, "workflow", name])
}

/// Reads it, with its sequence; 0 when there is none.
pub(super) async fn read(
    bus: &dyn Bus,
    namespace: &str,
    name: &str,
) -> Result<(Option<Memory>, u64), Error> {
    let Some(message) = bus.last(&subject(namespace, name)).await? else {
        return Ok((None, 0));
    };
    let memory = serde_json::from_slice(&message.payload)
        .map_err(|error| Error::Record { reason: format!("{}: {error}", message.subject) })?;
    Ok((Some(memory), message.sequence))
}

/// Writes it over the one of sequence `over`. Whether it was written: another scheduler may have been faster.
pub(super) async fn write(
    bus: &dyn Bus,
    namespace: &str,
    name: &str,
    memory: &Memory,
    over: u64,
) -> Result<bool, Error> {
    let record = serde_json::to_vec(memory)
        .map_err(|error| Error::Record { reason: error.to_string() })?;
    match bus.publish(Publish::new(subject(namespace, name), record).expect_last(over)).await {
        Ok(_) => Ok(true),
        Err(BusError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
