//! Who may send. Secrets are compared in constant time; several may be good at once, for rotation.

mod signature;

use std::fmt;

use http::{HeaderMap, HeaderName, header};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};
use tiphys_core::Timestamp;
use tiphys_manifest::event_source::Webhook;
use tiphys_manifest::event_source::webhook::Auth as Spec;

use self::signature::{Signature, Standard};
use super::identity::header_name;
use super::preset::{self, Scheme};
use crate::error::Error;
use crate::ingress::Refusal;
use crate::secret::Secrets;

/// What a request must bring. Each check must pass.
#[derive(Debug, Default)]
pub(crate) struct Auth {
    checks: Vec<Check>,
    masked: Vec<HeaderName>,
}

#[derive(Debug)]
enum Check {
    Token(Token),
    Signature(Signature),
    Standard(Standard),
}

/// A secret in a header. Only digests are kept, which have one length.
struct Token {
    header: HeaderName,
    bearer: bool,
    digests: Vec<[u8; 32]>,
}

impl Auth {
    /// The checks of a webhook: `authSecret` and all that stands below `auth`.
    ///
    /// # Errors
    /// Fails when a secret is missing, or a scheme would let nobody or everybody in.
    pub(crate) fn of(webhook: &Webhook, secrets: Secrets<'_>) -> Result<Self, Error> {
        let mut auth = Self::default();
        if let Some(selector) = &webhook.auth_secret {
            let keys = secrets.all(std::slice::from_ref(selector), "authSecret")?;
            auth.token(header::AUTHORIZATION, true, &keys);
        }
        if let Some(spec) = &webhook.auth {
            auth.add(spec, secrets)?;
        }
        Ok(auth)
    }

    fn add(&mut self, spec: &Spec, secrets: Secrets<'_>) -> Result<(), Error> {
        if let Some(key) = &spec.api_key {
            let name = match key.header.as_str() {
                "" => "x-api-key",
                name => name,
            };
            let keys = secrets.all(&key.secrets, "auth.apiKey")?;
            self.token(header_name(name, "auth.apiKey.header")?, false, &keys);
        }
        if let Some(bearer) = &spec.bearer {
            let keys = secrets.all(&bearer.secrets, "auth.bearer")?;
            self.token(header::AUTHORIZATION, true, &keys);
        }
        if let Some(hmac) = &spec.hmac {
            let keys = secrets.all(&hmac.secrets, "auth.hmac")?;
            let header = header_name(&hmac.header, "auth.hmac.header")?;
            self.signature(Signature::new(header, &hmac.prefix, hmac.algorithm, hmac.encoding, &keys)?);
        }
        let preset = preset::find(&spec.preset)?;
        match preset {
            Some(preset) if !spec.secrets.is_empty() => {
                let keys = secrets.all(&spec.secrets, "auth")?;
                self.preset(preset.scheme, &keys)?;
            }
            None if !spec.secrets.is_empty() => {
                return Err(Error::config(
                    "`auth.secrets` belongs to a preset, and none is named",
                    "name the sender in `auth.preset`, or put the secrets below `apiKey`, `bearer` or `hmac`",
                ));
            }
            _ => {}
        }
        if self.checks.is_empty() {
            return Err(Error::config(
                "`auth` checks nothing, so everybody could send",
                "give `secrets` to the preset, or use `apiKey`, `bearer` or `hmac`; remove `auth` to let everybody in",
            ));
        }
        Ok(())
    }

    fn preset(&mut self, scheme: Scheme, keys: &[secrecy::SecretString]) -> Result<(), Error> {
        match scheme {
            Scheme::Token { header } => self.token(HeaderName::from_static(header), false, keys),
            Scheme::Signature { header, prefix, algorithm, encoding } => {
                let header = HeaderName::from_static(header);
                self.signature(Signature::new(header, prefix, algorithm, encoding, keys)?);
            }
            Scheme::Standard => {
                self.masked.push(signature::STANDARD_HEADER.clone());
                self.checks.push(Check::Standard(Standard::new(keys)?));
            }
        }
        Ok(())
    }

    fn token(&mut self, header: HeaderName, bearer: bool, keys: &[secrecy::SecretString]) {
        self.masked.push(header.clone());
        let digests = keys.iter().map(|key| digest(key.expose_secret())).collect();
        self.checks.push(Check::Token(Token { header, bearer, digests }));
    }

    fn signature(&mut self, signature: Signature) {
        self.masked.push(signature.header().clone());
        self.checks.push(Check::Signature(signature));
    }

    /// Whether a request that passes has proved who sent it.
    #[must_use]
    pub(crate) const fn authenticates(&self) -> bool {
        !self.checks.is_empty()
    }

    /// Headers that carry secrets or signatures.
    #[must_use]
    pub(crate) fn masked(&self) -> &[HeaderName] {
        &self.masked
    }

    /// What can be checked before the body is read.
    pub(crate) fn check_head(&self, headers: &HeaderMap, now: Timestamp) -> Result<(), Refusal> {
        for check in &self.checks {
            let good = match check {
                Check::Token(token) => token.good(headers),
                Check::Signature(signature) => headers.contains_key(signature.header()),
                Check::Standard(standard) => standard.is_timely(headers, now),
            };
            if !good {
                return Err(Refusal::Unauthorized);
            }
        }
        Ok(())
    }

    /// The rest, over the bytes as they were sent.
    pub(crate) fn check_body(&self, headers: &HeaderMap, body: &[u8]) -> Result<(), Refusal> {
        for check in &self.checks {
            let good = match check {
                Check::Token(_) => true,
                Check::Signature(signature) => signature.good(headers, body),
                Check::Standard(standard) => standard.good(headers, body),
            };
            if !good {
                return Err(Refusal::Unauthorized);
            }
        }
        Ok(())
    }
}

impl Token {
    fn good(&self, headers: &HeaderMap) -> bool {
        let mut values = headers.get_all(&self.header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return false;
        };
        let given = value.as_bytes();
        let given = if self.bearer {
            match given.split_at_checked(7) {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token,
                _ => return false,
            }
        } else {
            given
        };
        let given: [u8; 32] = Sha256::digest(given).into();
        let same = self.digests.iter().map(|digest| digest.ct_eq(&given));
        same.fold(Choice::from(0), |any, one| any | one).into()
    }
}

impl fmt::Debug for Token {
    /// Without the digests: a weak secret can be guessed from its digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Token").field(&self.header).finish()
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}
