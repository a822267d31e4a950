//! CloudEvents 1.0 over HTTP: binary, structured and batched.
//!
//! The payload keeps Argo's shape: a binary event's data is the body, a structured event's envelope is, and so is
//! each envelope of a batch, which makes an event for each. What the envelope says of identity and time goes to
//! the event's own.

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::value::RawValue;
use tiphys_core::Timestamp;

use crate::emit::Draft;
use crate::ingress::Refusal;

/// The header with the id; naming it by `idHeader` lets the sender choose the identity without authentication.
pub(super) const ID: HeaderName = HeaderName::from_static("ce-id");
/// A batch with more events than this is refused.
const BATCH: usize = 1000;

/// How a request carries CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The context in headers, the data as body.
    Binary,
    /// One envelope as body.
    Structured,
    /// A list of envelopes as body.
    Batch,
}

/// What a CloudEvent says of itself.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Context {
    #[serde(default)]
    id: String,
    #[serde(default)]
    source: String,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    subject: Option<String>,
    #[serde(default)]
    time: Option<String>,
    #[serde(default)]
    traceparent: Option<String>,
}

impl Mode {
    /// How this request does; `None` where it is no CloudEvent.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media = kind.split(';').next().unwrap_or_default().trim();
        if media.eq_ignore_ascii_case("application/cloudevents-batch+json") {
            return Some(Self::Batch);
        }
        if media.eq_ignore_ascii_case("application/cloudevents+json") {
            return Some(Self::Structured);
        }
        (headers.contains_key("ce-specversion") && headers.contains_key(ID)).then_some(Self::Binary)
    }
}

impl Context {
    /// Of a binary event.
    pub(super) fn of_headers(headers: &HeaderMap) -> Self {
        let get = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(decoded);
        let or_empty = |name: &str| get(name).unwrap_or_default();
        Self {
            id: or_empty("ce-id"),
            source: or_empty("ce-source"),
            kind: or_empty("ce-type"),
            subject: get("ce-subject"),
            time: get("ce-time"),
            traceparent: get("ce-traceparent"),
        }
    }

    /// Of an envelope. One that is not what the specification demands is still a webhook's body.
    pub(super) fn of_envelope(text: &[u8]) -> Self {
        serde_json::from_slice(text).unwrap_or_default()
    }

    /// Source and id, which together name the event; `None` where one is missing.
    pub(super) fn native(&self) -> Option<String> {
        (!self.id.is_empty() && !self.source.is_empty()).then(|| format!("{} {}", self.source, self.id))
    }

    /// Puts what it says into the event.
    pub(super) fn describe(&self, draft: &mut Draft) {
        draft.occurred = self.time.as_ref().and_then(|time| time.parse::<Timestamp>().ok());
        let known = [("cesource", Some(&self.source)), ("cetype", Some(&self.kind))];
        let known = known.into_iter().chain([("cesubject", self.subject.as_ref())]);
        for (name, value) in known {
            if let Some(value) = value.filter(|value| !value.is_empty() && value.len() <= 256) {
                draft.attributes.insert(name.into(), value.clone());
            }
        }
        if let Some(trace) = self.traceparent.as_deref().and_then(super::trace_context) {
            draft.attributes.entry("traceparent".into()).or_insert(trace);
        }
    }
}

/// The envelopes of a batch.
pub(super) fn envelopes(body: &Bytes) -> Result<Vec<Bytes>, Refusal> {
    let all: Vec<&RawValue> =
        serde_json::from_slice(body).map_err(|wrong| Refusal::Malformed(format!("no batch: {wrong}")))?;
    if all.len() > BATCH {
        return Err(Refusal::TooLarge);
    }
    if let Some(other) = all.iter().position(|raw| !raw.get().starts_with('{')) {
        return Err(Refusal::Malformed(format!("no batch: element {other} is no object")));
    }
    Ok(all.into_iter().map(|raw| body.slice_ref(raw.get().as_bytes())).collect())
}

/// A header's value with its percent-encoding undone, as the HTTP binding has it.
fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'%').then(|| tail.get(..2).and_then(|two| hex::decode(two).ok())).flatten();
        match code {
            Some(byte) => {
                out.extend(byte);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                out.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_told_by_the_headers() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let pairs = pairs.iter().map(|(n, v)| (HeaderName::from_static(n), v.parse().unwrap()));
            Mode::of(&pairs.collect())
        };
        assert_eq!(of(&[("content-type", "application/json")]), None);
        assert_eq!(of(&[("ce-id", "1")]), None);
        assert_eq!(of(&[("ce-id", "1"), ("ce-specversion", "1.0")]), Some(Mode::Binary));
        let structured = "application/cloudevents+json; charset=utf-8";
        assert_eq!(of(&[("content-type", structured), ("ce-id", "1")]), Some(Mode::Structured));
        assert_eq!(of(&[("content-type", "application/cloudevents-batch+json")]), Some(Mode::Batch));
    }

    #[test]
    fn source_and_id_together_are_the_identity() {
        let native = |text: &str| Context::of_envelope(text.as_bytes()).native();
        assert_eq!(native(r#"{"id":"1","source":"/a"}"#).as_deref(), Some("/a 1"));
        for text in [r#"{"id":"1"}"#, r#"{"source":"/a"}"#, r#"{"id":1,"source":"/a"}"#, "[]"] {
            assert_eq!(native(text), None, "{text}");
        }
    }

    #[test]
    fn headers_are_percent_decoded() {
        assert_eq!(decoded("a%20b%C3%BC"), "a b\u{fc}");
        assert_eq!(decoded("100%"), "100%");
        assert_eq!(decoded("%zz%ff"), "%zz%ff");
    }
}
