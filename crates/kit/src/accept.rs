//! Accepting connections: never more than there is room for, and never in a busy loop.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::crowd::{Crowd, Guest};

/// After a refusal of the system: others must end first.
const PAUSE: Duration = Duration::from_millis(100);

/// The next connection with its place in the crowd, at the cost of the longest idle one where that is full; `None`
/// when told to stop.
pub async fn accept(
    listener: &TcpListener,
    crowd: &Crowd,
    stop: &CancellationToken,
) -> Option<(TcpStream, Guest)> {
    let next = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // Answers are small; waiting to fill a packet would only delay them.
                    let _ = stream.set_nodelay(true);
                    return (stream, crowd.enter().await);
                }
                // Out of descriptors, most of the time.
                Err(reason) => {
                    warn!(address = ?listener.local_addr().ok(), %reason, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    };
    stop.run_until_cancelled(next).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn there_is_room_for_so_many_and_a_stop_ends_the_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (crowd, stop) = (Crowd::new(1), CancellationToken::new());
        let clients =
            (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let first = accept(&listener, &crowd, &stop).await.unwrap();
        assert_eq!(crowd.len(), 1);
        drop(first);
        assert!(accept(&listener, &crowd, &stop).await.is_some());
        drop(clients);
        stop.cancel();
        assert!(accept(&listener, &crowd, &stop).await.is_none());
    }
}
