//! Accepting connections: never more than there is room for, and never in a busy loop.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// After a refusal of the system: others must end first.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection, once there is room for it, with its room; `None` when told to stop. At the limit nobody is
/// accepted: the system's queue holds them.
pub async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
    stop: &CancellationToken,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let next = async {
        let place = room.clone().acquire_owned().await.ok()?;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small; waiting to fill a packet would only delay them.
                    let _ = stream.set_nodelay(true);
                    return Some((stream, place));
                }
                // Out of descriptors, most of the time.
                Err(reason) => {
                    warn!(address = ?listener.local_addr().ok(), %reason, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(next).await.flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_for_so_many_and_a_stop_ends_the_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (room, stop) = (Arc::new(Semaphore::new(1)), CancellationToken::new());
        let clients =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let first = accept(&listener, &room, &stop).await.unwrap();
        assert_eq!(room.available_permits(), 0);
        drop(first);
        assert!(accept(&listener, &room, &stop).await.is_some());
        drop(clients);
        stop.cancel();
        assert!(accept(&listener, &room, &stop).await.is_none());
    }
}
