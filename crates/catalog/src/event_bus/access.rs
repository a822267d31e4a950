//! Who we are to the server, and whom we believe.

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::Value;
use tiphys_bus::jetstream::Credentials;
use tiphys_kit::tls::{self, Material};
use tiphys_manifest::event_source::{KeySelector, TlsConfig};

/// How a seed of a user begins.
const SEED: &str = "SU";
const CREDS: &str = "-----BEGIN NATS USER JWT-----";

/// What Argo's code reads from the Secret, and what we add.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Access {
    #[serde(alias = "Username")]
    username: Option<String>,
    #[serde(alias = "Password")]
    password: Option<SecretString>,
    #[serde(alias = "Token")]
    token: Option<SecretString>,
    nkey: Option<SecretString>,
    creds: Option<SecretString>,
}

/// The credentials in a Secret. Argo's code wants YAML with `username` and `password`, its documentation a bare
/// password or token; both are taken. Ours are `nkey` (a seed) and `creds` (the text of such a file), bare or in YAML.
pub(super) fn credentials(value: &SecretString, url: &str) -> Result<Credentials, String> {
    let text = value.expose_secret().trim();
    if text.starts_with(CREDS) {
        return Ok(Credentials::Creds(text.into()));
    }
    if let Ok(access) = serde_saphyr::from_str::<Access>(text) {
        match access {
            Access { creds: Some(creds), .. } => return Ok(Credentials::Creds(creds)),
            Access { nkey: Some(seed), .. } => return Ok(Credentials::Nkey(seed)),
            Access { token: Some(token), .. } => return Ok(Credentials::Token(token)),
            Access { username: Some(user), password: Some(password), .. } => {
                return Ok(Credentials::Password { user, password });
            }
            Access { username: None, password: None, .. } => {}
            _ => return Err("the Secret needs both `username` and `password`".into()),
        }
    }
    if text.is_empty() {
        return Err("the Secret is empty".into());
    }
    let of_seed =
        |text: &str| text.len() == 58 && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    if text.starts_with(SEED) && of_seed(text) {
        return Ok(Credentials::Nkey(text.into()));
    }
    // `nats://USER@HOST`: the password of that user.
    let user = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    Ok(match user.filter(|user| !user.contains([':', '/'])) {
        Some(user) => Credentials::Password { user: user.into(), password: text.into() },
        None => Credentials::Token(text.into()),
    })
}

/// `tls` of an EventBus, whose members are Argo's of every `tls`.
pub(super) fn tls(
    value: &Value,
    secret: impl Fn(&str, &str) -> Result<SecretString, String>,
) -> Result<rustls::ClientConfig, String> {
    let config: TlsConfig =
        serde_json::from_value(value.clone()).map_err(|error| format!("`tls`: {error}"))?;
    let text = |selector: &Option<KeySelector>| {
        let selector = selector.as_ref().filter(|_| !config.insecure_skip_verify);
        selector.map(|selector| secret(&selector.name, &selector.key)).transpose()
    };
    let authorities = text(&config.ca_cert_secret)?;
    let (certificate, key) = (text(&config.client_cert_secret)?, text(&config.client_key_secret)?);
    if certificate.is_some() != key.is_some() {
        return Err("`tls`: `clientCertSecret` and `clientKeySecret` go together".into());
    }
    let shown = |text: &Option<SecretString>| text.as_ref().map(|text| text.expose_secret().to_owned());
    let (certificate, key) = (shown(&certificate), shown(&key));
    let material = Material {
        authorities: authorities.as_ref().map(|text| text.expose_secret()),
        identity: certificate.as_deref().zip(key.as_deref()),
        skip_verification: config.insecure_skip_verify,
    };
    tls::client(material).map_err(|wrong| format!("`tls`: {wrong}"))
}
