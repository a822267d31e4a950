//! How a NATS server is reached, and under which names this installation lives there.

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
    /// Whom we trust and as whom we come; the system's authorities and nobody in particular, if absent.
    pub client: Option<rustls::ClientConfig>,
}

/// Silence for so long makes the client ask whether the server is still there; after the third time it looks for
/// another one.
const PING: Duration = Duration::from_secs(3);

/// Settings of the JetStream adapter.
#[derive(Debug, Clone)]
pub struct JetStreamConfig {
    /// Addresses of servers, joined by commas: `nats://HOST:PORT`.
    pub url: String,
    /// Names this installation; begins every stream and subject. Letters, digits and `-`.
    pub prefix: String,
    /// The namespace whose bus this is. Each has streams of its own, and so limits of its own.
    pub namespace: Option<String>,
    /// What this process is to the server; begins the subjects of answers to it, so that it hears no others'.
    pub role: Option<String>,
    /// Who we are.
    pub credentials: Credentials,
    /// Encryption.
    pub tls: Tls,
    /// On so many servers each message is stored: 1, 3 or 5.
    pub replicas: usize,
    /// Whether this process makes room in full streams; else it is left to one that tends them ([`crate::Bus::tend`]).
    pub trims: bool,
    /// Addresses of the servers' monitoring, such as `http://127.0.0.1:8222`: it alone tells how a server writes to its
    /// disk.
    pub monitors: Vec<String>,
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
            namespace: None,
            role: None,
            credentials: Credentials::None,
            tls: Tls::default(),
            replicas: 1,
            trims: true,
            monitors: Vec::new(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
        }
    }

    /// With which every name on the server begins: of the installation, and of the namespace after `_`, which may
    /// stand in neither.
    #[must_use]
    pub fn root(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}_{namespace}", self.prefix),
            None => self.prefix.clone(),
        }
    }

    /// With which the subjects of answers to this process begin.
    #[must_use]
    pub fn inbox(&self) -> String {
        inbox(&self.root(), self.role.as_deref())
    }

    pub(super) fn check(&self) -> Result<(), BusError> {
        let named = [
            ("prefix", Some(&self.prefix)),
            ("namespace", self.namespace.as_ref()),
            ("role", self.role.as_ref()),
        ];
        for (what, name) in named {
            let good = |name: &String| {
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            };
            if let Some(name) = name.filter(|name| !good(name)) {
                return Err(BusError::Invalid {
                    reason: format!("`{name}` is no {what}: it must be letters, digits and `-`"),
                });
            }
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
            .name(format!("tiphys {} {}", self.root(), self.role.as_deref().unwrap_or_default()).trim_end())
            .custom_inbox_prefix(self.inbox())
            .ping_interval(PING)
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
        if let Some(client) = &self.tls.client {
            options = options.tls_client_config(client.clone());
        }
        Ok(options.require_tls(self.tls.required))
    }
}

/// With which the subjects of answers to a role begin.
pub(super) fn inbox(root: &str, role: Option<&str>) -> String {
    format!("_INBOX.{root}.{}", role.unwrap_or("any"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_refused() {
        for bad in ["", "a.b", "a b", "a>", "a_b"] {
            assert!(JetStreamConfig::new("u", bad).check().is_err(), "{bad}");
        }
        let mut config = JetStreamConfig::new("u", "tiphys-1");
        assert!(config.check().is_ok());
        config.replicas = 0;
        assert!(config.check().is_err());
    }

    #[test]
    fn namespaces_of_installations_do_not_meet() {
        let root = |prefix: &str, namespace: Option<&str>| {
            let config = JetStreamConfig::new("u", prefix);
            JetStreamConfig { namespace: namespace.map(Into::into), ..config }.root()
        };
        let all = [
            root("a", None),
            root("a-b", None),
            root("a", Some("b")),
            root("a-b", Some("c")),
            root("a", Some("b-c")),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len(), "{all:?}");
    }

    #[test]
    fn bad_credentials_are_refused_and_not_shown() {
        let mut config = JetStreamConfig::new("u", "t");
        config.credentials = Credentials::Creds(SecretString::from("s3cret"));
        let refused = config.connect_options().err().unwrap().to_string();
        assert!(!refused.contains("s3cret") && !format!("{config:?}").contains("s3cret"));
    }
}
