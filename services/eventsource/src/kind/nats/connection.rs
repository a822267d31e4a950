//! The connection: who we are, what we believe, and what the client says of it.

use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use secrecy::{ExposeSecret as _, SecretString};
use tiphys_core::chain;
use tiphys_kit::tls::{self, Material};
use tiphys_manifest::event_source::nats::NatsAuth;
use tiphys_manifest::event_source::{KeySelector, Nats as Config, TlsConfig};
use tokio::sync::mpsc;

use crate::error::Error;
use crate::kind::Scope;

/// For so long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// So often a lost connection is made again at once, within about a second; then the source starts anew, with the
/// Secrets as they are then.
const TRIES: usize = 8;
/// Signs of the client that wait to be read.
const SIGNS: usize = 64;
/// At the end what was sent may take so long to leave.
const FLUSH: Duration = Duration::from_secs(2);

/// What the client says about its connection.
#[derive(Debug)]
pub(super) enum Sign {
    /// It is there again.
    Connected,
    /// It is lost; the client tries again.
    Lost,
    /// A message was thrown away, since the buffer was full.
    Dropped,
    /// The server refuses something.
    Refused(String),
}

/// A connection, and what is said of it.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) signs: mpsc::Receiver<Sign>,
}

impl Connection {
    /// Connects; `capacity` messages of a subscription wait in memory.
    ///
    /// # Errors
    /// Says what is missing, or why the server does not let us in.
    pub(super) async fn open(config: &Config, scope: &Scope, capacity: usize) -> Result<Self, Error> {
        let (tell, signs) = mpsc::channel(SIGNS);
        let origin = &scope.origin;
        let options = options(config, scope)?
            .name(format!("tiphys {}/{}/{}", origin.namespace, origin.source, origin.event))
            .subscription_capacity(capacity)
            .event_callback(move |event| {
                if let Some(sign) = sign(event) {
                    // A full channel holds enough bad news.
                    let _ = tell.try_send(sign);
                }
                std::future::ready(())
            });
        let servers: Vec<&str> = config.url.split(',').map(str::trim).collect();
        let client = options.connect(servers).await.map_err(|error| refused(&error))?;
        Ok(Self { client, signs })
    }

    /// Sends what is still to be sent.
    pub(super) async fn close(self) {
        // Best effort: what is not acked comes again.
        let _ = tokio::time::timeout(FLUSH, self.client.flush()).await;
    }
}

fn sign(event: Event) -> Option<Sign> {
    match event {
        Event::Connected => Some(Sign::Connected),
        Event::Disconnected => Some(Sign::Lost),
        Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => Some(Sign::Dropped),
        Event::ServerError(error) => Some(Sign::Refused(error.to_string())),
        Event::ClientError(_) | Event::LameDuckMode | Event::Draining | Event::Closed => None,
    }
}

fn refused(error: &async_nats::ConnectError) -> Error {
    match error.kind() {
        ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => Error::upstream(
            "the NATS server refuses our credentials",
            "correct `auth` of the event, or the Secret that it names",
        ),
        ConnectErrorKind::Tls => Error::upstream(
            format!("no encrypted connection to NATS: {}", chain(error)),
            "see whether `tls.caCertSecret` of the event holds the authority of the server's certificate",
        ),
        _ => Error::upstream(
            format!("no connection to NATS: {}", chain(error)),
            "see whether the server runs, and `url` of the event",
        ),
    }
}

/// The connection is gone and does not come back by itself.
pub(super) fn lost() -> Error {
    Error::upstream("the connection to NATS is lost", "see whether the server runs; it is tried again")
}

fn options(config: &Config, scope: &Scope) -> Result<ConnectOptions, Error> {
    let plain = ConnectOptions::new()
        .connection_timeout(CONNECT)
        .max_reconnects(TRIES)
        .reconnect_delay_callback(|attempt| match u32::try_from(attempt) {
            Ok(0 | 1) => Duration::ZERO,
            Ok(attempt) => Duration::from_millis(10 << (attempt - 2).min(6)),
            Err(_) => Duration::from_secs(1),
        });
    let options = authenticate(plain, config.auth.as_ref(), scope)?;
    match &config.tls {
        Some(tls) => encrypt(options, tls, scope),
        None => Ok(options),
    }
}

fn authenticate(
    options: ConnectOptions,
    auth: Option<&NatsAuth>,
    scope: &Scope,
) -> Result<ConnectOptions, Error> {
    let Some(auth) = auth else { return Ok(options) };
    let text =
        |selector: &KeySelector| scope.secret(selector).map(|secret| secret.expose_secret().to_owned());
    if let Some(basic) = &auth.basic {
        let part = |selector: &Option<KeySelector>| selector.as_ref().map(text).transpose();
        let (user, password) = (part(&basic.username)?, part(&basic.password)?);
        return Ok(options.user_and_password(user.unwrap_or_default(), password.unwrap_or_default()));
    }
    if let Some(token) = &auth.token {
        return Ok(options.token(text(token)?));
    }
    if let Some(seed) = &auth.nkey {
        return Ok(options.nkey(text(seed)?.trim().to_owned()));
    }
    if let Some(credential) = &auth.credential {
        return options.credentials(&text(credential)?).map_err(|_| {
            Error::config(
                "the Secret of `auth.credential` holds no NATS credentials",
                "store the text of a `.creds` file in it: a JWT and a seed",
            )
        });
    }
    Ok(options)
}

fn encrypt(options: ConnectOptions, tls: &TlsConfig, scope: &Scope) -> Result<ConnectOptions, Error> {
    let secret = |selector: &Option<KeySelector>| -> Result<Option<SecretString>, Error> {
        let selector = selector.as_ref().filter(|_| !tls.insecure_skip_verify);
        selector.map(|selector| scope.secret(selector)).transpose()
    };
    let authorities = secret(&tls.ca_cert_secret)?;
    let (certificate, key) = (secret(&tls.client_cert_secret)?, secret(&tls.client_key_secret)?);
    if certificate.is_some() != key.is_some() {
        return Err(Error::config(
            "`tls` has a client certificate without key, or a key without certificate",
            "give both `clientCertSecret` and `clientKeySecret`, or none",
        ));
    }
    let material = Material {
        authorities: authorities.as_ref().map(|text| text.expose_secret()),
        identity: certificate.as_ref().zip(key.as_ref()).map(|(c, k)| (c.expose_secret(), k.expose_secret())),
        skip_verification: tls.insecure_skip_verify,
    };
    let config = tls::client(material)
        .map_err(|wrong| Error::config(format!("`tls`: {wrong}"), "correct the Secret that it names"))?;
    Ok(options.require_tls(true).tls_client_config(config))
}
