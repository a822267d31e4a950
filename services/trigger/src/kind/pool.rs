//! Clients that stay open between firings, by the settings that they were made with.

use std::sync::{Mutex, PoisonError};

/// So many are kept; then the oldest one goes. Settings may come from events.
const MOST: usize = 64;

/// Clients by their settings. These may hold secrets: nothing here is ever shown.
pub(super) struct Pool<T>(Mutex<Vec<(String, T)>>);

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Pool<T> {
    /// The client of these settings.
    pub(super) fn get(&self, settings: &str) -> Option<T> {
        let clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clients.iter().find(|(known, _)| known == settings).map(|(_, client)| client.clone())
    }

    /// Keeps a client; where another firing made one meanwhile, that one is used.
    pub(super) fn keep(&self, settings: String, client: T) -> T {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, first)) = clients.iter().find(|(known, _)| *known == settings) {
            return first.clone();
        }
        if clients.len() >= MOST {
            clients.remove(0);
        }
        clients.push((settings, client.clone()));
        client
    }

    /// Forgets a client that is of no use any more.
    #[cfg_attr(
        not(any(feature = "kafka", feature = "nats", feature = "sqs")),
        expect(dead_code, reason = "other clients mend themselves")
    )]
    pub(super) fn forget(&self, settings: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|(known, _)| known != settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_the_first_of_two_stays() {
        let pool = Pool::default();
        for n in 0..MOST + 1 {
            pool.keep(n.to_string(), n);
        }
        assert_eq!((pool.get("0"), pool.get("1")), (None, Some(1)));
        assert_eq!(pool.keep("1".into(), 7), 1);
    }
}
