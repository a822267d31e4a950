//! How a NATS server is reached, and under which names this installation lives there.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::ConnectOptions;
use secrecy::{ExposeSecret, SecretString};

use crate::error::BusError;

/// Who we are to the server.
#[derive(Debug, Clone, Default)]
pub enum Credentials {
    /// Nobody in particular.
    #[default]
    None,
    /// A shared token.
    Token(SecretString),
    /// A user with a password.
    Password {
        /// The user.
        user: String,
        /// Its password.
        password: SecretString,
    },
    /// The seed of an nkey.
    Nkey(SecretString),
    /// The text of a `.creds` file: a JWT and the seed that goes with it.
    Creds(SecretString),
}

/// How the connection is encrypted, where the address alone does not say it.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Refuses a server that does not encrypt.
    pub required: bool,
    /// A file of certificates of authorities to trust, beside those of the system.
    pub authorities: Option<PathBuf>,
    /// Our own certificate and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// Settings of the JetStream adapter.
#[derive(Debug, Clone)]
pub struct JetStreamConfig {
    /// Addresses of servers, joined by commas: `nats://HOST:PORT`.
    pub url: String,
    /// Names this installation; begins every stream and subject. Letters, digits, `-` and `_`.
    pub prefix: String,
    /// Who we are.
    pub credentials: Credentials,
    /// Encryption.
    pub tls: Tls,
    /// On so many servers each message is stored: 1, 3 or 5.
    pub replicas: usize,
    /// For so long a first connection may take.
    pub connect_timeout: Duration,
    /// After so long without an answer the result of a request counts as unknown.
    pub request_timeout: Duration,
}

impl JetStreamConfig {
    /// One server, no credentials.
    #[must_use]
    pub fn new(url: impl Into<String>, prefix: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            prefix: prefix.into(),
            credentials: Credentials::None,
            tls: Tls::default(),
            replicas: 1,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn check(&self) -> Result<(), BusError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if self.prefix.is_empty() || !self.prefix.bytes().all(good) {
            return Err(BusError::Invalid {
                reason: format!("`{}` is no prefix: it must be letters, digits, `-` and `_`", self.prefix),
            });
        }
        if !(1..=5).contains(&self.replicas) {
            return Err(BusError::Invalid {
                reason: format!("{} replicas are not offered: 1 to 5 are", self.replicas),
            });
        }
        Ok(())
    }

    pub(super) fn connect_options(&self) -> Result<ConnectOptions, BusError> {
        let plain = ConnectOptions::new()
            .name(format!("tiphys {}", self.prefix))
            .connection_timeout(self.connect_timeout)
            .request_timeout(Some(self.request_timeout))
            .reconnect_delay_callback(|attempts| {
                let doublings = u32::try_from(attempts).unwrap_or(u32::MAX).min(7);
                Duration::from_millis(10 * 2u64.pow(doublings))
            });
        let mut options = match &self.credentials {
            Credentials::None => plain,
            Credentials::Token(token) => plain.token(token.expose_secret().into()),
            Credentials::Password { user, password } => {
                plain.user_and_password(user.clone(), password.expose_secret().into())
            }
            Credentials::Nkey(seed) => plain.nkey(seed.expose_secret().into()),
            Credentials::Creds(text) => {
                plain.credentials(text.expose_secret()).map_err(|_| BusError::Invalid {
                    reason:
                        "the text given as NATS credentials is none: a `.creds` file holds a JWT and a seed"
                            .into(),
                })?
            }
        };
        if let Some(file) = &self.tls.authorities {
            options = options.add_root_certificates(file.clone());
        }
        if let Some((certificate, key)) = &self.tls.client {
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
        Ok(options.require_tls(self.tls.required))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_refused() {
        for bad in ["", "a.b", "a b", "a>"] {
            assert!(JetStreamConfig::new("u", bad).check().is_err(), "{bad}");
        }
        let mut config = JetStreamConfig::new("u", "tiphys-1");
        assert!(config.check().is_ok());
        config.replicas = 0;
        assert!(config.check().is_err());
    }

    #[test]
    fn bad_credentials_are_refused_and_not_shown() {
        let mut config = JetStreamConfig::new("u", "t");
        config.credentials = Credentials::Creds(SecretString::from("s3cret"));
        let refused = config.connect_options().err().unwrap().to_string();
        assert!(!refused.contains("s3cret") && !format!("{config:?}").contains("s3cret"));
    }
}
