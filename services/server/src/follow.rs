//! Following a stream into a projection: read, apply, wait, read again. A wake-up carries no data.

use std::sync::Arc;
use std::time::Duration;

use tiphys_bus::{Bus, BusError, Message};
use tiphys_kit::{Backoff, CancellationToken};
use tracing::warn;

/// Messages per read: at 2 KiB each this is half a mebibyte in memory.
const BATCH: usize = 256;

/// Where a projection stands.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Position(pub(crate) u64);

/// Reads everything that `stream` holds now, from the start; returns the position reached.
///
/// # Errors
/// Fails when the bus does.
pub(crate) async fn catch_up(
    bus: &Arc<dyn Bus>,
    stream: &str,
    apply: &mut (dyn FnMut(&Message) + Send),
) -> Result<Position, BusError> {
    let mut position = Position::default();
    while step(bus, stream, &mut position, apply).await? {}
    Ok(position)
}

/// Follows `stream` from `position` until `stop`.
///
/// # Errors
/// Never by itself: a bus that is away is waited for.
pub(crate) async fn follow(
    bus: Arc<dyn Bus>,
    stream: &str,
    mut position: Position,
    stop: CancellationToken,
    mut apply: impl FnMut(&Message) + Send,
) -> Result<(), BusError> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let wait = async {
            bus.wait_for(stream, position.0, Duration::from_secs(30)).await?;
            while step(&bus, stream, &mut position, &mut apply).await? {}
            Ok::<(), BusError>(())
        };
        let outcome = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            outcome = wait => outcome,
        };
        match outcome {
            Ok(()) => backoff.reset(),
            Err(BusError::Closed) => return Ok(()),
            Err(error) => {
                warn!(stream, %error, "a projection waits for the bus");
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(backoff.next_wait()) => {}
                }
            }
        }
    }
}

/// One read; whether there may be more.
async fn step(
    bus: &Arc<dyn Bus>,
    stream: &str,
    position: &mut Position,
    apply: &mut (dyn FnMut(&Message) + Send),
) -> Result<bool, BusError> {
    let messages = bus.read(stream, "", position.0 + 1, BATCH).await?;
    for message in &messages {
        apply(message);
        position.0 = message.sequence;
    }
    Ok(messages.len() == BATCH)
}
