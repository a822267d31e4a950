//! A bounded memory of what was applied, for events that come again after the bus has forgotten their ids.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tiphys_core::{EventId, id};

/// How many are remembered per trigger. At 16 characters each the record stays small.
const MEMORY: usize = 1024;

/// The last events applied to a condition, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen(VecDeque<u64>);

impl Seen {
    /// Whether it was applied.
    pub(crate) fn contains(&self, dependency: &str, event: &EventId, replay: u32) -> bool {
        self.0.contains(&key(dependency, event, replay))
    }

    /// Remembers it, and forgets the oldest where there are too many.
    pub(crate) fn insert(&mut self, dependency: &str, event: &EventId, replay: u32) {
        if self.0.len() >= MEMORY {
            self.0.pop_front();
        }
        self.0.push_back(key(dependency, event, replay));
    }
}

fn key(dependency: &str, event: &EventId, replay: u32) -> u64 {
    let digest = id::digest(&[dependency, &event.0, &replay.to_string()], 8);
    u64::from_str_radix(&digest, 16).unwrap_or(0)
}

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = String::with_capacity(self.0.len() * 16);
        for key in &self.0 {
            let _ = write!(text, "{key:016x}");
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let key = |part: &[u8]| {
            let digits = std::str::from_utf8(part).ok()?;
            u64::from_str_radix(digits, 16).ok()
        };
        let keys: Option<VecDeque<u64>> = text.as_bytes().chunks(16).map(key).collect();
        keys.map(Self).ok_or_else(|| serde::de::Error::custom("expected digits in hex"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_survives_writing() {
        let mut seen = Seen::default();
        for number in 0..=MEMORY {
            seen.insert("d", &EventId(number.to_string()), 0);
        }
        assert!(!seen.contains("d", &EventId("0".into()), 0));
        assert!(seen.contains("d", &EventId("1".into()), 0));
        assert!(!seen.contains("d", &EventId("1".into()), 1));
        let again: Seen = serde_json::from_str(&serde_json::to_string(&seen).unwrap()).unwrap();
        assert_eq!(seen, again);
    }
}
