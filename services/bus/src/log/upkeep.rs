//! What a log does beside answering: it removes what is too old, forgets ids beyond their window, and
//! writes down where consumers stand.

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

/// Tells how much of the clock's advance counts as age.
#[derive(Debug, Default)]
struct Ageing {
    last: Option<Timestamp>,
    /// The sum of the jumps seen: messages live so much longer.
    jumped: SignedDuration,
}

impl Ageing {
    /// The time to judge ages by; `None` on a look that tells nothing: the first, or one after a jump.
    fn look(&mut self, now: Timestamp) -> Option<Timestamp> {
        let last = self.last.replace(now)?;
        let moved = now.duration_since(last);
        if moved.abs() > JUMP {
            warn!(seconds = moved.as_secs(), "the clock jumped; no message grows old by that");
            self.jumped = self.jumped.saturating_add(moved).max(SignedDuration::ZERO);
            return None;
        }
        now.checked_sub(self.jumped).ok()
    }
}

impl Upkeep {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            looked: None,
            saved: Some(now),
            ageing: Ageing::default(),
        }
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
        self.looked
            .is_none_or(|looked| at.duration_since(looked) >= options.look_every)
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
        let aged_now = if look { self.ageing.look(now) } else { None };
        let streams = state.streams_mut();
        let work = streams.map(|stream| StreamUpkeep {
            number: stream.number,
            aged: aged_now.map_or_else(Vec::new, |now| aged(stream, now)),
            forgotten: if look { forgotten(stream, now) } else { Vec::new() },
            moved: moved(stream),
        });
        work.filter(|w| !(w.aged.is_empty() && w.forgotten.is_empty() && w.moved.is_empty()))
            .collect()
    }
}

fn aged(stream: &Stream, now: Timestamp) -> Vec<u64> {
    let max_age = stream.config.max_age;
    let Some(cutoff) = (!max_age.is_zero())
        .then(|| now.checked_sub(max_age).ok())
        .flatten()
    else {
        return Vec::new();
    };
    let old = stream.entries(0).take_while(|(_, e)| e.stored < cutoff);
    old.map(|(sequence, _)| sequence).collect()
}

/// Ids whose message is gone have a record of their own in the store, which goes with the id.
fn forgotten(stream: &mut Stream, now: Timestamp) -> Vec<u64> {
    let window: Duration = stream.config.duplicate_window;
    let expired = stream.duplicates.expire(now, window);
    let gone = expired.into_iter();
    gone.filter(|sequence| stream.entry(*sequence).is_none())
        .collect()
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
        let mut ageing = Ageing::default();
        assert_eq!(ageing.look(at(0)), None);
        assert_eq!(ageing.look(at(1)), Some(at(1)));
        assert_eq!(ageing.look(at(10_001)), None, "a jump");
        assert_eq!(ageing.look(at(10_002)), Some(at(2)));
        assert_eq!(ageing.look(at(3)), None, "and back");
        assert_eq!(ageing.look(at(4)), Some(at(4)));
    }
}
