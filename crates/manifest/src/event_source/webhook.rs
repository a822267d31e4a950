//! `spec.webhook.<event>`: Argo's members, and ours for authentication and identity.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Filter, KeySelector, lenient};

/// An event that comes by HTTP request.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Webhook {
    /// Path on the event's own port.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// `POST` if empty; `PUT`, `PATCH`, `DELETE` and `GET` are possible.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// The event's own port. Text or number; if empty, only the canonical address is served.
    #[serde(deserialize_with = "lenient::text_or_number", skip_serializing_if = "String::is_empty")]
    pub port: String,
    /// Public base address; Argo registers it with some senders.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Certificate chain in PEM. TLS is spoken where certificate and key are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_cert_secret: Option<KeySelector>,
    /// Private key in PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_key_secret: Option<KeySelector>,
    /// The bearer token that a request must bring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<KeySelector>,
    /// Largest body in bytes; 1 MiB if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_payload_size: Option<u64>,
    /// Copied into each payload.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// Which requests become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Ours: header that carries the sender's id of the message.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub id_header: String,
    /// Ours: gjson path of the sender's id of the message in the body.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub id_path: String,
    /// Ours: who may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
}

/// Who may send. Where several schemes are given, a request must satisfy each.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Auth {
    /// A secret in a header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKey>,
    /// A secret in `Authorization: Bearer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bearer: Option<Bearer>,
    /// A signature over the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hmac: Option<Hmac>,
    /// A known sender: its scheme (with `secrets`), and the place of its message id.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub preset: String,
    /// Secrets of the preset's scheme; any of them is good.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<KeySelector>,
}

/// A secret in a header.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiKey {
    /// The header; `X-Api-Key` if empty.
    #[serde(deserialize_with = "lenient::or_default")]
    pub header: String,
    /// Any of them is good, so that a secret can be exchanged without a gap.
    pub secrets: Vec<KeySelector>,
}

/// A secret in `Authorization: Bearer`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Bearer {
    /// Any of them is good.
    pub secrets: Vec<KeySelector>,
}

/// A signature over the raw body.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Hmac {
    /// The header that carries the signature.
    pub header: String,
    /// Which hash.
    pub algorithm: Algorithm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What stands before it in the header, such as `sha256=`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub prefix: String,
    /// Any of them is good.
    pub secrets: Vec<KeySelector>,
}

/// A hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-1, for old senders.
    Sha1,
}

/// How bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal, of either case.
    #[default]
    Hex,
    /// Base64.
    Base64,
}
