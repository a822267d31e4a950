//! Reads bodies, and never more of them than allowed.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use super::Refusal;

/// How much of a refused body is thrown away, and for how long, before the answer goes out. Closing a
/// connection on a sender that still writes may take the answer from it.
const DISCARD_BYTES: usize = 1 << 20;
const DISCARD_TIME: Duration = Duration::from_secs(1);

/// Reads a body of at most `limit` bytes within `time`.
pub(super) async fn read(body: &mut BodyDataStream, limit: usize, time: Duration) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(time, collect(body, limit)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Refusal::Slow),
    }
}

async fn collect(body: &mut BodyDataStream, limit: usize) -> Result<Bytes, Refusal> {
    let mut whole = Bytes::new();
    let mut parts = BytesMut::new();
    while let Some(part) = body.next().await {
        let part = part.map_err(|_| Refusal::BrokenOff)?;
        if whole.len() + parts.len() + part.len() > limit {
            return Err(Refusal::TooLarge);
        }
        // Most bodies come in one part, which is then not copied.
        if whole.is_empty() && parts.is_empty() {
            whole = part;
        } else {
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&part);
        }
    }
    Ok(if parts.is_empty() { whole } else { parts.freeze() })
}

/// Throws away what is left of a refused body, within bounds.
pub(super) async fn discard(mut body: BodyDataStream) {
    let rest = async {
        let mut gone = 0;
        while let Some(Ok(part)) = body.next().await {
            gone += part.len();
            if gone > DISCARD_BYTES {
                break;
            }
        }
    };
    // Whether all of it came makes no difference to the answer.
    let _ = tokio::time::timeout(DISCARD_TIME, rest).await;
}

/// The stream of a body's parts.
pub(super) fn stream(body: Body) -> BodyDataStream {
    body.into_data_stream()
}
