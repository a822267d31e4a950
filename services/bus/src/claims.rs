//! Claims: an exclusive right for a time, made of compare-and-set on the CLAIMS stream and nothing else,
//! so that every adapter shares it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tiphys_core::Timestamp;

use crate::error::BusError;
use crate::port::{Bus, Claim, Message, Publish};
use crate::streams::{self, CLAIMS};

/// How often a lost race is run again before the claim counts as somebody else's.
const RACES: usize = 3;

/// The record on the stream.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    /// Format of this record; 1.
    version: u32,
    owner: String,
    /// Sequence of the record by which this owner took it; 0 where that is this record itself.
    token: u64,
    until: Timestamp,
}

/// Claims `key`, or renews what `owner` holds.
pub(crate) async fn claim(
    bus: &dyn Bus,
    now: Timestamp,
    key: &str,
    owner: &str,
    for_time: Duration,
) -> Result<Option<Claim>, BusError> {
    let subject = streams::subject(CLAIMS, &[key]);
    let until = now
        .checked_add(for_time)
        .map_err(|error| BusError::Invalid { reason: format!("a claim cannot last that long: {error}") })?;
    for _ in 0..RACES {
        let standing = bus.last(&subject).await?;
        let token = match &standing {
            None => 0,
            Some(message) => {
                let record = decode(message)?;
                if record.owner == owner {
                    token_of(&record, message)
                } else if record.until > now {
                    return Ok(None);
                } else {
                    0
                }
            }
        };
        let expected = standing.map_or(0, |message| message.sequence);
        let record = Record { version: 1, owner: owner.into(), token, until };
        let publish = Publish::new(subject.clone(), encode(&record)?).expect_last(expected);
        match bus.publish(publish).await {
            Ok(acked) => {
                return Ok(Some(Claim {
                    key: key.into(),
                    owner: owner.into(),
                    token: if token == 0 { acked.sequence } else { token },
                    until,
                }));
            }
            Err(BusError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Gives a claim back, if it is still the same one.
pub(crate) async fn release(bus: &dyn Bus, claim: &Claim) -> Result<(), BusError> {
    let subject = streams::subject(CLAIMS, &[&claim.key]);
    let Some(message) = bus.last(&subject).await? else {
        return Ok(());
    };
    let record = decode(&message)?;
    if record.owner != claim.owner || token_of(&record, &message) != claim.token {
        return Ok(());
    }
    // Whoever takes or renews it meanwhile writes a later record, which stays.
    bus.purge(CLAIMS, &subject, Some(message.sequence)).await?;
    Ok(())
}

const fn token_of(record: &Record, message: &Message) -> u64 {
    if record.token == 0 { message.sequence } else { record.token }
}

fn decode(message: &Message) -> Result<Record, BusError> {
    serde_json::from_slice(&message.payload).map_err(|error| BusError::Invalid {
        reason: format!("`{}` holds no claim: {error}", message.subject),
    })
}

fn encode(record: &Record) -> Result<Vec<u8>, BusError> {
    serde_json::to_vec(record)
        .map_err(|error| BusError::Invalid { reason: format!("a claim cannot be written: {error}") })
}
