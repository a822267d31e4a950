//! The ids that a stream remembers, so that a message sent twice is stored once.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tiphys_core::Timestamp;

/// Ids of one stream, in the order in which their messages were stored.
#[derive(Debug, Default)]
pub(crate) struct Duplicates {
    known: HashMap<String, u64>,
    order: VecDeque<(u64, Timestamp, String)>,
}

impl Duplicates {
    /// The sequence of the first message with this id.
    pub(crate) fn find(&self, id: &str) -> Option<u64> {
        self.known.get(id).copied()
    }

    /// Remembers an id. To be called in ascending order of sequences.
    pub(crate) fn add(&mut self, sequence: u64, stored: Timestamp, id: String) {
        self.known.insert(id.clone(), sequence);
        self.order.push_back((sequence, stored, id));
    }

    /// The id of a message, if it is still remembered.
    pub(crate) fn of(&self, sequence: u64) -> Option<(&str, Timestamp)> {
        let at = self.order.binary_search_by_key(&sequence, |(known, ..)| *known).ok()?;
        self.order.get(at).map(|(_, at, id)| (id.as_str(), *at))
    }

    /// Forgets what was stored more than `window` before `now`; gives the sequences.
    pub(crate) fn expire(&mut self, now: Timestamp, window: Duration) -> Vec<u64> {
        let mut gone = Vec::new();
        while let Some((sequence, stored, id)) = self.order.front() {
            if !older(*stored, now, window) {
                break;
            }
            if self.known.get(id) == Some(sequence) {
                self.known.remove(id);
            }
            gone.push(*sequence);
            self.order.pop_front();
        }
        gone
    }
}

/// Whether `then` lies more than `span` before `now`.
pub(crate) fn older(then: Timestamp, now: Timestamp, span: Duration) -> bool {
    let age = now.duration_since(then);
    Duration::try_from(age).is_ok_and(|age| age > span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_after_the_window() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let mut ids = Duplicates::default();
        ids.add(1, at(0), "a".into());
        ids.add(5, at(10), "b".into());
        assert_eq!(ids.of(5), Some(("b", at(10))));
        assert_eq!(ids.expire(at(10), Duration::from_secs(10)), Vec::<u64>::new());
        assert_eq!(ids.expire(at(11), Duration::from_secs(10)), vec![1]);
        assert_eq!((ids.find("a"), ids.find("b")), (None, Some(5)));
        assert_eq!(ids.of(1), None);
    }
}
