//! How our messages look on the server, and back.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::str::FromStr;

use async_nats::header::HeaderName;
use async_nats::jetstream::message::StreamMessage;
use async_nats::{HeaderMap, Message as Raw};
use tiphys_core::Timestamp;

use super::link::unavailable;
use super::names::Names;
use crate::error::BusError;
use crate::port::{Expect, Message, Publish};
use crate::streams;

/// Headers that begin so are the server's.
const SERVERS: &str = "Nats-";
pub(super) const ID: &str = "Nats-Msg-Id";
const EXPECT: &str = "Nats-Expected-Last-Subject-Sequence";

/// The headers of a message to be stored.
pub(super) fn headers(message: &Publish, with_id: bool) -> Result<Option<HeaderMap>, BusError> {
    let mut out = HeaderMap::new();
    for (name, value) in &message.headers {
        let good =
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':') && !is_servers(name);
        let Some(name) = HeaderName::from_str(name).ok().filter(|_| good) else {
            return Err(BusError::Invalid {
                reason: format!("`{name}` is no name of a header, or one that NATS keeps for itself"),
            });
        };
        out.insert(name, escape(value));
    }
    if let Some(id) = message.id.as_ref().filter(|_| with_id) {
        out.insert(ID, escape(id));
    }
    if let Expect::LastSequence(sequence) = message.expect {
        out.insert(EXPECT, sequence.to_string());
    }
    Ok((!out.is_empty()).then_some(out))
}

/// Bytes that headers take.
pub(super) fn size(headers: &HeaderMap) -> usize {
    let version = "NATS/1.0\r\n\r\n".len();
    let lines = headers.iter().flat_map(|(name, values)| {
        let name: &str = name.as_ref();
        values.iter().map(move |v| name.len() + v.as_str().len() + ": \r\n".len())
    });
    version + lines.sum::<usize>()
}

/// A message that a direct request or a consumer brought.
pub(super) fn message(
    names: &Names,
    subject: &str,
    sequence: u64,
    stored: Timestamp,
    raw: Raw,
) -> Result<Message, BusError> {
    Ok(Message {
        subject: ours(names, subject)?,
        sequence,
        stored,
        headers: raw.headers.as_ref().map(unescape_all).unwrap_or_default(),
        payload: raw.payload,
    })
}

/// A message that a batch brought: what else there is to know stands in its headers.
pub(super) fn batched(names: &Names, raw: Raw) -> Result<Message, BusError> {
    let of = |name: &str| {
        let headers = raw.headers.as_ref();
        headers.and_then(|h| h.get_last(name)).map(|v| v.as_str().to_owned())
    };
    let (subject, sequence, stored) = (of("Nats-Subject"), of("Nats-Sequence"), of("Nats-Time-Stamp"));
    let known = subject.zip(sequence.and_then(|s| s.parse().ok()));
    let Some(((subject, sequence), stored)) = known.zip(stored.and_then(|s| s.parse().ok())) else {
        return Err(unavailable("a stored message came without its subject, sequence or time"));
    };
    message(names, &subject, sequence, stored, raw)
}

/// A message that the leader of the stream brought.
pub(super) fn stored(names: &Names, raw: StreamMessage) -> Result<Message, BusError> {
    Ok(Message {
        subject: ours(names, &raw.subject)?,
        sequence: raw.sequence,
        stored: time(raw.time.unix_timestamp_nanos())?,
        headers: unescape_all(&raw.headers),
        payload: raw.payload,
    })
}

/// The server's time as ours.
pub(super) fn time(nanoseconds: i128) -> Result<Timestamp, BusError> {
    Timestamp::from_nanosecond(nanoseconds)
        .map_err(|error| unavailable(format!("a message has no time that can be: {error}")))
}

fn ours(names: &Names, subject: &str) -> Result<String, BusError> {
    let ours = names.ours(subject).map(ToOwned::to_owned);
    ours.ok_or_else(|| unavailable(format!("a message on the foreign subject `{subject}`")))
}

fn is_servers(name: &str) -> bool {
    name.get(..SERVERS.len()).is_some_and(|start| start.eq_ignore_ascii_case(SERVERS))
}

fn unescape_all(headers: &HeaderMap) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (name, values) in headers.iter() {
        let name: &str = name.as_ref();
        if let Some(value) = values.last().filter(|_| !is_servers(name)) {
            out.insert(name.to_owned(), streams::name_of(value.as_str()));
        }
    }
    out
}

/// A header's value is one line, and loses blanks at its ends.
pub(super) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let end = value.len();
    for (at, character) in value.char_indices() {
        let edge = at == 0 || at + character.len_utf8() == end;
        if character == '%' || character.is_control() || (edge && character.is_whitespace()) {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_value_comes_back() {
        for value in ["", "a", " a b ", "a\r\nb", "100%", "%41", "%", "\u{a0}ü\u{85}", "a: b"] {
            let sent = escape(value);
            assert!(!sent.contains(['\r', '\n']) && sent.trim() == sent, "{sent:?}");
            assert_eq!(streams::name_of(&sent), value);
        }
    }

    #[test]
    fn the_servers_headers_are_not_ours_to_set() {
        for bad in ["Nats-Rollup", "nats-msg-id", "a b", "a:b", ""] {
            let mut message = Publish::new("t.a", "x");
            message.headers.insert(bad.into(), "1".into());
            assert!(headers(&message, true).is_err(), "{bad}");
        }
        let message = Publish::new("t.a", "x").id("1").expect_last(3);
        let all = headers(&message, true).unwrap().unwrap();
        assert_eq!(all.len(), 2);
        assert!(unescape_all(&all).is_empty());
        assert!(headers(&Publish::new("t.a", "x").id("1"), false).unwrap().is_none());
    }
}
