//! Where an artifact lies, in Argo's words, and as one text for journals, pods and stores.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A place in a store with the namespace whose Secrets open it. It holds their names only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Location {
    /// Namespace of the Secrets: the workflow's.
    pub namespace: String,
    /// The place.
    #[serde(flatten)]
    pub place: Place,
}

impl Location {
    /// The location as a text, to be used as a key.
    ///
    /// # Errors
    /// Never in practice: all its parts are texts.
    pub fn text(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }

    /// Reads a key. `None`: it is a plain one, of the executor's own folder.
    ///
    /// # Errors
    /// When it looks like a location and is none, as one that a newer version wrote.
    pub fn read(key: &str) -> Result<Option<Self>, String> {
        if !key.starts_with('{') {
            return Ok(None);
        }
        let read = serde_json::from_str(key);
        read.map(Some).map_err(|error| format!("the location of an artifact cannot be read: {error}"))
    }
}

/// A key of a Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecretKey {
    /// Name of the Secret.
    pub name: String,
    /// Its key.
    pub key: String,
}

/// Members of a place that mean nothing here; each is refused by name.
type Others = BTreeMap<String, Value>;

/// A place in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Place {
    /// A bucket of Amazon S3, or of a server that speaks as it does.
    S3(S3),
    /// A bucket of Google Cloud Storage.
    Gcs(Gcs),
    /// A container of Azure Blob Storage.
    Azure(Azure),
    /// A URL.
    Http(Http),
    /// A git repository.
    Git(Git),
}

/// See [`Place::S3`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct S3 {
    /// Host and port, such as `s3.amazonaws.com` or `minio:9000`.
    pub endpoint: String,
    /// The bucket.
    pub bucket: String,
    /// Its region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Key in the bucket.
    pub key: String,
    /// Without TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure: Option<bool>,
    /// The access key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_key_secret: Option<SecretKey>,
    /// The secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_secret: Option<SecretKey>,
    /// The token of a session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_token_secret: Option<SecretKey>,
    /// The executor's own identity opens the bucket.
    #[serde(rename = "useSDKCreds", skip_serializing_if = "Option::is_none")]
    pub use_sdk_creds: Option<bool>,
    /// A certificate that the server's is signed with, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret: Option<SecretKey>,
    /// `path` or `virtual-hosted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub addressing_style: Option<String>,
    #[serde(flatten)]
    others: Others,
}

/// See [`Place::Gcs`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Gcs {
    /// The bucket.
    pub bucket: String,
    /// Key in the bucket.
    pub key: String,
    /// The JSON key of a service account; without it the executor's own identity opens the bucket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_key_secret: Option<SecretKey>,
    #[serde(flatten)]
    others: Others,
}

/// See [`Place::Azure`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Azure {
    /// URL of the account, such as `https://ACCOUNT.blob.core.windows.net`.
    pub endpoint: String,
    /// The container.
    pub container: String,
    /// Name of the blob.
    pub blob: String,
    /// The account's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_key_secret: Option<SecretKey>,
    /// The executor's own identity opens the container.
    #[serde(rename = "useSDKCreds", skip_serializing_if = "Option::is_none")]
    pub use_sdk_creds: Option<bool>,
    #[serde(flatten)]
    others: Others,
}

/// See [`Place::Http`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Http {
    /// The URL.
    pub url: String,
    /// Headers of the request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Header>,
    /// How the request is authenticated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<HttpAuth>,
    #[serde(flatten)]
    others: Others,
}

/// A header.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Header {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// How a request is authenticated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuth {
    /// By name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// By a token that a client gets for its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oauth2: Option<Oauth2>,
    /// By a certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<ClientCertificate>,
}

/// Name and password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BasicAuth {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_secret: Option<SecretKey>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<SecretKey>,
}

/// OAuth 2 client credentials.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Oauth2 {
    /// The client's id.
    #[serde(rename = "clientIDSecret", skip_serializing_if = "Option::is_none")]
    pub client_id_secret: Option<SecretKey>,
    /// The client's secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_secret: Option<SecretKey>,
    /// Where tokens are given.
    #[serde(rename = "tokenURLSecret", skip_serializing_if = "Option::is_none")]
    pub token_url_secret: Option<SecretKey>,
    /// What is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// More members of the request for a token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint_params: Vec<Parameter>,
}

/// A member of a request for a token.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Parameter {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A client's certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ClientCertificate {
    /// The certificate, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert_secret: Option<SecretKey>,
    /// Its key, as PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_secret: Option<SecretKey>,
}

/// See [`Place::Git`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Git {
    /// URL of the repository.
    pub repo: String,
    /// A commit, tag or branch; without it the branch, or what the repository has as its head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// A branch to clone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// So many commits of its history; all without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// More references to fetch.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fetch: Vec<String>,
    /// Only the branch is fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub single_branch: Option<bool>,
    /// Submodules stay empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_submodules: Option<bool>,
    /// Name for HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username_secret: Option<SecretKey>,
    /// Password or token for HTTPS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<SecretKey>,
    /// Private key for SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssh_private_key_secret: Option<SecretKey>,
    /// Whoever answers by SSH is taken for the right one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_ignore_host_key: Option<bool>,
    /// Whoever answers by HTTPS is taken for the right one.
    #[serde(rename = "insecureSkipTLS", skip_serializing_if = "Option::is_none")]
    pub insecure_skip_tls: Option<bool>,
    #[serde(flatten)]
    others: Others,
}

impl Place {
    /// Reads a place of a manifest, tags replaced; `kind` is the member that holds it.
    ///
    /// # Errors
    /// Says what is wrong with it, or not supported and what to do.
    pub fn of(kind: &str, written: &Value) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("{kind}: {error}");
        let value = without_nulls(written);
        let place = match kind {
            "s3" => Self::S3(serde_json::from_value(value).map_err(wrong)?),
            "gcs" => Self::Gcs(serde_json::from_value(value).map_err(wrong)?),
            "azure" => Self::Azure(serde_json::from_value(value).map_err(wrong)?),
            "http" => Self::Http(serde_json::from_value(value).map_err(wrong)?),
            "git" => Self::Git(serde_json::from_value(value).map_err(wrong)?),
            _ => return Err(unsupported(kind)),
        };
        match place.others().keys().next() {
            Some(member) => Err(refused(kind, member)),
            None => Ok(place),
        }
    }

    fn others(&self) -> &Others {
        match self {
            Self::S3(place) => &place.others,
            Self::Gcs(place) => &place.others,
            Self::Azure(place) => &place.others,
            Self::Http(place) => &place.others,
            Self::Git(place) => &place.others,
        }
    }

    /// The key in its bucket or container; empty where it has none.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Self::S3(place) => &place.key,
            Self::Gcs(place) => &place.key,
            Self::Azure(place) => &place.blob,
            Self::Http(place) => &place.url,
            Self::Git(place) => &place.repo,
        }
    }

    /// The same store with another key. A URL and a repository stay as they are.
    #[must_use]
    pub fn with_key(mut self, key: &str) -> Self {
        match &mut self {
            Self::S3(place) => key.clone_into(&mut place.key),
            Self::Gcs(place) => key.clone_into(&mut place.key),
            Self::Azure(place) => key.clone_into(&mut place.blob),
            Self::Http(_) | Self::Git(_) => {}
        }
        self
    }

    /// Whether it names its store, and not only a key in the workflow's.
    #[must_use]
    pub fn names_store(&self) -> bool {
        match self {
            Self::S3(place) => !place.bucket.is_empty() || !place.endpoint.is_empty(),
            Self::Gcs(place) => !place.bucket.is_empty(),
            Self::Azure(place) => !place.container.is_empty() || !place.endpoint.is_empty(),
            Self::Http(_) | Self::Git(_) => true,
        }
    }

    /// What is missing of a place that names its store.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        let lacks = |text: &str, name| text.is_empty().then_some(name);
        match self {
            Self::S3(place) => lacks(&place.endpoint, "endpoint").or(lacks(&place.bucket, "bucket")),
            Self::Gcs(place) => lacks(&place.bucket, "bucket"),
            Self::Azure(place) => lacks(&place.endpoint, "endpoint").or(lacks(&place.container, "container")),
            Self::Http(place) => lacks(&place.url, "url"),
            Self::Git(place) => lacks(&place.repo, "repo"),
        }
    }
}

/// A member that says nothing is as good as absent.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// What is said of a kind of store that is none of ours.
pub(crate) fn unsupported(kind: &str) -> String {
    let instead = match kind {
        "oss" => "use s3 with the bucket's S3 endpoint, such as oss-eu-central-1.aliyuncs.com",
        "hdfs" => "use http with the WebHDFS URL of the file",
        "artifactory" => "use http with the URL of the file and basicAuth",
        _ => "use s3, gcs, azure, http, git or raw",
    };
    format!("an artifact in `{kind}` is not supported (TIP-EXE-100): {instead}")
}

fn refused(kind: &str, member: &str) -> String {
    let instead = match member {
        "roleARN" => "give keys of the role (accessKeySecret, secretKeySecret, sessionTokenSecret)",
        "createBucketIfNotPresent" => "make the bucket by hand and leave this out",
        "encryptionOptions" => "set the encryption as the bucket's default and leave this out",
        _ => "leave it out",
    };
    format!("`{kind}.{member}` is not supported (TIP-EXE-100): {instead}")
}

#[cfg(test)]
mod tests;
