//! Looking at a stream without a consumer.
//!
//! Single messages come from the stream's leader, so that whoever reads back what became of a write sees
//! it. Ranges come in batches from any replica; where such a batch ends, the leader is asked whether that
//! is all.

use async_nats::jetstream::message::StreamMessage;
use async_nats::jetstream::stream::{Info, RawMessage};
use async_nats::{Message as Raw, StatusCode};
use futures::StreamExt as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::link::{API, Failure, Link, code, unavailable};
use super::wire;
use crate::error::BusError;
use crate::port::{Message, StreamInfo};

/// Messages asked for at once.
const BATCH: usize = 500;
/// After so many bytes a batch ends.
const BATCH_BYTES: usize = 8 << 20;

fn stream_name(stream: &str) -> String {
    format!("stream `{stream}`")
}

/// All that the server knows of a stream.
pub(super) async fn details(link: &Link, stream: &str) -> Result<Info, BusError> {
    let request = format!("STREAM.INFO.{}", link.names.stream(stream));
    let answer = link.ask(&request, &json!({})).await;
    answer.map_err(|failure| failure.about(&stream_name(stream)))
}

/// How full a stream is.
pub(super) async fn info(link: &Link, stream: &str) -> Result<StreamInfo, BusError> {
    let state = details(link, stream).await?.state;
    Ok(StreamInfo {
        // The server gives the sequence to come when there is none.
        first: if state.messages == 0 { 0 } else { state.first_sequence },
        last: state.last_sequence,
        messages: state.messages,
        bytes: state.bytes,
    })
}

#[derive(Deserialize)]
struct Got {
    message: RawMessage,
}

/// One message from the leader of the stream.
pub(super) async fn one(link: &Link, stream: &str, which: Value) -> Result<Option<Message>, BusError> {
    let raw = raw(link, stream, which).await?;
    raw.map(|raw| wire::stored(&link.names, raw)).transpose()
}

/// One message, with the headers that are the server's.
pub(super) async fn raw(link: &Link, stream: &str, which: Value) -> Result<Option<StreamMessage>, BusError> {
    let request = format!("STREAM.MSG.GET.{}", link.names.stream(stream));
    match link.ask::<Got>(&request, &which).await {
        Ok(got) => StreamMessage::try_from(got.message)
            .map(Some)
            .map_err(|error| unavailable(format!("a stored message that is not understood: {error}"))),
        Err(failure) if failure.code() == code::NO_MESSAGE => Ok(None),
        Err(failure) => Err(failure.about(&stream_name(stream))),
    }
}

/// The last message of a subject.
pub(super) async fn last(link: &Link, stream: &str, subject: &str) -> Result<Option<Message>, BusError> {
    one(link, stream, json!({ "last_by_subj": link.names.subject(subject) })).await
}

/// Up to `max` messages from `from` on.
pub(super) async fn range(
    link: &Link,
    stream: &str,
    filter: Option<&str>,
    from: u64,
    max: usize,
) -> Result<Vec<Message>, BusError> {
    let mut out: Vec<Message> = Vec::new();
    let mut from = from.max(1);
    while out.len() < max {
        link.open()?;
        let batch = batch(link, stream, filter, from, BATCH.min(max - out.len())).await?;
        if batch.is_empty() {
            let which = json!({ "seq": from, "next_by_subj": filter.unwrap_or(">") });
            let Some(message) = one(link, stream, which).await? else {
                break;
            };
            out.push(message);
        }
        out.extend(batch);
        from = out.last().map_or(from, |message| message.sequence + 1);
    }
    Ok(out)
}

async fn batch(
    link: &Link,
    stream: &str,
    filter: Option<&str>,
    from: u64,
    max: usize,
) -> Result<Vec<Message>, BusError> {
    let lost = |error: &dyn std::fmt::Display| unavailable(error.to_string());
    let inbox = link.client.new_inbox();
    let arrivals = link.client.subscribe(inbox.clone()).await;
    let mut arrivals = arrivals.map_err(|error| lost(&error))?;
    let mut body = json!({ "seq": from, "batch": max, "max_bytes": BATCH_BYTES });
    if let (Some(filter), Some(body)) = (filter, body.as_object_mut()) {
        body.insert("next_by_subj".into(), filter.into());
    }
    let request = format!("{API}.DIRECT.GET.{}", link.names.stream(stream));
    let sent = link.client.publish_with_reply(request, inbox, body.to_string().into());
    sent.await.map_err(|error| lost(&error))?;
    let mut out = Vec::new();
    loop {
        let arrived = tokio::time::timeout(link.timeout, arrivals.next()).await;
        let Ok(Some(raw)) = arrived else {
            return Err(unavailable(format!("no answer to a read of stream `{stream}`")));
        };
        match judge(&raw) {
            Piece::Message => out.push(wire::batched(&link.names, raw)?),
            Piece::End => return Ok(out),
            Piece::Nobody => {
                details(link, stream).await?;
                return Err(Failure::Nobody.about(&stream_name(stream)));
            }
            Piece::Refused => {
                return Err(unavailable(format!(
                    "a read of stream `{stream}` is refused: {}",
                    raw.description.unwrap_or_default()
                )));
            }
        }
    }
}

enum Piece {
    Message,
    End,
    Nobody,
    Refused,
}

fn judge(raw: &Raw) -> Piece {
    match raw.status {
        None => Piece::Message,
        Some(StatusCode::NO_RESPONDERS) => Piece::Nobody,
        Some(StatusCode::NOT_FOUND) => Piece::End,
        Some(status) if status.as_u16() == 204 => Piece::End,
        Some(_) => Piece::Refused,
    }
}
