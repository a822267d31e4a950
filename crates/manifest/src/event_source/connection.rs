//! What several kinds say about their connection.

use serde::{Deserialize, Serialize};

use super::KeySelector;

/// `tls`: how the connection is encrypted. Certificates and keys are PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlsConfig {
    /// Authorities to trust in the place of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_cert_secret: Option<KeySelector>,
    /// Our certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert_secret: Option<KeySelector>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_secret: Option<KeySelector>,
    /// Whether any certificate is good; the other members then count for nothing, as in Argo.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub insecure_skip_verify: bool,
    /// TLS without any of the above.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub enabled: bool,
}

/// `basic`: a user and a password.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BasicAuth {
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<KeySelector>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<KeySelector>,
}
