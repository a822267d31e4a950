//! A batch while it is put together: each request is judged against what is durable *and* what stands in
//! the batch before it. Nobody else sees a draft; when its commit fails it is dropped.

use std::collections::HashMap;
use std::sync::Arc;

use tiphys_core::Timestamp;

use super::duplicates::older;
use super::filter::{Filters, check_filter, check_subject};
use super::state::State;
use super::stream::Stream;
use super::upkeep::StreamUpkeep;
use crate::error::BusError;
use crate::port::{Acked, ConsumerConfig, Expect, Publish, Start, StreamConfig};
use crate::store::{Batch, Body, Record, Remembered, SavedConsumer, StreamChange, StreamNumber};
use crate::streams;

/// A batch in the making.
pub(crate) struct Draft<'a> {
    state: &'a State,
    now: Timestamp,
    max_message: usize,
    streams: HashMap<StreamNumber, StreamDraft<'a>>,
    /// Whether there is room for messages; asked of the store once per batch.
    room: Result<(), BusError>,
}

/// The part of a draft that concerns one stream.
struct StreamDraft<'a> {
    stream: &'a Stream,
    change: StreamChange,
    messages: u64,
    bytes: u64,
    /// Last sequences of the subjects that the batch touched.
    heads: HashMap<Arc<str>, u64>,
    ids: HashMap<String, u64>,
    /// Up to here messages may make room, once asked.
    trimmable: Option<u64>,
    /// The last one that did.
    trimmed: u64,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(
        state: &'a State,
        now: Timestamp,
        max_message: usize,
        room: Result<(), BusError>,
    ) -> Self {
        Self { state, now, max_message, streams: HashMap::new(), room }
    }

    /// The batch, for the store.
    pub(crate) fn finish(self) -> Batch {
        let drafts = self.streams.into_iter();
        drafts.filter(|(_, draft)| draft.is_changed()).map(|(number, draft)| (number, draft.change)).collect()
    }

    fn stream(&mut self, name: &str) -> Result<&mut StreamDraft<'a>, BusError> {
        let stream = self.state.stream(name)?;
        Ok(self.streams.entry(stream.number).or_insert_with(|| StreamDraft::new(stream)))
    }

    /// Judges a publish.
    pub(crate) fn publish(&mut self, message: Publish) -> Result<Acked, BusError> {
        check_subject(&message.subject)?;
        let (now, limit, room) = (self.now, self.max_message, self.room.clone());
        let draft = self.stream(&streams::stream_of(&message.subject))?;
        if let Some(sequence) = draft.find(message.id.as_deref()) {
            return Ok(Acked { sequence, duplicate: true });
        }
        let actual = draft.head(&message.subject);
        if let Expect::LastSequence(expected) = message.expect
            && expected != actual
        {
            return Err(BusError::Conflict { subject: message.subject, expected, actual });
        }
        let headers = message.headers.iter().map(|(k, v)| k.len() + v.len());
        let size = message.subject.len() + headers.sum::<usize>() + message.payload.len();
        if size > limit {
            return Err(BusError::TooLarge { subject: message.subject, size, limit });
        }
        room.map_err(|error| draft.name_in(error))?;
        draft.make_room(actual, message.payload.len() as u64)?;
        Ok(draft.insert(message, actual, now))
    }

    /// Judges a purge; returns how many messages go.
    pub(crate) fn purge(&mut self, stream: &str, filter: &str, up_to: Option<u64>) -> Result<u64, BusError> {
        check_filter(filter)?;
        let draft = self.stream(stream)?;
        let filters = Filters::new(&[filter]);
        let up_to = up_to.unwrap_or(u64::MAX);
        let mut gone: Vec<u64> = Vec::new();
        for subject in draft.stream.subjects(&filters) {
            gone.extend(draft.stream.of_subject(&subject, 0..=up_to));
        }
        gone.retain(|sequence| !draft.change.removes.contains(sequence));
        let fresh = draft.change.inserts.range(..=up_to);
        gone.extend(
            fresh.filter(|(_, record)| filters.matches(&record.subject)).map(|(sequence, _)| *sequence),
        );
        for sequence in &gone {
            draft.remove(*sequence);
        }
        Ok(gone.len() as u64)
    }

    /// Makes a stream, or changes its limits. Nothing changes where they are the same.
    pub(crate) fn ensure(&mut self, config: &StreamConfig) -> Result<(), BusError> {
        let draft = self.stream(&config.name)?;
        if draft.stream.config != *config {
            draft.change.config = Some(config.clone());
        }
        Ok(())
    }

    /// Makes a consumer, or gives it new filters and limits.
    pub(crate) fn open_consumer(&mut self, stream: &str, config: &ConsumerConfig) -> Result<(), BusError> {
        check_subject(&config.name)?;
        config.filters.iter().try_for_each(|f| check_filter(f))?;
        let draft = self.stream(stream)?;
        let next = match config.start {
            Start::All => 1,
            Start::New => draft.change.last + 1,
            Start::Sequence(sequence) => sequence.max(1),
        };
        let fresh = SavedConsumer::new(config, next);
        let standing = match draft.change.consumers.get(&config.name) {
            Some(pending) => pending.clone(),
            None => draft.stream.consumers.get(&config.name).map(|c| c.save()),
        };
        let saved = match &standing {
            None => fresh,
            Some(old) => SavedConsumer {
                begun_after: old.begun_after,
                next: old.next,
                unsettled: old.unsettled.clone(),
                ..fresh
            },
        };
        if standing.as_ref() != Some(&saved) {
            draft.change.consumers.insert(config.name.clone(), Some(saved));
        }
        Ok(())
    }

    /// Forgets a consumer.
    pub(crate) fn delete_consumer(&mut self, stream: &str, name: &str) -> Result<(), BusError> {
        let draft = self.stream(stream)?;
        if draft.stream.consumers.contains_key(name) {
            draft.change.consumers.insert(name.into(), None);
        } else {
            draft.change.consumers.remove(name);
        }
        Ok(())
    }

    /// Takes up what the upkeep of a stream found.
    pub(crate) fn keep_up(&mut self, upkeep: StreamUpkeep) {
        let Some(stream) = self.state.numbered(upkeep.number) else {
            return;
        };
        let draft = self.streams.entry(upkeep.number).or_insert_with(|| StreamDraft::new(stream));
        for sequence in upkeep.aged {
            draft.remove(sequence);
        }
        draft.change.forgotten = upkeep.forgotten;
        for (name, saved) in upkeep.moved {
            draft.change.consumers.entry(name).or_insert(Some(saved));
        }
    }
}

impl<'a> StreamDraft<'a> {
    fn new(stream: &'a Stream) -> Self {
        Self {
            change: StreamChange { last: stream.last, stored: stream.stored, ..StreamChange::default() },
            messages: stream.messages(),
            bytes: stream.bytes,
            heads: HashMap::new(),
            ids: HashMap::new(),
            trimmable: None,
            trimmed: 0,
            stream,
        }
    }

    fn is_changed(&self) -> bool {
        let change = &self.change;
        change.config.is_some()
            || change.last != self.stream.last
            || !change.removes.is_empty()
            || !change.consumers.is_empty()
            || !change.forgotten.is_empty()
    }

    fn find(&self, id: Option<&str>) -> Option<u64> {
        let id = id?;
        let fresh = self.ids.get(id).copied();
        fresh.or_else(|| self.stream.duplicates.find(id))
    }

    fn head(&self, subject: &str) -> u64 {
        let touched = self.heads.get(subject).copied();
        touched.unwrap_or_else(|| self.stream.head(subject))
    }

    /// Judges the limits for one more message; `replaced` is the one it takes the place of in a table.
    fn make_room(&mut self, replaced: u64, size: u64) -> Result<(), BusError> {
        let config = &self.stream.config;
        let (max_messages, max_bytes) = (config.max_messages, config.max_bytes);
        let (mut free_messages, mut free_bytes) = (0, 0);
        if config.last_per_subject && replaced != 0 {
            (free_messages, free_bytes) = (1, self.size_of(replaced));
        }
        loop {
            let messages = self.messages + 1 - free_messages;
            let bytes = self.bytes + size - free_bytes;
            let reason = if max_messages != 0 && messages > max_messages {
                format!("it holds {} messages, the most it may", self.messages)
            } else if max_bytes != 0 && bytes > max_bytes {
                format!("it holds {} bytes of at most {max_bytes}", self.bytes)
            } else {
                return Ok(());
            };
            if !self.trim_one() {
                return Err(self.full(reason));
            }
        }
    }

    /// Removes the oldest message, if every durable consumer has acked it.
    fn trim_one(&mut self) -> bool {
        if !self.stream.config.trim_acked {
            return false;
        }
        let stream = self.stream;
        let floor = *self.trimmable.get_or_insert_with(|| stream.acked_by_all());
        let removed = &self.change.removes;
        let oldest = stream
            .entries(self.trimmed + 1)
            .map(|(sequence, _)| sequence)
            .take_while(|sequence| *sequence <= floor)
            .find(|sequence| !removed.contains(sequence));
        let Some(oldest) = oldest else { return false };
        self.trimmed = oldest;
        self.remove(oldest);
        true
    }

    fn insert(&mut self, message: Publish, replaced: u64, now: Timestamp) -> Acked {
        if self.stream.config.last_per_subject && replaced != 0 {
            self.remove(replaced);
        }
        let sequence = self.change.last + 1;
        let stored = self.change.stored.max(now);
        let subject: Arc<str> = message.subject.into();
        let id = message.id.filter(|_| !self.stream.config.duplicate_window.is_zero());
        if let Some(id) = &id {
            self.ids.insert(id.clone(), sequence);
        }
        self.heads.insert(Arc::clone(&subject), sequence);
        self.messages += 1;
        self.bytes += message.payload.len() as u64;
        (self.change.last, self.change.stored) = (sequence, stored);
        let body = Body { headers: message.headers, payload: message.payload };
        self.change.inserts.insert(sequence, Record { subject, id, stored, body });
        Acked { sequence, duplicate: false }
    }

    /// Takes a message away, be it durable or of this batch; its id is known on.
    fn remove(&mut self, sequence: u64) {
        let (subject, size, id) = match self.change.inserts.remove(&sequence) {
            Some(record) => {
                let size = record.body.payload.len() as u64;
                (record.subject, size, record.id.map(|id| (id, record.stored)))
            }
            None => {
                let Some(entry) = self.stream.entry(sequence) else {
                    return;
                };
                self.change.removes.insert(sequence);
                let id = self.stream.duplicates.of(sequence);
                let id = id.map(|(id, stored)| (id.to_owned(), stored));
                (Arc::clone(&entry.subject), entry.size, id)
            }
        };
        let window = self.stream.config.duplicate_window;
        if let Some((id, stored)) = id.filter(|(_, at)| !older(*at, self.change.stored, window)) {
            let remembered = Remembered { id, stored };
            self.change.remembered.insert(sequence, remembered);
        }
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(size);
        // Removals go from the front of a subject, so that a subject without its head is empty.
        if self.head(&subject) == sequence {
            self.heads.insert(subject, 0);
        }
    }

    fn size_of(&self, sequence: u64) -> u64 {
        match self.change.inserts.get(&sequence) {
            Some(record) => record.body.payload.len() as u64,
            None => self.stream.entry(sequence).map_or(0, |e| e.size),
        }
    }

    fn full(&self, reason: String) -> BusError {
        BusError::Full { stream: self.stream.config.name.clone(), reason }
    }

    /// The store knows no streams; its refusal gets the name here.
    fn name_in(&self, error: BusError) -> BusError {
        match error {
            BusError::Full { reason, .. } => self.full(reason),
            other => other,
        }
    }
}
