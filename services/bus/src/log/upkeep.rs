//! What a log does beside answering: it removes what is too old, forgets ids beyond their window, and
//! writes down where consumers stand.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use tiphys_core::Timestamp;
use tracing::warn;

use super::state::State;
use super::stream::Stream;
use crate::options::Options;
use crate::store::{SavedConsumer, StreamNumber};

/// A clock that moved further than this between two looks was set, or the machine slept.
const JUMP: SignedDuration = SignedDuration::from_hours(1);
/// Jumps remembered; of more than that somebody plays with the clock.
const JUMPS: usize = 32;

/// When which work was last done.
#[derive(Debug)]
pub(crate) struct Upkeep {
    looked: Option<Instant>,
    saved: Option<Instant>,
    ageing: Ageing,
}

/// What is to be done to one stream.
#[derive(Debug)]
pub(crate) struct StreamUpkeep {
    pub(crate) number: StreamNumber,
    pub(crate) aged: Vec<u64>,
    pub(crate) forgotten: Vec<u64>,
    pub(crate) moved: Vec<(String, SavedConsumer)>,
}

/// Tells how old a message is, by a clock that may be set.
#[derive(Debug, Default)]
struct Ageing {
    last: Option<Timestamp>,
    /// Jumps seen: until when messages count as stored before it, and how far it went.
    jumps: VecDeque<(Timestamp, SignedDuration)>,
}

impl Ageing {
    /// Looks at the clock. Tells whether ages mean something: not on the first look, nor right after a jump.
    fn look(&mut self, now: Timestamp) -> bool {
        let Some(last) = self.last.replace(now) else {
            return false;
        };
        let moved = now.duration_since(last);
        if moved.abs() <= JUMP {
            return true;
        }
        warn!(seconds = moved.as_secs(), "the clock jumped; no message grows old by that");
        if self.jumps.len() == JUMPS {
            self.jumps.pop_front();
        }
        // What was stored since the last look has a time near that look, or near this one.
        let before = if moved.is_positive() { last.saturating_add(JUMP).unwrap_or(last) } else { last };
        self.jumps.push_back((before, moved));
        false
    }

    /// The age of what was stored at that time, jumps since then not counted.
    fn age(&self, stored: Timestamp, now: Timestamp) -> SignedDuration {
        let jumps = self.jumps.iter().filter(|(before, _)| stored <= *before);
        jumps.fold(now.duration_since(stored), |age, (_, moved)| age.saturating_sub(*moved))
    }
}

impl Upkeep {
    pub(crate) fn new(now: Instant) -> Self {
        Self { looked: None, saved: Some(now), ageing: Ageing::default() }
    }

    /// Whether something is due.
    pub(crate) fn is_due(&self, at: Instant, options: &Options) -> bool {
        let save_due = |saved| at.duration_since(saved) >= options.save_every;
        self.is_look_due(at, options) || self.saved.is_none_or(save_due)
    }

    /// Makes the positions due to be written.
    pub(crate) const fn hurry(&mut self) {
        self.saved = None;
    }

    fn is_look_due(&self, at: Instant, options: &Options) -> bool {
        self.looked.is_none_or(|looked| at.duration_since(looked) >= options.look_every)
    }

    /// Collects what is due. Positions count as written from here on: a commit that fails is the last.
    pub(crate) fn collect(
        &mut self,
        state: &mut State,
        at: Instant,
        now: Timestamp,
        options: &Options,
    ) -> Vec<StreamUpkeep> {
        self.saved = Some(at);
        let look = self.is_look_due(at, options);
        if look {
            self.looked = Some(at);
        }
        let ageing = (look && self.ageing.look(now)).then_some(&self.ageing);
        let streams = state.streams_mut();
        let work = streams.map(|stream| StreamUpkeep {
            number: stream.number,
            aged: ageing.map_or_else(Vec::new, |ageing| aged(stream, ageing, now)),
            forgotten: if look { forgotten(stream, now) } else { Vec::new() },
            moved: moved(stream),
        });
        work.filter(|w| !(w.aged.is_empty() && w.forgotten.is_empty() && w.moved.is_empty())).collect()
    }
}

fn aged(stream: &Stream, ageing: &Ageing, now: Timestamp) -> Vec<u64> {
    let max_age = SignedDuration::try_from(stream.config.max_age).unwrap_or(SignedDuration::MAX);
    if max_age.is_zero() {
        return Vec::new();
    }
    let messages = stream.entries(0);
    messages
        .take_while(|(_, entry)| ageing.age(entry.stored, now) > max_age)
        .map(|(sequence, _)| sequence)
        .collect()
}

/// Ids whose message is gone have a record of their own in the store, which goes with the id.
fn forgotten(stream: &mut Stream, now: Timestamp) -> Vec<u64> {
    let window: Duration = stream.config.duplicate_window;
    let expired = stream.duplicates.expire(now, window);
    let gone = expired.into_iter();
    gone.filter(|sequence| stream.entry(*sequence).is_none()).collect()
}

fn moved(stream: &mut Stream) -> Vec<(String, SavedConsumer)> {
    let mut moved = Vec::new();
    for (name, position) in &mut stream.consumers {
        if std::mem::take(&mut position.dirty) {
            moved.push((name.clone(), position.save()));
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_clock_ages_nothing() {
        let at = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let minutes = SignedDuration::from_mins;
        let mut ageing = Ageing::default();
        assert!(!ageing.look(at(0)), "the first look");
        assert!(ageing.look(at(1)));
        assert_eq!(ageing.age(at(0), at(1)), minutes(1));
        assert!(!ageing.look(at(10_001)), "a jump");
        assert!(ageing.look(at(10_002)));
        assert_eq!(ageing.age(at(0), at(10_002)), minutes(2));
        assert_eq!(ageing.age(at(10_001), at(10_002)), minutes(1), "stored after it");
        assert_eq!(ageing.age(at(9_999), at(10_002)), minutes(3), "and before the look");
        assert!(!ageing.look(at(3)), "and back");
        assert!(ageing.look(at(4)));
        assert_eq!(ageing.age(at(0), at(4)), minutes(3), "what passed between the jumps");
    }
}
