//! The record that members agree on, and who has fallen silent. No I/O, no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The record.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Table {
    /// Format of this record; 1.
    pub(super) version: u32,
    /// Counts the changes of who is a member.
    pub(super) epoch: u64,
    /// By name.
    pub(super) members: BTreeMap<String, Member>,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Member {
    /// Sequence of the record that its joining replaced: tells two processes of one name apart.
    pub(super) joined: u64,
    /// What only members of the same group can go on with.
    #[serde(default)]
    pub(super) group: String,
    /// Grows while it lives.
    pub(super) beat: u64,
    /// It has let go what is not its own since this epoch.
    pub(super) let_go: u64,
}

impl Table {
    /// Adds a member; a process that starts again under its name takes its own place.
    pub(super) fn join(&mut self, name: &str, group: &str, joined: u64) {
        let before = self.members.get(name);
        if before.is_none_or(|before| before.group != group) {
            self.epoch += 1;
        }
        let member = Member { joined, group: group.to_owned(), beat: 0, let_go: self.epoch };
        self.members.insert(name.to_owned(), member);
    }

    pub(super) fn remove(&mut self, name: &str) {
        if self.members.remove(name).is_some() {
            self.epoch += 1;
        }
    }

    /// Whether everybody has let go what is another's.
    pub(super) fn is_settled(&self) -> bool {
        self.members.values().all(|member| member.let_go >= self.epoch)
    }

    pub(super) fn groups(&self) -> BTreeMap<String, String> {
        self.members.iter().map(|(name, member)| (name.clone(), member.group.clone())).collect()
    }
}

/// When each member was heard of last, by this observer's own clock: the clocks of others do not matter.
#[derive(Debug, Default)]
pub(super) struct Silence {
    heard: BTreeMap<String, (u64, u64, Instant)>,
    looked: Option<Instant>,
}

impl Silence {
    /// Takes note of a table read at `now`. An observer that did not look for `gap` has heard nobody, and
    /// begins anew: the bus was away for others too, or it was itself stopped.
    pub(super) fn note(&mut self, table: &Table, now: Instant, gap: Duration) {
        if self.looked.is_none_or(|looked| now.duration_since(looked) >= gap) {
            self.heard.clear();
        }
        self.looked = Some(now);
        self.heard.retain(|name, _| table.members.contains_key(name));
        for (name, member) in &table.members {
            let sign = (member.joined, member.beat);
            let heard = self.heard.entry(name.clone()).or_insert((sign.0, sign.1, now));
            if (heard.0, heard.1) != sign {
                *heard = (sign.0, sign.1, now);
            }
        }
    }

    /// Whether a member was not heard of for so long.
    pub(super) fn is_silent(&self, name: &str, now: Instant, silence: Duration) -> bool {
        self.heard.get(name).is_some_and(|heard| now.duration_since(heard.2) >= silence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(3);

    #[test]
    fn only_a_change_of_members_is_a_new_epoch() {
        let mut table = Table::default();
        table.join("a", "g", 0);
        assert!(table.is_settled() && table.epoch == 1);
        table.join("a", "g", 7);
        assert_eq!(table.epoch, 1, "it only started again");
        table.join("b", "g", 8);
        assert!(!table.is_settled(), "a has to let go first");
        table.members.get_mut("a").unwrap().let_go = table.epoch;
        assert!(table.is_settled());
        table.remove("nobody");
        assert_eq!(table.epoch, 2);
        table.remove("b");
        assert_eq!(table.epoch, 3);
    }

    #[test]
    fn silence_is_what_was_listened_to() {
        let (begin, second) = (Instant::now(), Duration::from_secs(1));
        let mut table = Table::default();
        table.join("a", "", 0);
        table.join("b", "", 1);
        let mut silence = Silence::default();
        for at in 0..=3_u32 {
            table.members.get_mut("a").unwrap().beat += 1;
            silence.note(&table, begin + second * at, SILENCE);
        }
        let now = begin + second * 3;
        assert!(silence.is_silent("b", now, SILENCE) && !silence.is_silent("a", now, SILENCE));
        // It did not look for a while: it cannot say who was silent.
        let later = now + second * 10;
        silence.note(&table, later, SILENCE);
        assert!(!silence.is_silent("a", later, SILENCE) && !silence.is_silent("b", later, SILENCE));
    }

    #[test]
    fn a_successor_of_the_same_name_is_heard_anew() {
        let (begin, mut table, mut silence) = (Instant::now(), Table::default(), Silence::default());
        table.join("a", "", 0);
        silence.note(&table, begin, SILENCE * 2);
        table.join("a", "", 5);
        silence.note(&table, begin + SILENCE, SILENCE * 2);
        assert!(!silence.is_silent("a", begin + SILENCE, SILENCE));
    }
}
