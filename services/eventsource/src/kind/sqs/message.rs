//! From a message of SQS to an event, in the shape of Argo's payload.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use tiphys_core::Timestamp;
use tiphys_manifest::event_source::Sqs as Config;

use crate::emit::{Draft, Native, fingerprint};
use crate::error::Error;
use crate::{body, hook};

/// An attribute as Go's client of AWS prints it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute<'a> {
    binary_list_values: Option<Vec<String>>,
    binary_value: Option<String>,
    data_type: &'a str,
    string_list_values: Option<&'a [String]>,
    string_value: Option<&'a str>,
}

impl<'a> Attribute<'a> {
    fn of(value: &'a MessageAttributeValue) -> Self {
        let lists = value.binary_list_values.as_ref();
        Self {
            binary_list_values: lists.map(|list| list.iter().map(|blob| STANDARD.encode(blob)).collect()),
            binary_value: value.binary_value().map(|blob| STANDARD.encode(blob)),
            data_type: value.data_type(),
            string_list_values: value.string_list_values.as_deref(),
            string_value: value.string_value(),
        }
    }
}

/// The event that a message stands for.
///
/// # Errors
/// Fails when the body must be JSON and is not.
pub(super) fn draft(message: &Message, config: &Config) -> Result<Draft, Error> {
    let id = message.message_id().unwrap_or_default();
    let attributes = message.message_attributes.as_ref().filter(|attributes| !attributes.is_empty());
    let printed = attributes.map(|all| {
        all.iter().map(|(name, value)| (name.as_str(), Attribute::of(value))).collect::<BTreeMap<_, _>>()
    });
    let text = message.body().unwrap_or_default();
    let mut payload = Vec::with_capacity(text.len() + 128);
    body::member(&mut payload, b"{\"messageId\":", &id)?;
    body::member(&mut payload, b",\"messageAttributes\":", &printed)?;
    payload.extend_from_slice(b",\"body\":");
    body::append(&mut payload, text.as_bytes(), config.json_body)?;
    body::finish(&mut payload, &config.metadata)?;
    let mut draft = Draft {
        native: Some(native(message, config)),
        payload: Bytes::from(payload),
        occurred: sent(message),
        ..Draft::default()
    };
    let trace = attributes.and_then(|all| all.get("traceparent")?.string_value());
    if let Some(trace) = trace.and_then(hook::trace_context) {
        draft.attributes.insert("traceparent".into(), trace);
    }
    Ok(draft)
}

/// The id that is the same when the message comes again: its own, or, where the manifest trusts senders, theirs.
fn native(message: &Message, config: &Config) -> Native {
    let attributes = message.message_attributes.as_ref().filter(|_| !config.id_attribute.is_empty());
    let theirs = attributes.and_then(|all| all.get(&config.id_attribute)?.string_value());
    match theirs {
        Some(theirs) => {
            let body = message.body().unwrap_or_default().as_bytes();
            Native { id: theirs.into(), fingerprint: Some(fingerprint(body)) }
        }
        None => Native { id: message.message_id().unwrap_or_default().into(), fingerprint: None },
    }
}

/// When SQS took it.
fn sent(message: &Message) -> Option<Timestamp> {
    let attributes = message.attributes.as_ref()?;
    let millis = attributes.get(&MessageSystemAttributeName::SentTimestamp)?.parse().ok()?;
    Timestamp::from_millisecond(millis).ok()
}

/// The group within which a FIFO queue keeps the order.
pub(super) fn group(message: &Message) -> &str {
    let attributes = message.attributes.as_ref();
    let group = attributes.and_then(|all| all.get(&MessageSystemAttributeName::MessageGroupId));
    group.map_or("", String::as_str)
}
