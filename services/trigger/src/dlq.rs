//! Dead letters: what was given up, with everything needed to fire it again.

use std::sync::Arc;

use serde::Serialize;
use tiphys_bus::{Bus, BusError, Message, Publish, streams};
use tiphys_core::{DeadLetter, Timestamp};

use crate::ledger::{Ledger, State};

/// A dead letter with its place.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Letter {
    /// Its sequence in DEAD, by which it is named.
    pub sequence: u64,
    /// Whether it was retried since, and what came of it: `dead`, `retrying` or `done`.
    pub state: String,
    /// What was given up.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// Why a dead letter was not retried.
#[derive(Debug, thiserror::Error)]
pub enum RetryError {
    /// There is none of that number.
    #[error("there is no dead letter {0}")]
    Missing(u64),
    /// It holds no firing.
    #[error("dead letter {0} holds no firing; replay its event instead: tiphys replay {1}")]
    NoFiring(u64, String),
    /// It is no longer dead.
    #[error("dead letter {0} was retried already and is {1}")]
    NotDead(u64, String),
    /// The bus refused.
    #[error("the bus refused")]
    Bus(#[source] BusError),
}

/// The dead letters, oldest first, at most `max`, from sequence `from`.
///
/// # Errors
/// Fails when the bus does.
pub async fn list(bus: &Arc<dyn Bus>, from: u64, max: usize) -> Result<Vec<Letter>, BusError> {
    let mut letters = Vec::new();
    for message in bus.read(streams::DEAD, "", from.max(1), max).await? {
        if let Some(letter) = read(bus, &message).await? {
            letters.push(letter);
        }
    }
    Ok(letters)
}

/// One dead letter.
///
/// # Errors
/// Fails when the bus does.
pub async fn show(bus: &Arc<dyn Bus>, sequence: u64) -> Result<Option<Letter>, BusError> {
    match bus.get(streams::DEAD, sequence).await? {
        Some(message) => read(bus, &message).await,
        None => Ok(None),
    }
}

async fn read(bus: &Arc<dyn Bus>, message: &Message) -> Result<Option<Letter>, BusError> {
    let Ok(letter) = serde_json::from_slice::<DeadLetter>(&message.payload) else { return Ok(None) };
    let state = match &letter.firing {
        None => None,
        Some(firing) => Ledger::new(bus.clone()).read(&firing.id).await?.0.map(|entry| entry.state),
    };
    let state = match state {
        Some(State::Done) => "done",
        Some(State::Retrying) => "retrying",
        Some(State::Dead) | None => "dead",
    };
    Ok(Some(Letter { sequence: message.sequence, state: state.into(), letter }))
}

/// Fires a dead letter again: it moves back to in flight, and its attempts begin anew.
///
/// # Errors
/// See [`RetryError`].
pub async fn retry(bus: &Arc<dyn Bus>, sequence: u64, now: Timestamp) -> Result<Letter, RetryError> {
    let letter = show(bus, sequence).await.map_err(RetryError::Bus)?;
    let letter = letter.ok_or(RetryError::Missing(sequence))?;
    let Some(firing) = &letter.letter.firing else {
        let event = letter.letter.events.first().map_or_else(|| "ID".into(), |e| e.id.0.clone());
        return Err(RetryError::NoFiring(sequence, event));
    };
    let ledger = Ledger::new(bus.clone());
    let (entry, over) = ledger.read(&firing.id).await.map_err(RetryError::Bus)?;
    if let Some(mut entry) = entry {
        if entry.state != State::Dead {
            return Err(RetryError::NotDead(sequence, letter.state));
        }
        entry.state = State::Retrying;
        entry.attempts = 0;
        entry.at = now;
        // By compare-and-set: of two who retry at once, one wins, and the letter is fired once.
        ledger.write(&entry, over).await.map_err(RetryError::Bus)?;
    }
    let record = serde_json::to_vec(firing)
        .map_err(|error| RetryError::Bus(BusError::Invalid { reason: error.to_string() }))?;
    let names = [firing.namespace.as_str(), &firing.sensor, &firing.trigger];
    let publish = Publish::new(streams::subject(streams::FIRINGS, &names), record)
        .id(format!("{}-retry-{sequence}-{over}", firing.id));
    bus.publish(publish).await.map_err(RetryError::Bus)?;
    Ok(letter)
}
