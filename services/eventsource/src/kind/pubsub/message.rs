//! From a message to an event, in Argo's shape:
//! `{"id": …, "body": …, "attributes": …, "publishTime": …, "metadata": …}`.

use std::collections::BTreeMap;

use google_cloud_pubsub::model::Message;
use jiff::tz::TimeZone;
use tiphys_core::Timestamp;
use tiphys_manifest::event_source::PubSub as Config;

use crate::emit::{Draft, Native, fingerprint};
use crate::error::Error;
use crate::hook::trace_context;
use crate::{body, go};

/// Attributes in which a trace comes: of the standard, and of Google's clients.
const TRACES: [&str; 2] = ["traceparent", "googclient_traceparent"];

/// The sender's id of a message where the manifest names its attribute, else the message's own. An emulator that was
/// restarted counts from one again, so the time of publication tells two messages apart that have one id.
pub(super) fn native(message: &Message, config: &Config, subscription: &str) -> Native {
    let named = Some(&config.id_attribute).filter(|name| !name.is_empty());
    match named.and_then(|name| message.attributes.get(name)).filter(|id| !id.is_empty()) {
        Some(theirs) => Native { id: theirs.clone(), fingerprint: Some(fingerprint(&message.data)) },
        None => Native {
            id: format!("{subscription}/{}", message.message_id),
            fingerprint: Some(published(message).to_string()),
        },
    }
}

/// The draft of a message.
///
/// # Errors
/// Fails where it can never become an event.
pub(super) fn draft(message: &Message, config: &Config, subscription: &str) -> Result<Draft, Error> {
    let time = published(message);
    let mut out = Vec::with_capacity(message.data.len() + 256);
    body::member(&mut out, b"{\"id\":", &message.message_id)?;
    out.extend_from_slice(b",\"body\":");
    // A message may be nothing but attributes.
    match message.data.is_empty() {
        true => out.extend_from_slice(b"null"),
        false => body::append(&mut out, &message.data, config.json_body)?,
    }
    let attributes: BTreeMap<&String, &String> = message.attributes.iter().collect();
    let attributes = Some(attributes).filter(|attributes| !attributes.is_empty());
    body::member(&mut out, b",\"attributes\":", &attributes)?;
    body::member(&mut out, b",\"publishTime\":", &go::time_text(time, &TimeZone::UTC))?;
    body::finish(&mut out, &config.metadata)?;
    let mut draft = Draft {
        native: Some(native(message, config, subscription)),
        payload: out.into(),
        occurred: message.publish_time.is_some().then_some(time),
        ..Draft::default()
    };
    let trace = TRACES.iter().find_map(|name| message.attributes.get(*name));
    if let Some(trace) = trace.and_then(|text| trace_context(text)) {
        draft.attributes.insert("traceparent".into(), trace);
    }
    Ok(draft)
}

/// When it was published; the beginning of Unix time where nobody knows, as in Go.
fn published(message: &Message) -> Timestamp {
    let time = message.publish_time.as_ref();
    time.and_then(|time| Timestamp::new(time.seconds(), time.nanos()).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    /// What Argo makes of the same message and manifest.
    #[test]
    fn payloads_have_argos_shape() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../tests/data/pubsub.json")).unwrap();
        assert!(!vectors.is_empty());
        for vector in vectors {
            let config: Config = serde_json::from_value(vector["config"].clone()).unwrap();
            let message: Message = serde_json::from_value(vector["message"].clone()).unwrap();
            let drafted = draft(&message, &config, "projects/p/subscriptions/s");
            match vector["payload"].as_str() {
                Some(wanted) => {
                    let drafted = drafted.unwrap();
                    assert_eq!(std::str::from_utf8(&drafted.payload).unwrap(), wanted, "{vector}");
                    let id = vector["id"].as_str().unwrap_or("projects/p/subscriptions/s/7");
                    assert_eq!(drafted.native.unwrap().id, id, "{vector}");
                }
                None => assert!(drafted.is_err(), "{vector}"),
            }
        }
    }
}
