//! `spec.generic.<event>`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Filter, KeySelector, lenient};

/// Events of a server that somebody else wrote, over gRPC.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Generic {
    /// The server, as `HOST:PORT`.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub url: String,
    /// Text for the server.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub config: String,
    /// Whether the connection is not encrypted.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Whether each payload is JSON.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "std::ops::Not::not")]
    pub json_body: bool,
    /// Copied into each payload.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The bearer token that the server is shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_secret: Option<KeySelector>,
    /// Which payloads become events.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Filter>,
    /// Ours: the gjson path of an event's own id within a JSON payload. An event that comes again under it is the
    /// same one.
    #[serde(deserialize_with = "lenient::or_default", skip_serializing_if = "String::is_empty")]
    pub id_path: String,
}
