//! Who may speak to the API: a bearer token on every route, also on loopback, and a known Host and Origin.

use std::net::IpAddr;
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
    /// Lets in who brings `token` and asks for one of `hosts` (names without port). Loopback names always count; with
    /// an unspecified address among them (`0.0.0.0`), each address counts.
    #[must_use]
    pub fn new(token: SecretString, hosts: Vec<String>) -> Self {
        Self { token: Arc::new(token), hosts: Arc::new(hosts) }
    }

    fn knows_host(&self, host: &str) -> bool {
        host_name(host).is_some_and(|name| {
            ["localhost", "127.0.0.1", "::1"].iter().any(|known| known.eq_ignore_ascii_case(name))
                || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
                // It listens on all that the machine has. Who lures a browser here does it by a name of his own.
                || (name.parse::<IpAddr>().is_ok() && self.hosts.iter().any(|known| is_unspecified(known)))
        })
    }

    fn check(&self, headers: &HeaderMap, uri_host: Option<&str>) -> Result<(), ApiError> {
        let host = only(headers, header::HOST)?.or(uri_host).unwrap_or_default();
        // A request line with a whole address in it names a host too; the two may not differ in who is meant.
        if let Some(stranger) =
            [Some(host), uri_host].into_iter().flatten().find(|host| !self.knows_host(host))
        {
            return Err(ApiError::new(
                StatusCode::FORBIDDEN,
                format!(
                    "host `{stranger}` is not one of this server's; use an address that it listens on (--host), or a loopback name"
                ),
            ));
        }
        if let Some(origin) = only(headers, header::ORIGIN)? {
            let authority = origin.split_once("://").map_or(origin, |(_, rest)| rest);
            if !authority.eq_ignore_ascii_case(host) {
                return Err(ApiError::new(
                    StatusCode::FORBIDDEN,
                    format!("origin `{origin}` may not use this API"),
                ));
            }
        }
        let given = only(headers, header::AUTHORIZATION)?
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token);
        // Digests have one length, so that the comparison tells nothing of the token's.
        let same = digest(given).ct_eq(&digest(self.token.expose_secret()));
        if bool::from(same) && !given.is_empty() {
            return Ok(());
        }
        let why = if given.is_empty() { "a bearer token is needed" } else { "the bearer token is wrong" };
        Err(ApiError::new(
            StatusCode::UNAUTHORIZED,
            format!("{why}; the server writes the right one to the file `token` in its data folder"),
        ))
    }
}

fn is_unspecified(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

fn digest(text: &str) -> Vec<u8> {
    tiphys_core::id::digest(&[text], 32).into_bytes()
}

/// The one value of a header. Of several, two readers might take different ones.
fn only(headers: &HeaderMap, name: header::HeaderName) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(&name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            format!("header `{name}` is there more than once"),
        ));
    }
    Ok(first.and_then(|value| value.to_str().ok()))
}

/// The name in `name`, `name:port` or `[v6]:port`; nothing where it is anything else.
fn host_name(host: &str) -> Option<&str> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let is_port = |text: &str| text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (port.is_empty() || is_port(port)).then_some(name)
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
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        }
        headers
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

    #[test]
    fn a_server_on_all_addresses_is_asked_by_any_of_them() {
        for (listens, asked, refused) in [
            ("0.0.0.0", "192.0.2.7:2746", false),
            ("::", "[2001:db8::7]:2746", false),
            ("0.0.0.0", "0.0.0.0:2746", false),
            ("0.0.0.0", "evil.example", true),
            ("192.0.2.7", "192.0.2.7", false),
            ("192.0.2.7", "192.0.2.8", true),
            ("127.0.0.1", "192.0.2.7", true),
        ] {
            let guard = Guard::new("s3cret".to_owned().into(), vec![listens.into()]);
            let given = headers(&[("host", asked), ("authorization", "Bearer s3cret")]);
            assert_eq!(guard.check(&given, None).is_err(), refused, "{listens} {asked}");
        }
    }

    #[test]
    fn a_host_is_one_name_in_one_header() {
        let guard = Guard::new("s3cret".to_owned().into(), Vec::new());
        let status = |hosts: &[&str], uri: Option<&str>| {
            let mut all: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
            all.push(("authorization", "bEARER s3cret"));
            guard.check(&headers(&all), uri).err().map(|error| error.status.as_u16())
        };
        for good in ["LOCALHOST", "localhost:80", "[::1]", "[::1]:80"] {
            assert_eq!(status(&[good], None), None, "{good}");
        }
        for bad in
            ["[::1]evil.example", "[::1", "localhost:80:evil", "localhost:evil", "localhost.", "u@localhost"]
        {
            assert_eq!(status(&[bad], None), Some(403), "{bad}");
        }
        assert_eq!(status(&["localhost", "evil.example"], None), Some(400));
        assert_eq!(status(&["localhost"], Some("evil.example")), Some(403));
        assert_eq!(status(&["localhost"], Some("localhost")), None);
        assert_eq!(status(&[], Some("localhost")), None);
        let twice =
            [("host", "localhost"), ("authorization", "Bearer x"), ("authorization", "Bearer s3cret")];
        assert_eq!(guard.check(&headers(&twice), None).err().map(|e| e.status.as_u16()), Some(400));
    }
}
