//! Where a delivered message stands: the subject for its answer tells.

use async_nats::Message as Raw;
use async_nats::jetstream::message::Message as Delivered;
use tiphys_core::Timestamp;

use super::link::{Link, unavailable};
use super::wire;
use crate::error::BusError;

/// Where one stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) sequence: u64,
    pub(super) stored: Timestamp,
    /// How often it was handed out, from 1.
    pub(super) attempt: u64,
}

/// Tells it of each.
pub(super) fn places(link: &Link, arrived: Vec<Raw>) -> Result<Vec<(Place, Raw)>, BusError> {
    let mut placed = Vec::with_capacity(arrived.len());
    // The library reads the subject only with a context at hand, and starts a task for each that is made.
    let mut context = link.context.clone();
    for message in arrived {
        let delivered = Delivered { message, context };
        let place = place(&delivered)?;
        context = delivered.context;
        placed.push((place, delivered.message));
    }
    Ok(placed)
}

fn place(delivered: &Delivered) -> Result<Place, BusError> {
    let info = delivered
        .info()
        .map_err(|error| unavailable(format!("a delivery that is not understood: {error}")))?;
    Ok(Place {
        sequence: info.stream_sequence,
        stored: wire::time(info.published.unix_timestamp_nanos())?,
        attempt: u64::try_from(info.delivered).unwrap_or(u64::MAX),
    })
}
