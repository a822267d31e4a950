//! How records lie on disk, format 1. Each begins with a byte that tells its version.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};
use tiphys_core::Timestamp;

use super::{Body, Record, Remembered, SavedConsumer, StreamNumber};
use crate::error::BusError;
use crate::port::StreamConfig;

/// The version of every record of format 1.
const VERSION: u8 = 1;

/// What is kept beside a message, to be read at start without the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) subject: Arc<str>,
    pub(crate) stored: Timestamp,
    pub(crate) size: u64,
    pub(crate) id: Option<String>,
}

/// Key of what belongs to one message: stream, then sequence, in the order of their values.
pub(crate) fn key(stream: StreamNumber, sequence: u64) -> [u8; 10] {
    let mut key = [0; 10];
    let (front, back) = key.split_at_mut(2);
    front.copy_from_slice(&stream.to_be_bytes());
    back.copy_from_slice(&sequence.to_be_bytes());
    key
}

/// Undoes [`key`].
pub(crate) fn read_key(mut key: &[u8]) -> Result<(StreamNumber, u64), BusError> {
    Ok((key.try_get_u16().map_err(short)?, key.try_get_u64().map_err(short)?))
}

/// A message without what [`index`] holds.
pub(crate) fn body(body: &Body) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + body.payload.len());
    out.put_u8(VERSION);
    out.put_u32(length(body.headers.len()));
    for (name, value) in &body.headers {
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    out.put_slice(&body.payload);
    out
}

/// Undoes [`body`].
pub(crate) fn read_body(mut from: &[u8]) -> Result<Body, BusError> {
    expect_version(&mut from)?;
    let count = from.try_get_u32().map_err(short)?;
    let mut headers = BTreeMap::new();
    for _ in 0..count {
        headers.insert(text(&mut from)?, text(&mut from)?);
    }
    let payload = Bytes::copy_from_slice(from);
    Ok(Body { headers, payload })
}

/// What is kept beside a message.
pub(crate) fn index(record: &Record) -> Vec<u8> {
    let id = record.id.as_deref();
    let mut out = Vec::with_capacity(64 + record.subject.len() + id.map_or(0, str::len));
    out.put_u8(VERSION);
    put_time(&mut out, record.stored);
    out.put_u64(record.body.payload.len() as u64);
    put_text(&mut out, &record.subject);
    if let Some(id) = id {
        put_text(&mut out, id);
    }
    out
}

/// Undoes [`index`].
pub(crate) fn read_index(mut from: &[u8]) -> Result<Index, BusError> {
    expect_version(&mut from)?;
    Ok(Index {
        stored: time(&mut from)?,
        size: from.try_get_u64().map_err(short)?,
        subject: text(&mut from)?.into(),
        id: match from.is_empty() {
            true => None,
            false => Some(text(&mut from)?),
        },
    })
}

/// The id of a removed message.
pub(crate) fn remembered(remembered: &Remembered) -> Vec<u8> {
    let mut out = Vec::with_capacity(24 + remembered.id.len());
    out.put_u8(VERSION);
    put_time(&mut out, remembered.stored);
    put_text(&mut out, &remembered.id);
    out
}

/// Undoes [`remembered`].
pub(crate) fn read_remembered(mut from: &[u8]) -> Result<Remembered, BusError> {
    expect_version(&mut from)?;
    Ok(Remembered { stored: time(&mut from)?, id: text(&mut from)? })
}

/// The last sequence given, and when.
pub(crate) fn head(last: u64, stored: Timestamp) -> Vec<u8> {
    let mut out = Vec::with_capacity(21);
    out.put_u8(VERSION);
    out.put_u64(last);
    put_time(&mut out, stored);
    out
}

/// Undoes [`head`].
pub(crate) fn read_head(mut from: &[u8]) -> Result<(u64, Timestamp), BusError> {
    expect_version(&mut from)?;
    Ok((from.try_get_u64().map_err(short)?, time(&mut from)?))
}

/// A number.
pub(crate) fn number(value: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(9);
    out.put_u8(VERSION);
    out.put_u64(value);
    out
}

/// Undoes [`number`].
pub(crate) fn read_number(mut from: &[u8]) -> Result<u64, BusError> {
    expect_version(&mut from)?;
    from.try_get_u64().map_err(short)
}

#[derive(Serialize, Deserialize)]
struct StreamRecord {
    name: String,
    max_messages: u64,
    max_bytes: u64,
    max_age: Duration,
    duplicate_window: Duration,
    last_per_subject: bool,
    trim_acked: bool,
}

/// The limits of a stream.
pub(crate) fn stream(config: &StreamConfig) -> Result<Vec<u8>, BusError> {
    json(&StreamRecord {
        name: config.name.clone(),
        max_messages: config.max_messages,
        max_bytes: config.max_bytes,
        max_age: config.max_age,
        duplicate_window: config.duplicate_window,
        last_per_subject: config.last_per_subject,
        trim_acked: config.trim_acked,
    })
}

/// Undoes [`stream`].
pub(crate) fn read_stream(from: &[u8]) -> Result<StreamConfig, BusError> {
    let record: StreamRecord = read_json(from)?;
    Ok(StreamConfig {
        name: record.name,
        max_messages: record.max_messages,
        max_bytes: record.max_bytes,
        max_age: record.max_age,
        duplicate_window: record.duplicate_window,
        last_per_subject: record.last_per_subject,
        trim_acked: record.trim_acked,
    })
}

#[derive(Serialize, Deserialize)]
struct ConsumerRecord {
    filters: Vec<String>,
    ack_wait: Duration,
    max_ack_pending: usize,
    begun_after: u64,
    next: u64,
    unsettled: Vec<(u64, u32)>,
}

/// A consumer.
pub(crate) fn consumer(saved: &SavedConsumer) -> Result<Vec<u8>, BusError> {
    let saved = saved.clone();
    json(&ConsumerRecord {
        filters: saved.filters,
        ack_wait: saved.ack_wait,
        max_ack_pending: saved.max_ack_pending,
        begun_after: saved.begun_after,
        next: saved.next,
        unsettled: saved.unsettled,
    })
}

/// Undoes [`consumer`].
pub(crate) fn read_consumer(from: &[u8]) -> Result<SavedConsumer, BusError> {
    let record: ConsumerRecord = read_json(from)?;
    Ok(SavedConsumer {
        filters: record.filters,
        ack_wait: record.ack_wait,
        max_ack_pending: record.max_ack_pending,
        begun_after: record.begun_after,
        next: record.next,
        unsettled: record.unsettled,
    })
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, BusError> {
    let mut out = vec![VERSION];
    serde_json::to_writer(&mut out, value).map_err(damaged)?;
    Ok(out)
}

fn read_json<'a, T: Deserialize<'a>>(mut from: &'a [u8]) -> Result<T, BusError> {
    expect_version(&mut from)?;
    serde_json::from_slice(from).map_err(damaged)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    out.put_u32(length(text.len()));
    out.put_slice(text.as_bytes());
}

fn text(from: &mut &[u8]) -> Result<String, BusError> {
    let size = from.try_get_u32().map_err(short)? as usize;
    let Some((text, rest)) = from.split_at_checked(size) else {
        return Err(damaged("a text ends early"));
    };
    *from = rest;
    String::from_utf8(text.to_vec()).map_err(damaged)
}

fn put_time(out: &mut Vec<u8>, time: Timestamp) {
    out.put_i64(time.as_second());
    out.put_i32(time.subsec_nanosecond());
}

fn time(from: &mut &[u8]) -> Result<Timestamp, BusError> {
    let second = from.try_get_i64().map_err(short)?;
    let nanosecond = from.try_get_i32().map_err(short)?;
    Timestamp::new(second, nanosecond).map_err(damaged)
}

/// Messages are limited far below what this cannot hold.
fn length(size: usize) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

fn expect_version(from: &mut &[u8]) -> Result<(), BusError> {
    match from.try_get_u8().map_err(short)? {
        VERSION => Ok(()),
        other => Err(damaged(format!("its version is {other}"))),
    }
}

fn short(error: bytes::TryGetError) -> BusError {
    damaged(error)
}

fn damaged(why: impl ToString) -> BusError {
    BusError::Unavailable { reason: format!("a stored record cannot be read: {}", why.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: Option<&str>) -> Record {
        Record {
            subject: "a.b".into(),
            id: id.map(Into::into),
            stored: "2026-01-02T03:04:05.000000006Z".parse().unwrap(),
            body: Body {
                headers: BTreeMap::from([("k".into(), "v".into())]),
                payload: Bytes::from_static(b"payload"),
            },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for id in [None, Some("id")] {
            let record = record(id);
            let read = read_index(&index(&record)).unwrap();
            assert_eq!((&*read.subject, read.stored), ("a.b", record.stored));
            assert_eq!((read.size, read.id.as_deref()), (7, id));
            assert_eq!(read_body(&body(&record.body)).unwrap(), record.body);
        }
        let saved = SavedConsumer {
            filters: vec!["a.>".into()],
            ack_wait: Duration::from_millis(1500),
            max_ack_pending: 3,
            begun_after: 4,
            next: 9,
            unsettled: vec![(5, 1), (7, 2)],
        };
        assert_eq!(read_consumer(&consumer(&saved).unwrap()).unwrap(), saved);
        assert_eq!(read_key(&key(3, 1 << 40)).unwrap(), (3, 1 << 40));
    }

    #[test]
    fn damage_is_an_error() {
        let good = index(&record(Some("id")));
        for end in 0..good.len() {
            // Without its id a record is whole; it is the store that keeps the lengths of values.
            let whole = end == good.len() - "id".len() - 4;
            assert_eq!(read_index(&good[..end]).is_ok(), whole, "{end}");
        }
        assert!(read_body(&[2, 0, 0, 0, 0]).is_err());
    }
}
