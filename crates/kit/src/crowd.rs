//! A bounded crowd of connections. When it is full, a newcomer takes the place of the one that has been idle for
//! longest: so senders who only hold connections open keep nobody out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Where everybody is busy, somebody idle is looked for again after this time.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The crowd. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Crowd(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    places: Arc<Semaphore>,
    size: usize,
    idle: Mutex<Idle>,
}

/// Who waits for a request, the longest first.
#[derive(Debug, Default)]
struct Idle {
    next: u64,
    guests: BTreeMap<u64, CancellationToken>,
}

/// One of the crowd; its place is free again when this is dropped.
#[derive(Debug)]
pub struct Guest {
    crowd: Crowd,
    ticket: Mutex<Option<u64>>,
    dismissed: CancellationToken,
    _place: Option<OwnedSemaphorePermit>,
}

impl Crowd {
    /// A crowd of at most `size`.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self(Arc::new(Inner { places: Arc::new(Semaphore::new(size)), size, idle: Mutex::default() }))
    }

    /// Takes a place, at the cost of the longest idle one if there is none free. Waits while all are busy.
    pub async fn enter(&self) -> Guest {
        loop {
            if let Ok(place) = self.0.places.clone().try_acquire_owned() {
                return Guest::new(self.clone(), Some(place));
            }
            self.dismiss();
            let place = self.0.places.clone().acquire_owned();
            if let Ok(place) = tokio::time::timeout(LOOK_AGAIN, place).await {
                return Guest::new(self.clone(), place.ok());
            }
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.size.saturating_sub(self.0.places.available_permits())
    }

    /// Whether nobody is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn dismiss(&self) {
        if let Some((_, guest)) = self.idle().guests.pop_first() {
            guest.cancel();
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    fn new(crowd: Crowd, place: Option<OwnedSemaphorePermit>) -> Self {
        let dismissed = CancellationToken::new();
        let guest = Self { crowd, ticket: Mutex::default(), dismissed, _place: place };
        guest.idle();
        guest
    }

    /// A request is being answered: the connection is not taken away.
    pub fn busy(&self) {
        if let Some(ticket) = self.ticket().take() {
            self.crowd.idle().guests.remove(&ticket);
        }
    }

    /// Nothing is owed to the other side.
    pub fn idle(&self) {
        let mut ticket = self.ticket();
        if ticket.is_none() {
            let mut idle = self.crowd.idle();
            idle.next += 1;
            *ticket = Some(idle.next);
            let next = idle.next;
            idle.guests.insert(next, self.dismissed.clone());
        }
    }

    /// Returns when the place is wanted for somebody else.
    pub async fn dismissed(&self) {
        self.dismissed.cancelled().await;
    }

    fn ticket(&self) -> MutexGuard<'_, Option<u64>> {
        self.ticket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.busy();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_idle_makes_room_and_the_busy_stay() {
        let crowd = Crowd::new(3);
        let (first, second, third) = (crowd.enter().await, crowd.enter().await, crowd.enter().await);
        first.busy();
        third.busy();
        third.idle();
        assert_eq!(crowd.len(), 3);
        let newcomer = async {
            let guest = crowd.enter().await;
            drop(guest);
        };
        let leaver = async {
            second.dismissed().await;
            drop(second);
        };
        tokio::join!(newcomer, leaver);
        assert!(!first.dismissed.is_cancelled() && !third.dismissed.is_cancelled());
        assert_eq!(crowd.len(), 2);
        drop((first, third));
        assert!(crowd.is_empty() && crowd.idle().guests.is_empty());
    }

    #[tokio::test]
    async fn a_newcomer_waits_while_all_are_busy() {
        let crowd = Crowd::new(1);
        let only = crowd.enter().await;
        only.busy();
        let (newcomer, ()) = tokio::join!(crowd.enter(), async {
            assert!(!only.dismissed.is_cancelled());
            only.idle();
            only.dismissed().await;
            drop(only);
        });
        drop(newcomer);
        assert!(crowd.is_empty());
    }
}
