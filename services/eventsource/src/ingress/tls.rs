//! Certificates of webhooks' own ports.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::Error;

/// A certificate with its key, ready to serve. Two of the same text are equal.
#[derive(Clone)]
pub(crate) struct Tls {
    fingerprint: String,
    pub(crate) config: Arc<ServerConfig>,
}

impl Tls {
    /// Reads a chain and a key in PEM.
    pub(crate) fn new(chain: &SecretString, key: &SecretString) -> Result<Self, Error> {
        let wrong = |what: &str, reason: String| {
            Error::config(
                format!("the {what} of the webhook's port cannot be used: {reason}"),
                "store certificate chain and private key as PEM; until then the port stays closed",
            )
        };
        let (chain, key) = (chain.expose_secret(), key.expose_secret());
        let fingerprint = tiphys_core::id::digest(&[chain, key], 32);
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|reason| wrong("certificate", reason.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|reason| wrong("private key", reason.to_string()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|reason| wrong("TLS set-up", reason.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|reason| wrong("certificate", reason.to_string()))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { fingerprint, config: Arc::new(config) })
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprint == other.fingerprint
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}
