//! Storing what a queue gave, however long the bus is away. While it is, one message at a time knocks and the
//! others wait behind it, so that a broken bus is neither pressed nor told of a hundred times.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tiphys_core::{Classify as _, Fault};
use tiphys_kit::{Backoff, CancellationToken};
use tokio::sync::Semaphore;
use tokio::task::unconstrained;

use crate::error::Error;

/// Shared by all messages of one source. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Insist {
    stop: CancellationToken,
    turn: Arc<Semaphore>,
}

impl Insist {
    /// Until `stop`.
    pub(crate) fn new(stop: CancellationToken) -> Self {
        Self { stop, turn: Arc::new(Semaphore::new(1)) }
    }

    /// Whether the bus is away, as far as is known.
    #[cfg(feature = "sqs")]
    pub(crate) fn waits(&self) -> bool {
        self.turn.available_permits() == 0
    }

    /// Does it until it works. `None` when it is time to stop: then nothing may be acked.
    ///
    /// # Errors
    /// Fails where trying again would not help.
    pub(crate) async fn on<T, F>(&self, act: impl Fn() -> F) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        // Without the runtime's budget: a future that is told to pause in the middle of its first turn would go to
        // the bus after those that began later.
        match unconstrained(act()).await {
            Err(error) if error.fault() == Fault::Transient => {}
            done => return done.map(Some),
        }
        let turn = tokio::select! {
            turn = self.turn.acquire() => turn,
            () = self.stop.cancelled() => return Ok(None),
        };
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(4));
        loop {
            match act().await {
                Err(error) if error.fault() == Fault::Transient => {}
                done => {
                    drop(turn);
                    return done.map(Some);
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return Ok(None),
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_knocks_and_all_get_through() {
        let insist = Insist::new(CancellationToken::new());
        let (away, calls) = (AtomicUsize::new(20), AtomicUsize::new(0));
        let store = || async {
            calls.fetch_add(1, Ordering::SeqCst);
            let left = away.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            left.map_or(Ok(()), |_| Err(Error::Patience))
        };
        let all = futures::future::join_all((0..10).map(|_| insist.on(store))).await;
        assert!(all.into_iter().all(|done| done.unwrap().is_some()));
        // Ten first tries, ten of the one that knocks until it works, and one of each other.
        assert_eq!(calls.load(Ordering::SeqCst), 10 + 10 + 1 + 9);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_help_ends_it_and_so_does_stop() {
        let stop = CancellationToken::new();
        let insist = Insist::new(stop.clone());
        let wrong = insist.on(|| async { Err::<(), _>(Error::Message { what: "x".into() }) }).await;
        assert!(wrong.is_err());
        stop.cancel();
        assert!(insist.on(|| async { Err::<(), _>(Error::Patience) }).await.unwrap().is_none());
    }
}
