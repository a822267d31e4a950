//! Storing a message.

use std::time::Duration;

use async_nats::jetstream::message::StreamMessage;
use serde::Deserialize;
use serde_json::json;

use super::link::{Failure, Link, code, decode};
use super::stream::{Stream, Traits};
use super::{read, wire};
use crate::error::BusError;
use crate::port::{Acked, Expect, Publish};

/// So often room is made for one message before the stream counts as full.
const ROUNDS: usize = 64;
/// So often a write that met another one in mid-air is tried again.
const TRIES: usize = 20;
/// Between such tries.
const PAUSE: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "seq")]
    sequence: u64,
    #[serde(default)]
    duplicate: bool,
}

/// Stores a message of at most `limit` bytes.
pub(super) async fn publish(
    link: &Link,
    stream: &Stream,
    message: &Publish,
    limit: usize,
) -> Result<Acked, BusError> {
    let traits = stream.traits(link).await?;
    let headers = wire::headers(message, traits.remembers_ids)?;
    let carried = headers.as_ref().map_or(0, wire::size) + message.payload.len();
    let size = message.subject.len() + carried;
    let too_large = |limit: usize| BusError::TooLarge { subject: message.subject.clone(), size, limit };
    if size > limit {
        return Err(too_large(limit));
    }
    let max_payload = link.client.server_info().max_payload;
    if max_payload > 0 && carried > max_payload {
        return Err(too_large(max_payload));
    }
    let subject = link.names.subject(&message.subject);
    let (mut rounds, mut tries) = (0, 0);
    loop {
        let seen = stream.rounds();
        let sent = link.send(subject.clone(), headers.clone(), message.payload.clone()).await;
        let failure = match sent.and_then(|answer| decode::<Reply>(&answer.payload)) {
            Ok(reply) => {
                return Ok(Acked { sequence: reply.sequence, duplicate: reply.duplicate });
            }
            Err(failure) => failure,
        };
        if let Some(reason) = overflow(&failure) {
            rounds += 1;
            if traits.trims && rounds <= ROUNDS && stream.make_room(link, seen).await? {
                continue;
            }
            return Err(BusError::Full { stream: stream.name.clone(), reason });
        }
        match failure.code() {
            code::WRONG_LAST | code::WRONG_LAST_SOMEWHERE => {
                if let Some(sequence) = stored_before(link, stream, message, traits).await? {
                    return Ok(Acked { sequence, duplicate: true });
                }
                if let Some(conflict) = conflict(link, stream, message, &failure).await? {
                    return Err(conflict);
                }
            }
            code::ID_IN_PROCESS => {}
            code::TOO_LARGE => return Err(too_large(max_payload)),
            _ => return Err(refused(link, stream, failure).await),
        }
        tries += 1;
        if tries > TRIES {
            return Err(failure.about(&format!("stream `{}`", stream.name)));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Which limit refuses the message, if it is one.
fn overflow(failure: &Failure) -> Option<String> {
    let Failure::Refused(refusal) = failure else {
        return None;
    };
    let text = refusal.to_string();
    match failure.code() {
        code::STORE_FAILED if text.contains("maximum") => Some(text),
        code::NO_RESOURCES | code::NO_STORAGE => Some(text),
        _ => None,
    }
}

/// The server looks at what a message expects before it looks at its id, so a write that is repeated
/// looks like a conflict with itself. It then is the last of its subject, or the first after what it
/// expected.
async fn stored_before(
    link: &Link,
    stream: &Stream,
    message: &Publish,
    traits: Traits,
) -> Result<Option<u64>, BusError> {
    let (Some(id), true) = (&message.id, traits.remembers_ids) else {
        return Ok(None);
    };
    let Expect::LastSequence(expected) = message.expect else {
        return Ok(None);
    };
    let (id, subject) = (wire::escape(id), link.names.subject(&message.subject));
    for which in [
        json!({ "last_by_subj": subject }),
        json!({ "next_by_subj": subject, "seq": expected.saturating_add(1) }),
    ] {
        let found = read::raw(link, &stream.name, which).await?;
        let same = |found: &StreamMessage| found.headers.get(wire::ID).is_some_and(|h| h.as_str() == id);
        if let Some(found) = found.filter(same) {
            return Ok(Some(found.sequence));
        }
    }
    Ok(None)
}

/// The conflict with what stands there; `None` where the other write is not to be seen yet.
async fn conflict(
    link: &Link,
    stream: &Stream,
    message: &Publish,
    failure: &Failure,
) -> Result<Option<BusError>, BusError> {
    let Expect::LastSequence(expected) = message.expect else {
        return Ok(None);
    };
    let told = match failure {
        Failure::Refused(refusal) if failure.code() == code::WRONG_LAST => {
            let text = refusal.to_string();
            let after = text.split("wrong last sequence: ").nth(1);
            let digits = after.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
            digits.and_then(|digits| digits.parse::<u64>().ok())
        }
        _ => None,
    };
    let actual = match told {
        Some(actual) => actual,
        None => {
            let last = read::last(link, &stream.name, &message.subject).await?;
            last.map_or(0, |message| message.sequence)
        }
    };
    Ok((actual != expected).then(|| BusError::Conflict {
        subject: message.subject.clone(),
        expected,
        actual,
    }))
}

/// Where nobody takes a message, the stream may be missing, or without a leader.
async fn refused(link: &Link, stream: &Stream, failure: Failure) -> BusError {
    if matches!(failure, Failure::Nobody)
        && let Err(missing) = read::details(link, &stream.name).await
    {
        return missing;
    }
    failure.about(&format!("stream `{}`", stream.name))
}
