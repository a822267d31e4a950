//! Blobs: pieces on a stream of their own, and a record of them that is written last.

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::link::unavailable;
use crate::blobs;
use crate::error::BusError;
use crate::port::{Bus, Publish, StreamConfig};

/// Pieces: `blobs.DIGEST.NUMBER`; the record: `blobs.DIGEST`. Content-addressed, so each is written once.
pub(super) const BLOBS: &str = "BLOBS";
/// Bytes of a piece.
const PIECE: usize = 256 << 10;
/// Pieces read at once.
const READ: usize = 64;

#[derive(Serialize, Deserialize)]
struct Record {
    /// Format of this record; 1.
    version: u32,
    bytes: usize,
    pieces: usize,
}

fn subject(digest: &str) -> String {
    format!("blobs.{digest}")
}

/// The stream of blobs.
fn stream() -> StreamConfig {
    StreamConfig {
        name: BLOBS.into(),
        max_messages: 0,
        max_bytes: 0,
        max_age: std::time::Duration::ZERO,
        duplicate_window: std::time::Duration::ZERO,
        last_per_subject: false,
        trim_acked: false,
    }
}

/// Stores a blob.
pub(super) async fn put(bus: &dyn Bus, content: Bytes) -> Result<String, BusError> {
    let reference = blobs::reference(&content);
    let digest = blobs::digest(&reference)?;
    bus.ensure_stream(&stream()).await?;
    if bus.last(&subject(digest)).await?.is_some() {
        return Ok(reference);
    }
    let mut pieces = 0;
    let mut rest = content.clone();
    while !rest.is_empty() {
        let piece = rest.split_to(PIECE.min(rest.len()));
        once(bus, Publish::new(format!("{}.{pieces}", subject(digest)), piece)).await?;
        pieces += 1;
    }
    let record = Record { version: 1, bytes: content.len(), pieces };
    let record = serde_json::to_vec(&record).map_err(|error| unavailable(error.to_string()))?;
    once(bus, Publish::new(subject(digest), record)).await?;
    Ok(reference)
}

/// Writes what may be there already: from a try that was cut short, or from another process.
async fn once(bus: &dyn Bus, message: Publish) -> Result<(), BusError> {
    match bus.publish(message.expect_last(0)).await {
        Ok(_) | Err(BusError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Reads a blob, and checks it.
pub(super) async fn get(bus: &dyn Bus, reference: &str) -> Result<Option<Bytes>, BusError> {
    let digest = blobs::digest(reference)?;
    let damaged = || unavailable(format!("the blob `{reference}` is damaged"));
    let record = match bus.last(&subject(digest)).await {
        Ok(Some(record)) => record,
        Ok(None) | Err(BusError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let record: Record = serde_json::from_slice(&record.payload).map_err(|_| damaged())?;
    let filter = format!("{}.*", subject(digest));
    // Two who store the same blob at once may write its pieces in any order.
    let mut found: Vec<Option<Bytes>> = vec![None; record.pieces];
    let mut from = 0;
    loop {
        let messages = bus.read(BLOBS, &filter, from, READ).await?;
        let Some(last) = messages.last() else { break };
        from = last.sequence + 1;
        for message in messages {
            let number = message.subject.rsplit('.').next().and_then(|n| n.parse::<usize>().ok());
            if let Some(place) = number.and_then(|number| found.get_mut(number)) {
                *place = Some(message.payload);
            }
        }
    }
    let mut content = BytesMut::with_capacity(record.bytes);
    for piece in found {
        content.extend_from_slice(&piece.ok_or_else(damaged)?);
    }
    let content = content.freeze();
    if blobs::reference(&content) != reference {
        return Err(damaged());
    }
    Ok(Some(content))
}
