//! The story of each event: which records on the streams belong to it. An index, rebuilt at each start and
//! bounded; the records themselves stay on the bus.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tiphys_bus::{Message, streams};
use tiphys_core::EventId;

/// So many events are indexed, the newest; about 300 bytes each.
const EVENTS_KEPT: usize = 100_000;

/// Where the records of one event stand.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chapters {
    /// In EVENTS; more than one after a replay.
    pub(crate) events: Vec<u64>,
    /// In VERDICTS.
    pub(crate) verdicts: Vec<u64>,
    /// In FIRINGS.
    pub(crate) firings: Vec<u64>,
    /// In DEAD.
    pub(crate) dead: Vec<u64>,
}

#[derive(Debug, Default)]
struct Index {
    chapters: HashMap<EventId, Chapters>,
    order: VecDeque<EventId>,
}

/// The index. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Story(Arc<Mutex<Index>>);

/// What the index needs of each record; everything else is left unparsed.
#[derive(Deserialize)]
struct EventHead {
    id: EventId,
}

#[derive(Deserialize)]
struct VerdictHead {
    event: Option<EventId>,
}

#[derive(Deserialize)]
struct FiringHead {
    events: Vec<EventHead>,
}

#[derive(Deserialize)]
struct DeadHead {
    #[serde(default)]
    events: Vec<EventHead>,
}

impl Story {
    /// Takes a record of EVENTS, VERDICTS, FIRINGS or DEAD. A record that cannot be read is nobody's story.
    pub(crate) fn apply(&self, message: &Message) {
        let mut index = self.lock();
        let payload = &message.payload;
        match streams::stream_of(&message.subject).as_str() {
            streams::EVENTS => {
                if let Ok(head) = serde_json::from_slice::<EventHead>(payload) {
                    index.chapter(head.id).events.push(message.sequence);
                }
            }
            streams::VERDICTS => {
                if let Ok(VerdictHead { event: Some(id) }) = serde_json::from_slice(payload) {
                    index.chapter(id).verdicts.push(message.sequence);
                }
            }
            streams::FIRINGS => {
                if let Ok(head) = serde_json::from_slice::<FiringHead>(payload) {
                    for event in head.events {
                        index.chapter(event.id).firings.push(message.sequence);
                    }
                }
            }
            streams::DEAD => {
                if let Ok(head) = serde_json::from_slice::<DeadHead>(payload) {
                    for event in head.events {
                        index.chapter(event.id).dead.push(message.sequence);
                    }
                }
            }
            _ => {}
        }
        index.forget_oldest();
    }

    /// The chapters of one event, by its id or by a prefix of it that fits only one.
    #[must_use]
    pub(crate) fn find(&self, id: &str) -> Option<(EventId, Chapters)> {
        let index = self.lock();
        if let Some(chapters) = index.chapters.get(&EventId(id.to_owned())) {
            return Some((EventId(id.to_owned()), chapters.clone()));
        }
        if id.len() < 4 {
            return None;
        }
        let mut fitting = index.chapters.iter().filter(|(known, _)| known.0.starts_with(id));
        let (found, chapters) = fitting.next()?;
        fitting.next().is_none().then(|| (found.clone(), chapters.clone()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index {
    fn chapter(&mut self, id: EventId) -> &mut Chapters {
        if !self.chapters.contains_key(&id) {
            self.order.push_back(id.clone());
        }
        self.chapters.entry(id).or_default()
    }

    fn forget_oldest(&mut self) {
        while self.order.len() > EVENTS_KEPT {
            let Some(oldest) = self.order.pop_front() else { return };
            self.chapters.remove(&oldest);
        }
    }
}
