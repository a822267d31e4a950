//! What one HTTP event demands of a request, and what it makes of it.

mod auth;
mod cloudevent;
mod identity;
mod payload;
pub(crate) mod preset;
pub mod raw;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, Method};

pub(crate) use auth::Auth;
use cloudevent::{Context, Mode};
pub(crate) use identity::Identity;
pub(crate) use payload::webhook;

use crate::emit::{Draft, Emitter, Native, fingerprint};
use crate::ingress::Refusal;

/// A request whose sender is known as far as the manifest demands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received<'a> {
    /// Method, address and headers.
    pub(crate) parts: &'a Parts,
    /// The bytes that were sent.
    pub(crate) body: &'a Bytes,
    /// Headers whose values do not go into the event.
    pub(crate) masked: &'a [HeaderName],
    /// `metadata` of the manifest as a JSON text, or empty.
    pub(crate) metadata: &'a str,
}

/// A request as the sensor will see it.
#[derive(Debug, Clone)]
pub(crate) struct Shaped {
    /// The payload, one JSON text.
    pub(crate) payload: Vec<u8>,
    /// Where in it the body stands.
    pub(crate) body: std::ops::Range<usize>,
    /// How to get from there to the bytes that were sent.
    pub(crate) raw: raw::Raw,
}

/// Makes the payload of a request; one for each kind.
pub(crate) type Shape = fn(&Received<'_>) -> Result<Shaped, Refusal>;

/// An HTTP event, ready to receive.
#[derive(Debug)]
pub(crate) struct Hook {
    /// The method it takes.
    pub(crate) method: Method,
    /// Largest body in bytes.
    pub(crate) max_body: usize,
    /// Who may send.
    pub(crate) auth: Auth,
    /// Where the sender's id of the message stands.
    pub(crate) identity: Identity,
    /// `metadata` of the manifest as a JSON text, or empty.
    pub(crate) metadata: String,
    /// What the payload looks like.
    pub(crate) shape: Shape,
    /// Where the event goes.
    pub(crate) emitter: Emitter,
}

impl Hook {
    /// Makes the drafts of a request that was let in: one, or one for each event of a batch.
    pub(crate) fn drafts(&self, parts: &Parts, body: &Bytes) -> Result<Vec<Draft>, Refusal> {
        match Mode::of(&parts.headers) {
            None => Ok(vec![self.draft(parts, body, None)?]),
            Some(Mode::Binary) => {
                Ok(vec![self.draft(parts, body, Some(&Context::of_headers(&parts.headers)))?])
            }
            Some(Mode::Structured) => Ok(vec![self.draft(parts, body, Some(&Context::of_envelope(body)))?]),
            Some(Mode::Batch) => {
                let envelopes = cloudevent::envelopes(body)?;
                let one =
                    |envelope: &Bytes| self.draft(parts, envelope, Some(&Context::of_envelope(envelope)));
                envelopes.iter().map(one).collect()
            }
        }
    }

    fn draft(&self, parts: &Parts, body: &Bytes, context: Option<&Context>) -> Result<Draft, Refusal> {
        let shaped =
            (self.shape)(&Received { parts, body, masked: self.auth.masked(), metadata: &self.metadata })?;
        let text = shaped.payload.get(shaped.body.clone()).unwrap_or_default();
        let authenticated = self.auth.authenticates();
        let native = match context.filter(|_| authenticated || self.identity.header_is(&cloudevent::ID)) {
            Some(context) => context.native(),
            None => self.identity.of(&parts.headers, text, authenticated),
        };
        let native = native.map(|id| Native {
            id,
            fingerprint: Some(fingerprint(if body.is_empty() { text } else { body })),
        });
        let mut draft = Draft { native, payload: shaped.payload.into(), ..Draft::default() };
        let trace = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        if let Some(trace) = trace.and_then(trace_context) {
            draft.attributes.insert("traceparent".into(), trace);
        }
        if let Some(context) = context {
            context.describe(&mut draft);
        }
        shaped.raw.keep(body, &mut draft);
        Ok(draft)
    }
}

/// The W3C trace context, where it has its form.
pub(crate) fn trace_context(text: &str) -> Option<String> {
    let shape = text.len() == 55 && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit());
    shape.then(|| text.to_owned())
}
