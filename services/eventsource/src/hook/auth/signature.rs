//! Signatures over the raw body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret as _, SecretSlice, SecretString};
use sha1::Sha1;
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq as _};
use tiphys_core::Timestamp;
use tiphys_manifest::event_source::webhook::{Algorithm, Encoding};

use crate::error::Error;

/// Header of Standard Webhooks that carries the signatures.
pub(super) static STANDARD_HEADER: HeaderName = HeaderName::from_static("webhook-signature");
/// How far a signed time may be from ours.
const TOLERANCE_SECONDS: i64 = 300;
/// Signatures looked at in one request; more than any sender needs while it rotates keys.
const MAX_SIGNATURES: usize = 16;

/// An HMAC over the body in a header, alone or in a list.
#[derive(Debug)]
pub(super) struct Signature {
    header: HeaderName,
    prefix: String,
    algorithm: Algorithm,
    encoding: Encoding,
    keys: Vec<SecretSlice<u8>>,
}

impl Signature {
    pub(super) fn new(
        header: HeaderName,
        prefix: &str,
        algorithm: Algorithm,
        encoding: Encoding,
        keys: &[SecretString],
    ) -> Result<Self, Error> {
        let bytes = |key: &SecretString| SecretSlice::from(key.expose_secret().as_bytes().to_vec());
        Ok(Self {
            header,
            prefix: prefix.to_owned(),
            algorithm,
            encoding,
            keys: keys.iter().map(bytes).collect(),
        })
    }

    pub(super) const fn header(&self) -> &HeaderName {
        &self.header
    }

    pub(super) fn good(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let given = list(headers, &self.header, ',').filter_map(|text| {
            let text = text.strip_prefix(self.prefix.as_str())?;
            match self.encoding {
                Encoding::Hex => hex::decode(text).ok(),
                Encoding::Base64 => STANDARD.decode(text).ok(),
            }
        });
        let given: Vec<_> = given.take(MAX_SIGNATURES).collect();
        any_good(&self.keys, &given, self.algorithm, &[body])
    }
}

/// Standard Webhooks 1.0 with symmetric keys.
#[derive(Debug)]
pub(super) struct Standard {
    keys: Vec<SecretSlice<u8>>,
}

impl Standard {
    pub(super) fn new(keys: &[SecretString]) -> Result<Self, Error> {
        let decode = |key: &SecretString| {
            let text = key.expose_secret();
            let bytes = STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text));
            bytes.map(SecretSlice::from).map_err(|_| {
                Error::config(
                    "a secret of Standard Webhooks is not `whsec_` and base64",
                    "copy the signing secret from the sender as it stands there",
                )
            })
        };
        Ok(Self { keys: keys.iter().map(decode).collect::<Result<_, _>>()? })
    }

    /// Whether id, time and signature are there, and the time is near ours: an old request that somebody
    /// kept is refused.
    pub(super) fn is_timely(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        let sent = text(headers, "webhook-timestamp").and_then(|text| text.parse::<i64>().ok());
        let id = text(headers, "webhook-id").unwrap_or_default();
        // A dot in the id would let parts of id, time and body change places under one signature.
        let id_is_good = !id.is_empty() && !id.contains('.');
        let near =
            sent.is_some_and(|sent| sent.abs_diff(now.as_second()) <= TOLERANCE_SECONDS.unsigned_abs());
        id_is_good && near && headers.contains_key(&STANDARD_HEADER)
    }

    pub(super) fn good(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let (Some(id), Some(sent)) = (text(headers, "webhook-id"), text(headers, "webhook-timestamp")) else {
            return false;
        };
        let given = list(headers, &STANDARD_HEADER, ' ')
            .filter_map(|text| STANDARD.decode(text.strip_prefix("v1,")?).ok());
        let given: Vec<_> = given.take(MAX_SIGNATURES).collect();
        let signed = [id.as_bytes(), b".", sent.as_bytes(), b".", body];
        any_good(&self.keys, &given, Algorithm::Sha256, &signed)
    }
}

/// Whether any signature fits any key. All are tried, so that the time tells nothing.
fn any_good(keys: &[SecretSlice<u8>], given: &[Vec<u8>], algorithm: Algorithm, signed: &[&[u8]]) -> bool {
    let mut good = Choice::from(0);
    for key in keys {
        let expected = mac(algorithm, key.expose_secret(), signed);
        for one in given.iter().filter(|one| !one.is_empty()) {
            good |= expected.as_slice().ct_eq(one.as_slice());
        }
    }
    good.into()
}

fn mac(algorithm: Algorithm, key: &[u8], signed: &[&[u8]]) -> Vec<u8> {
    macro_rules! over {
        ($hash:ty) => {
            // A key of any length is a key; the empty answer, which fits nothing, is never given.
            Hmac::<$hash>::new_from_slice(key).map_or_else(
                |_| Vec::new(),
                |mut mac| {
                    signed.iter().for_each(|part| mac.update(part));
                    mac.finalize().into_bytes().to_vec()
                },
            )
        };
    }
    match algorithm {
        Algorithm::Sha256 => over!(Sha256),
        Algorithm::Sha1 => over!(Sha1),
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The entries of a header that may be a list.
fn list<'a>(headers: &'a HeaderMap, name: &'a HeaderName, separator: char) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).iter().filter_map(|v| v.to_str().ok());
    values.flat_map(move |value| value.split(separator)).map(str::trim)
}
