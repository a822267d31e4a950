//! From a message of SQS to an event, in the shape of Argo's payload.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;
use tiphys_core::Timestamp;
use tiphys_manifest::event_source::Sqs as Config;

use crate::emit::{Draft, Native};
use crate::error::Error;
use crate::{hook, json};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload<'a> {
    message_id: &'a str,
    message_attributes: Option<BTreeMap<&'a str, Attribute<'a>>>,
    body: Box<RawValue>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, String>,
}

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
    let payload = Payload {
        message_id: id,
        message_attributes: attributes
            .map(|all| all.iter().map(|(name, value)| (name.as_str(), Attribute::of(value))).collect()),
        body: body(message.body().unwrap_or_default(), config.json_body)?,
        metadata: &config.metadata,
    };
    let mut draft = Draft {
        native: Some(Native { id: id.into(), fingerprint: None }),
        payload: Bytes::from(serde_json::to_vec(&payload).map_err(Error::Payload)?),
        occurred: sent(message),
        ..Draft::default()
    };
    let trace = attributes.and_then(|all| all.get("traceparent")?.string_value());
    if let Some(trace) = trace.and_then(hook::trace_context) {
        draft.attributes.insert("traceparent".into(), trace);
    }
    Ok(draft)
}

fn body(text: &str, is_json: bool) -> Result<Box<RawValue>, Error> {
    let value = if is_json {
        let mut compact = Vec::with_capacity(text.len());
        json::compact(text.as_bytes(), &mut compact)
            .map_err(|wrong| Error::Message { what: wrong.to_string() })?;
        String::from_utf8(compact).map_err(|wrong| Error::Message { what: wrong.to_string() })?
    } else {
        format!("\"{}\"", STANDARD.encode(text))
    };
    RawValue::from_string(value).map_err(Error::Payload)
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
