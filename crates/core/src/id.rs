//! Identities. Each is derived from what it names, so that a retry, a redelivery and a restart all
//! arrive at the same one.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Identity of an event: 128 bits in hex over namespace, event source, event name and the native id.
///
/// It is the CloudEvents `id`, and the id by which the bus drops duplicates.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub String);

/// Identity of a firing: 128 bits in hex over sensor, trigger, event set and replay generation.
///
/// It is the bus id of the firing, the key of the ledger, and the suffix of generated names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FiringId(pub String);

/// Identity of one attempt of one step: 64 bits in hex over workflow uid, node name and attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PodKey(pub String);

impl EventId {
    /// Derives the id from the origin and the id that the sender gave the message.
    #[must_use]
    pub fn derive(namespace: &str, source: &str, event: &str, native: &str) -> Self {
        Self(digest(&[namespace, source, event, native], 16))
    }
}

impl FiringId {
    /// Derives the id; `events` are pairs of dependency name and event id, in any order.
    #[must_use]
    pub fn derive(
        namespace: &str,
        sensor: &str,
        trigger: &str,
        events: &[(&str, &EventId)],
        replay: u32,
    ) -> Self {
        let mut pairs: Vec<String> = events.iter().map(|(d, e)| format!("{d}={e}")).collect();
        pairs.sort();
        let replay = replay.to_string();
        let mut parts = vec![namespace, sensor, trigger];
        parts.extend(pairs.iter().map(String::as_str));
        parts.push(&replay);
        Self(digest(&parts, 16))
    }
}

impl PodKey {
    /// Derives the key of attempt `attempt` (from 0) of node `node` of the workflow with this uid.
    #[must_use]
    pub fn derive(workflow_uid: &str, node: &str, attempt: u32) -> Self {
        Self(digest(&[workflow_uid, node, &attempt.to_string()], 8))
    }
}

/// Hex of the first `bytes` of SHA-256 over the parts, each preceded by its length so that no two
/// lists of parts share an input.
#[must_use]
pub fn digest(parts: &[&str], bytes: usize) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    let full = hash.finalize();
    hex::encode(&full[..bytes.min(full.len())])
}

/// An identity in the form of a UUID of version 8 (made by its user's own rule), derived from the parts.
#[must_use]
pub fn uuid(parts: &[&str]) -> String {
    let hex = digest(parts, 16);
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-8{}-a{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

macro_rules! display {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    )*};
}
display!(EventId, FiringId, PodKey);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_events_does_not_change_a_firing() {
        let (a, b) = (EventId("a".into()), EventId("b".into()));
        let one = FiringId::derive("ns", "s", "t", &[("x", &a), ("y", &b)], 0);
        let two = FiringId::derive("ns", "s", "t", &[("y", &b), ("x", &a)], 0);
        assert_eq!(one, two);
        assert_ne!(one, FiringId::derive("ns", "s", "t", &[("x", &a), ("y", &b)], 1));
        assert_ne!(one, FiringId::derive("ns", "s", "t", &[("x", &b), ("y", &a)], 0));
    }

    #[test]
    fn uuids_have_their_form() {
        let id = uuid(&["a", "b"]);
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!((id.get(14..15), id.get(19..20)), (Some("8"), Some("a")));
        assert_eq!(id, uuid(&["a", "b"]));
        assert_ne!(id, uuid(&["ab"]));
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(EventId::derive("a", "bc", "d", "e"), EventId::derive("ab", "c", "d", "e"));
    }
}
