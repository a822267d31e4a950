//! `webhook`: any JSON, form or query, sent by HTTP.

use http::Method;
use tiphys_manifest::event_source::Webhook as Config;

use super::{HttpKind, Scope};
use crate::error::Error;
use crate::hook::{self, Auth, Hook, Identity, preset};
use crate::ingress::{Place, Tls};
use crate::secret::Secrets;

/// Largest body where the manifest does not say, as in Argo.
const MAX_BODY: usize = 1 << 20;

/// The kind.
pub(crate) struct Webhook;

impl HttpKind for Webhook {
    const KEY: &'static str = "webhook";
    const TYPE: &'static str = "webhook";
    type Config = Config;

    fn place(config: &Config, secrets: Secrets<'_>) -> Result<Option<Place>, Error> {
        if config.port.is_empty() {
            return Ok(None);
        }
        let port = config.port.parse().map_err(|_| {
            Error::config(format!("`port: {}` is no port", config.port), "use a number up to 65535")
        })?;
        let endpoint = format!("/{}", config.endpoint.trim_start_matches('/'));
        // Argo speaks TLS where both are given. With one of them TLS was wanted, and plain would be a trap.
        let tls = match (&config.server_cert_secret, &config.server_key_secret) {
            (Some(chain), Some(key)) => Some(Tls::new(&secrets.get(chain)?, &secrets.get(key)?)?),
            (None, None) => None,
            _ => {
                return Err(Error::config(
                    "TLS needs both `serverCertSecret` and `serverKeySecret`",
                    "give the other one too; until then the port stays closed",
                ));
            }
        };
        Ok(Some(Place { port, endpoint, tls }))
    }

    fn hook(config: &Config, scope: &Scope, secrets: Secrets<'_>) -> Result<Hook, Error> {
        let preset = config.auth.as_ref().map_or("", |auth| &auth.preset);
        let metadata = if config.metadata.is_empty() {
            String::new()
        } else {
            serde_json::to_string(&config.metadata).map_err(Error::Payload)?
        };
        Ok(Hook {
            method: method(&config.method)?,
            max_body: match config.max_payload_size {
                None | Some(0) => MAX_BODY,
                Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
            },
            auth: Auth::of(config, secrets)?,
            identity: Identity::new(&config.id_header, &config.id_path, preset::find(preset)?)?,
            metadata,
            shape: hook::webhook,
            emitter: scope.emitter(config.filter.as_ref())?,
        })
    }
}

fn method(name: &str) -> Result<Method, Error> {
    let name = name.trim().to_ascii_uppercase();
    match name.as_str() {
        "" | "POST" => Ok(Method::POST),
        "PUT" => Ok(Method::PUT),
        "PATCH" => Ok(Method::PATCH),
        "DELETE" => Ok(Method::DELETE),
        "GET" => Ok(Method::GET),
        _ => Err(Error::config(
            format!("`method: {name}` brings no event"),
            "use POST, PUT, PATCH, DELETE or GET",
        )),
    }
}
