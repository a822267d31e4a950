//! A message, and the event that it becomes.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rdkafka::Message;
use rdkafka::message::{BorrowedMessage, Headers as _};
use tiphys_manifest::event_source::Kafka as Config;

use crate::body;
use crate::emit::{Draft, Native};
use crate::error::Error;
use crate::{go, hook};

/// A message that was received, with what the payload is made of.
#[derive(Debug, Clone)]
pub(super) struct Received {
    pub(super) offset: i64,
    /// None is Kafka's null, by which a compacted topic says that a key is gone.
    value: Option<Bytes>,
    key: Bytes,
    /// Milliseconds since 1970; -1 where there is none.
    time: i64,
    headers: BTreeMap<String, String>,
}

impl Received {
    pub(super) fn of(message: &BorrowedMessage<'_>) -> Self {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter()).map(|header| {
            (header.key.to_owned(), String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned())
        });
        Self {
            offset: message.offset(),
            value: message.payload().map(Bytes::copy_from_slice),
            key: Bytes::copy_from_slice(message.key().unwrap_or_default()),
            time: message.timestamp().to_millis().unwrap_or(-1),
            headers: headers.collect(),
        }
    }

    /// The message as it came.
    pub(super) fn raw(&self) -> &[u8] {
        self.value.as_deref().unwrap_or_default()
    }

    /// Empty where there is none.
    pub(super) const fn key(&self) -> &Bytes {
        &self.key
    }

    /// The message's own id. With its time, offsets of a topic that was made anew are others.
    pub(super) fn native(&self, cluster: &str, topic: &str, partition: i32) -> String {
        format!("{cluster}/{topic}/{partition}/{}/{}", self.offset, self.time)
    }

    /// Argo's payload: `topic`, `key`, `partition`, `body`, `timestamp`, `headers`, `metadata`.
    pub(super) fn draft(&self, config: &Config, partition: i32, native: &str) -> Result<Draft, Error> {
        let occurred = Timestamp::from_millisecond(self.time).ok().filter(|_| self.time >= 0);
        let mut out = Vec::with_capacity(self.raw().len() + 256);
        body::member(&mut out, b"{\"topic\":", &config.topic)?;
        body::member(&mut out, b",\"key\":", &String::from_utf8_lossy(&self.key))?;
        body::member(&mut out, b",\"partition\":", &partition)?;
        out.extend_from_slice(b",\"body\":");
        match &self.value {
            Some(value) => body::append(&mut out, value, config.json_body)?,
            None => out.extend_from_slice(b"null"),
        }
        let time = occurred.unwrap_or(Timestamp::UNIX_EPOCH);
        body::member(&mut out, b",\"timestamp\":", &go::time_text(time, &TimeZone::UTC))?;
        body::member(&mut out, b",\"headers\":", &self.headers)?;
        body::finish(&mut out, &config.metadata)?;
        let mut attributes = BTreeMap::new();
        let trace = self.headers.get("traceparent").and_then(|text| hook::trace_context(text));
        attributes.extend(trace.map(|trace| ("traceparent".to_owned(), trace)));
        Ok(Draft {
            native: Some(Native { id: native.to_owned(), fingerprint: None }),
            payload: out.into(),
            occurred,
            attributes,
            blob: None,
        })
    }
}
