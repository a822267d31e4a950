//! One stream as readers see it: what is durable, and nothing else. Bodies stay in the store.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::sync::Arc;

use tiphys_core::Timestamp;
use tokio::sync::watch;

use super::duplicates::Duplicates;
use super::filter::Filters;
use super::position::Position;
use crate::port::{StreamConfig, StreamInfo};
use crate::store::{Record, StreamChange, StreamNumber};

/// What is known of a message without asking the store.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) subject: Arc<str>,
    pub(crate) stored: Timestamp,
    pub(crate) size: u64,
}

impl Entry {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            subject: Arc::clone(&record.subject),
            stored: record.stored,
            size: record.body.payload.len() as u64,
        }
    }
}

/// A stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) number: StreamNumber,
    pub(crate) config: StreamConfig,
    pub(crate) last: u64,
    pub(crate) stored: Timestamp,
    pub(crate) bytes: u64,
    pub(crate) duplicates: Duplicates,
    pub(crate) consumers: BTreeMap<String, Position>,
    entries: BTreeMap<u64, Entry>,
    subjects: HashMap<Arc<str>, VecDeque<u64>>,
    /// Shows `last` to those who wait.
    grown: watch::Sender<u64>,
}

impl Stream {
    pub(crate) fn new(number: StreamNumber, config: StreamConfig) -> Self {
        Self {
            number,
            config,
            last: 0,
            stored: Timestamp::UNIX_EPOCH,
            bytes: 0,
            duplicates: Duplicates::default(),
            consumers: BTreeMap::new(),
            entries: BTreeMap::new(),
            subjects: HashMap::new(),
            grown: watch::Sender::new(0),
        }
    }

    /// Makes a commit visible. To be called once it is durable.
    pub(crate) fn apply(&mut self, change: StreamChange) {
        if let Some(config) = change.config {
            self.config = config;
        }
        for sequence in change.removes {
            self.remove(sequence);
        }
        // Of a message that came and went within the commit only the id is left.
        let mut ids: BTreeMap<u64, (Timestamp, String)> = BTreeMap::new();
        for (sequence, remembered) in change.remembered.range(self.last + 1..) {
            ids.insert(*sequence, (remembered.stored, remembered.id.clone()));
        }
        for (sequence, record) in change.inserts {
            self.insert(sequence, Entry::of(&record));
            if let Some(id) = record.id {
                ids.insert(sequence, (record.stored, id));
            }
        }
        for (sequence, (stored, id)) in ids {
            self.duplicates.add(sequence, stored, id);
        }
        self.move_to(change.last, change.stored);
    }

    /// Sets the last sequence given, and wakes who waits for it.
    pub(crate) fn move_to(&mut self, last: u64, stored: Timestamp) {
        self.stored = self.stored.max(stored);
        if last > self.last {
            self.last = last;
            self.grown.send_replace(last);
        }
    }

    /// Adds a message that is newer than all others.
    pub(crate) fn insert(&mut self, sequence: u64, mut entry: Entry) {
        self.bytes += entry.size;
        // One name for all messages of a subject.
        if let Some((name, _)) = self.subjects.get_key_value(&entry.subject) {
            entry.subject = Arc::clone(name);
        }
        self.subjects.entry(Arc::clone(&entry.subject)).or_default().push_back(sequence);
        self.entries.insert(sequence, entry);
    }

    fn remove(&mut self, sequence: u64) {
        let Some(entry) = self.entries.remove(&sequence) else {
            return;
        };
        self.bytes = self.bytes.saturating_sub(entry.size);
        for consumer in self.consumers.values_mut() {
            consumer.ack(sequence);
        }
        if let Some(sequences) = self.subjects.get_mut(&entry.subject) {
            if let Ok(at) = sequences.binary_search(&sequence) {
                sequences.remove(at);
            }
            if sequences.is_empty() {
                self.subjects.remove(&entry.subject);
            }
        }
    }

    /// What is known of a message.
    pub(crate) fn entry(&self, sequence: u64) -> Option<&Entry> {
        self.entries.get(&sequence)
    }

    /// Messages from `from` on, in order.
    pub(crate) fn entries(&self, from: u64) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.range(from..).map(|(s, e)| (*s, e))
    }

    /// How many messages there are.
    pub(crate) fn messages(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The last sequence of a subject; 0 when it is empty.
    pub(crate) fn head(&self, subject: &str) -> u64 {
        let sequences = self.subjects.get(subject);
        sequences.and_then(|s| s.back()).copied().unwrap_or(0)
    }

    /// The messages of one subject within a range, in order.
    pub(crate) fn of_subject(&self, subject: &str, range: RangeInclusive<u64>) -> impl Iterator<Item = u64> {
        let sequences = self.subjects.get(subject);
        let from = sequences.map_or(0, |s| s.partition_point(|known| known < range.start()));
        sequences
            .into_iter()
            .flat_map(move |s| s.iter().skip(from).copied())
            .take_while(move |sequence| sequence <= range.end())
    }

    /// The subjects that the filters want, with their messages.
    fn wanted<'a>(&'a self, filters: &'a Filters) -> Vec<(&'a Arc<str>, &'a VecDeque<u64>)> {
        match filters.named() {
            Some(names) => names.filter_map(|name| self.subjects.get_key_value(name)).collect(),
            None => self.subjects.iter().filter(|(subject, _)| filters.matches(subject)).collect(),
        }
    }

    /// The names of the subjects that the filters want.
    pub(crate) fn subjects(&self, filters: &Filters) -> Vec<Arc<str>> {
        let wanted = self.wanted(filters);
        wanted.into_iter().map(|(s, _)| Arc::clone(s)).collect()
    }

    /// The first wanted message from `from` on.
    pub(crate) fn first_wanted(&self, filters: &Filters, from: u64) -> Option<u64> {
        self.wanted(filters)
            .into_iter()
            .filter_map(|(_, s)| s.get(s.partition_point(|known| *known < from)).copied())
            .min()
    }

    /// How many wanted messages there are from `from` on.
    pub(crate) fn count_wanted(&self, filters: &Filters, from: u64) -> u64 {
        self.wanted(filters)
            .into_iter()
            .map(|(_, s)| (s.len() - s.partition_point(|known| *known < from)) as u64)
            .sum()
    }

    /// Up to here every durable consumer has acked what it wants; 0 without consumers.
    pub(crate) fn acked_by_all(&self) -> u64 {
        let floors = self.consumers.values().map(|c| c.floor(self));
        floors.min().unwrap_or(0)
    }

    /// Tells the last sequence as it grows.
    pub(crate) fn growth(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    pub(crate) fn info(&self) -> StreamInfo {
        StreamInfo {
            first: self.entries.keys().next().copied().unwrap_or(0),
            last: self.last,
            messages: self.messages(),
            bytes: self.bytes,
        }
    }
}
