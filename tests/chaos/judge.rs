//! The judge: what was promised, by an outside ledger, against what was found. It is told nothing by the system that it
//! judges but what it found there.

use std::collections::{BTreeMap, BTreeSet};

/// What is wrong. Empty: nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Promised, and not found.
    pub(crate) lost: Vec<usize>,
    /// Found under more than one identity, with how many.
    pub(crate) doubled: Vec<(usize, usize)>,
    /// Found, and never promised.
    pub(crate) strange: Vec<usize>,
}

impl Verdict {
    pub(crate) fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares. An observation is a number of the ledger and the identity under which it was found: the same identity
/// again is the same thing seen twice.
pub(crate) fn compare<I: Ord>(
    promised: &BTreeSet<usize>,
    found: impl IntoIterator<Item = (usize, I)>,
) -> Verdict {
    let mut identities: BTreeMap<usize, BTreeSet<I>> = BTreeMap::new();
    for (number, identity) in found {
        identities.entry(number).or_default().insert(identity);
    }
    let lost = promised.iter().filter(|number| !identities.contains_key(number)).copied();
    let strange = identities.keys().filter(|number| !promised.contains(number)).copied();
    let doubled = identities.iter().filter(|(_, known)| known.len() > 1);
    Verdict {
        lost: lost.collect(),
        doubled: doubled.map(|(number, known)| (*number, known.len())).collect(),
        strange: strange.collect(),
    }
}

/// Whether the sum rule holds in a row of `tiphys status -o json`.
pub(crate) fn sums_up(row: &serde_json::Value) -> bool {
    let bucket = |name: &str| row[name].as_u64().unwrap_or(u64::MAX / 16);
    let parts = ["fired", "filtered", "superseded", "reset", "suppressed", "deadLettered", "inFlight"];
    bucket("accepted") == parts.into_iter().map(bucket).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ledger() -> BTreeSet<usize> {
        (0..1000).collect()
    }

    fn found() -> Vec<(usize, String)> {
        (0..1000).map(|number| (number, format!("id-{number}"))).collect()
    }

    #[test]
    fn a_clean_run_is_clean_also_when_something_is_seen_twice() {
        let again = found().into_iter().chain(found());
        assert!(compare(&ledger(), again).is_clean());
    }

    #[test]
    fn one_event_lost_on_purpose_is_found() {
        let mut found = found();
        found.remove(517);
        assert_eq!(compare(&ledger(), found), Verdict { lost: vec![517], ..Verdict::default() });
    }

    #[test]
    fn one_event_doubled_on_purpose_is_found() {
        let mut found = found();
        found.push((517, "another id".into()));
        assert_eq!(compare(&ledger(), found), Verdict { doubled: vec![(517, 2)], ..Verdict::default() });
    }

    #[test]
    fn one_event_from_nowhere_is_found() {
        let mut found = found();
        found.push((1000, "id-1000".into()));
        assert_eq!(compare(&ledger(), found), Verdict { strange: vec![1000], ..Verdict::default() });
    }

    #[test]
    fn one_event_hidden_from_the_sums_is_found() {
        let row = json!({"accepted": 10, "fired": 3, "filtered": 4, "superseded": 1, "reset": 0,
                         "suppressed": 0, "deadLettered": 1, "inFlight": 1});
        assert!(sums_up(&row));
        for bucket in ["accepted", "fired", "filtered", "superseded", "deadLettered", "inFlight"] {
            let mut hidden = row.clone();
            hidden[bucket] = json!(hidden[bucket].as_u64().unwrap() - 1);
            assert!(!sums_up(&hidden), "{bucket}");
        }
        assert!(!sums_up(&json!({"accepted": 1})));
    }
}
