//! Who may speak to the API: a bearer token on every route, also on loopback, and a known Host and Origin.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

use crate::error::ApiError;

/// The door.
#[derive(Debug, Clone)]
pub struct Guard {
    token: Arc<SecretString>,
    hosts: Arc<Vec<String>>,
}

impl Guard {
    /// Lets in who brings `token` and asks for one of `hosts` (names without port). Loopback names always count.
    #[must_use]
    pub fn new(token: SecretString, hosts: Vec<String>) -> Self {
        Self { token: Arc::new(token), hosts: Arc::new(hosts) }
    }

    fn knows_host(&self, host: &str) -> bool {
        let name = host_name(host);
        matches!(name, "localhost" | "127.0.0.1" | "::1")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    fn check(&self, headers: &HeaderMap, uri_host: Option<&str>) -> Result<(), ApiError> {
        let host = text(headers, header::HOST).or(uri_host).unwrap_or_default();
        if !self.knows_host(host) {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!(
                    "host `{host}` is not one of this server's; start it with --host or use a loopback name"
                ),
            ));
        }
        if let Some(origin) = text(headers, header::ORIGIN) {
            let authority = origin.split_once("://").map_or(origin, |(_, rest)| rest);
            if !authority.eq_ignore_ascii_case(host) {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    format!("origin `{origin}` may not use this API"),
                ));
            }
        }
        let given = text(headers, header::AUTHORIZATION)
            .and_then(|value| value.strip_prefix("Bearer ").or_else(|| value.strip_prefix("bearer ")))
            .unwrap_or_default();
        // Digests have one length, so that the comparison tells nothing of the token's.
        let same = digest(given).ct_eq(&digest(self.token.expose_secret()));
        if bool::from(same) && !given.is_empty() {
            return Ok(());
        }
        Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            "a bearer token is needed; `tiphys dev` writes one to the file `token` in its data folder",
        ))
    }
}

fn digest(text: &str) -> Vec<u8> {
    tiphys_core::id::digest(&[text], 32).into_bytes()
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The name in `name:port` or `[v6]:port`.
fn host_name(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':').map_or(host, |(name, _)| name)
}

/// The middleware.
pub(crate) async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    match guard.check(request.headers(), request.uri().host()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(k, v)| (http::HeaderName::from_bytes(k.as_bytes()).unwrap(), v.parse().unwrap()))
            .collect()
    }

    #[test]
    fn who_gets_in() {
        let guard = Guard::new("s3cret".to_owned().into(), vec!["tiphys.example".into()]);
        type Case<'a> = (&'a [(&'a str, &'a str)], Option<u16>);
        let cases: &[Case<'_>] = &[
            (&[("host", "127.0.0.1:2746"), ("authorization", "Bearer s3cret")], None),
            (&[("host", "[::1]:2746"), ("authorization", "Bearer s3cret")], None),
            (&[("host", "tiphys.example"), ("authorization", "Bearer s3cret")], None),
            (&[("host", "localhost:1")], Some(401)),
            (&[("host", "localhost:1"), ("authorization", "Bearer ")], Some(401)),
            (&[("host", "localhost:1"), ("authorization", "Bearer s3cret2")], Some(401)),
            (&[("host", "localhost:1"), ("authorization", "Basic s3cret")], Some(401)),
            (&[("host", "evil.example"), ("authorization", "Bearer s3cret")], Some(403)),
            (
                &[("host", "localhost:1"), ("origin", "http://evil"), ("authorization", "Bearer s3cret")],
                Some(403),
            ),
            (
                &[
                    ("host", "localhost:1"),
                    ("origin", "http://localhost:1"),
                    ("authorization", "Bearer s3cret"),
                ],
                None,
            ),
        ];
        for (given, refused) in cases {
            let status = guard.check(&headers(given), None).err().map(|e| e.status.as_u16());
            assert_eq!(status, *refused, "{given:?}");
        }
    }
}
