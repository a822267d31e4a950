//! `spec.nats.<event>`: Argo's members, and ours for JetStream.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BasicAuth, Filter, KeySelector, TlsConfig, lenient};

/// Messages of a NATS server.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Nats {
    /// Servers, joined by commas: `nats://HOST:PORT`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// The subject, wildcards allowed. With `jetstream` it selects within the stream, and may be empty.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub subject: String,
    /// The queue group, whose members share the messages.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub queue: String,
    /// Whether each message is JSON.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub json_body: bool,
    /// Encryption.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsConfig>,
    /// Who we are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<NatsAuth>,
    /// Copied into each payload.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Which messages become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// How Argo tries again. Ours never gives up, with pauses of at most 30 s.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub connection_backoff: Value,
    /// Ours: the header that holds a message's own id. A message that comes again under it is the same event.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub id_header: String,
    /// Ours: reads a stream instead, with acknowledgements.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jetstream: Option<JetStream>,
}

/// `auth`: the first that is given counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct NatsAuth {
    /// A user and a password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic: Option<BasicAuth>,
    /// A token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<KeySelector>,
    /// The seed of an nkey.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nkey: Option<KeySelector>,
    /// The text of a `.creds` file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<KeySelector>,
}

/// `jetstream`: which messages of which stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JetStream {
    /// The stream. It must exist.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub stream: String,
    /// The durable consumer. One that exists is used as it is; else it is made.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub consumer: String,
    /// Where a consumer that is made begins: `all` (the default) or `new`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub deliver_policy: String,
    /// So many messages are under way at once; 256 if absent. 1 keeps the order whatever happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ack_pending: Option<u16>,
}
