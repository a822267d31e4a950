//! From a message to an event, in Argo's shape: `{"subject": …, "body": …, "header": …, "metadata": …}`.

use std::collections::BTreeMap;

use async_nats::Message;
use tiphys_manifest::event_source::Nats as Config;

use crate::body;
use crate::emit::{Draft, Native, fingerprint};
use crate::error::Error;
use crate::hook::trace_context;

/// The draft of a message. `native` is its own id, where it has one.
///
/// # Errors
/// Fails where it can never become an event.
pub(super) fn draft(config: &Config, message: &Message, native: Option<String>) -> Result<Draft, Error> {
    let mut out = Vec::with_capacity(message.payload.len() + 256);
    body::member(&mut out, b"{\"subject\":", &message.subject.as_str())?;
    out.extend_from_slice(b",\"body\":");
    body::append(&mut out, &message.payload, config.json_body)?;
    let header = headers(message);
    if !header.is_empty() {
        body::member(&mut out, b",\"header\":", &header)?;
    }
    body::finish(&mut out, &config.metadata)?;
    let mut draft =
        Draft { native: identity(config, message, native), payload: out.into(), ..Draft::default() };
    if let Some(trace) = header.get("traceparent").and_then(|values| trace_context(values.first()?)) {
        draft.attributes.insert("traceparent".into(), trace);
    }
    Ok(draft)
}

/// The id in the header that the manifest names goes before the message's own.
fn identity(config: &Config, message: &Message, own: Option<String>) -> Option<Native> {
    let named = message.headers.as_ref().filter(|_| !config.id_header.is_empty());
    let named = named.and_then(|headers| headers.get(config.id_header.as_str()));
    if let Some(id) = named.map(|value| value.as_str().trim()).filter(|id| !id.is_empty()) {
        return Some(Native { id: id.into(), fingerprint: Some(fingerprint(&message.payload)) });
    }
    own.map(|id| Native { id, fingerprint: None })
}

/// The headers in order of name.
fn headers(message: &Message) -> BTreeMap<&str, Vec<&str>> {
    let all = message.headers.iter().flat_map(|headers| headers.iter());
    all.map(|(name, values)| (name.as_ref(), values.iter().map(|value| value.as_str()).collect())).collect()
}

#[cfg(test)]
mod tests {
    use async_nats::HeaderMap;
    use serde_json::Value;

    use super::*;

    /// What Argo makes of the same message and manifest.
    #[test]
    fn payloads_have_argos_shape() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/data/nats.json")).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let config: Config = serde_json::from_value(vector["config"].clone()).unwrap();
            let mut headers = HeaderMap::new();
            for header in vector["headers"].as_array().unwrap() {
                headers.append(header[0].as_str().unwrap(), header[1].as_str().unwrap());
            }
            let message = Message {
                subject: vector["subject"].as_str().unwrap().into(),
                reply: None,
                payload: vector["data"].as_str().unwrap().to_owned().into(),
                headers: (!headers.is_empty()).then_some(headers),
                status: None,
                description: None,
                length: 0,
            };
            match vector["payload"].as_str() {
                Some(wanted) => {
                    let draft = draft(&config, &message, None).unwrap();
                    assert_eq!(draft.payload, wanted.as_bytes(), "{vector}");
                    let id = draft.native.map(|native| native.id);
                    assert_eq!(id.as_deref(), vector["id"].as_str(), "{vector}");
                }
                None => assert!(draft(&config, &message, None).is_err(), "{vector}"),
            }
        }
    }
}
