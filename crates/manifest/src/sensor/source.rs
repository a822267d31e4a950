//! Where a trigger's resource comes from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lenient;

/// The source of a resource. The first that is set counts, in the order of these fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArtifactLocation {
    /// An object in S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Artifact>,
    /// The text itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<String>,
    /// A file of the sensor's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<FileArtifact>,
    /// An address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<UrlArtifact>,
    /// A file of a git repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git: Option<GitArtifact>,
    /// A key of a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configmap: Option<KeySelector>,
    /// The object itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<Value>,
}

/// A key of a ConfigMap or Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KeySelector {
    /// Name of the object.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
    /// The key in it.
    #[serde(deserialize_with = "lenient::or_default")]
    pub key: String,
    /// Whether it may be absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
}

/// A file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FileArtifact {
    /// Its path.
    #[serde(deserialize_with = "lenient::or_default")]
    pub path: String,
}

/// An address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UrlArtifact {
    /// The address.
    #[serde(deserialize_with = "lenient::or_default")]
    pub path: String,
    /// Whether the server's certificate is verified.
    #[serde(deserialize_with = "lenient::or_default")]
    pub verify_cert: bool,
}

/// An object in S3.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct S3Artifact {
    /// The server.
    #[serde(deserialize_with = "lenient::or_default")]
    pub endpoint: String,
    /// `name` and `key`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub bucket: BTreeMap<String, String>,
    /// The region.
    #[serde(deserialize_with = "lenient::or_default")]
    pub region: String,
    /// Plain HTTP.
    #[serde(deserialize_with = "lenient::or_default")]
    pub insecure: bool,
    /// The key's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key: Option<KeySelector>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<KeySelector>,
    /// The authority that the server's certificate is verified against.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<KeySelector>,
    /// Accepted; of no meaning for a trigger.
    #[serde(deserialize_with = "lenient::or_default")]
    pub events: Vec<String>,
    /// Accepted; of no meaning for a trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// Accepted; of no meaning for a trigger.
    #[serde(deserialize_with = "lenient::or_default")]
    pub metadata: BTreeMap<String, String>,
}

/// A file of a git repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GitArtifact {
    /// The repository.
    #[serde(deserialize_with = "lenient::or_default")]
    pub url: String,
    /// Where it is cloned to.
    #[serde(deserialize_with = "lenient::or_default")]
    pub clone_directory: String,
    /// The file in it.
    #[serde(deserialize_with = "lenient::or_default")]
    pub file_path: String,
    /// A branch.
    #[serde(deserialize_with = "lenient::or_default")]
    pub branch: String,
    /// A tag.
    #[serde(deserialize_with = "lenient::or_default")]
    pub tag: String,
    /// Any reference.
    #[serde(rename = "ref", deserialize_with = "lenient::or_default")]
    pub reference: String,
    /// `username` and `password`, as key selectors.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creds: Option<Value>,
    /// A private key for SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_key_secret: Option<KeySelector>,
    /// Skips the check of the host's key.
    #[serde(deserialize_with = "lenient::or_default")]
    pub insecure_ignore_host_key: bool,
    /// Another remote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<Value>,
}
