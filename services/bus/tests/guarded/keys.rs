//! Certificates, keys and tokens, as `openssl` and `nsc` would make them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa};
use serde_json::{Value, json};

/// The public key of a user, and its seed.
pub(crate) fn with_key() -> (String, String) {
    let user = KeyPair::new_user();
    (user.public_key(), user.seed().unwrap())
}

/// Vouches for servers.
pub(crate) struct Authority(CertifiedIssuer<'static, rcgen::KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn certificate(&self) -> String {
        self.0.pem()
    }

    /// The configuration of a server that shows a certificate for a name.
    pub(crate) fn server(&self, folder: &Path, name: &str) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let (cert_file, key_file) = (folder.join(format!("{name}.crt")), folder.join(format!("{name}.key")));
        std::fs::write(&cert_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        format!("tls {{ cert_file: {cert_file:?}, key_file: {key_file:?} }}")
    }
}

/// An operator with an account that may use JetStream, and a user of it.
pub(crate) struct Operator {
    operator: KeyPair,
    system: KeyPair,
    account: KeyPair,
    user: KeyPair,
}

impl Operator {
    pub(crate) fn new() -> Self {
        let (operator, user) = (KeyPair::new_operator(), KeyPair::new_user());
        Self { operator, system: KeyPair::new_account(), account: KeyPair::new_account(), user }
    }

    /// The configuration of a server that trusts this operator.
    pub(crate) fn config(&self) -> String {
        let (system, account) = (self.system.public_key(), self.account.public_key());
        let operator = json!({"type": "operator", "version": 2, "system_account": system});
        let limits = |jetstream: i64| {
            json!({
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
                "leaf": -1, "mem_storage": jetstream, "disk_storage": jetstream, "streams": jetstream,
                "consumer": jetstream,
            })
        };
        let of_account =
            |jetstream: i64| json!({"type": "account", "version": 2, "limits": limits(jetstream)});
        format!(
            "operator: {}\nsystem_account: {system}\nresolver: MEMORY\nresolver_preload: {{ {system}: {}, {account}: {} }}",
            token(&self.operator, &self.operator, "operator", operator),
            token(&self.operator, &self.system, "system", of_account(0)),
            token(&self.operator, &self.account, "account", of_account(-1)),
        )
    }

    /// The text of the user's `.creds` file.
    pub(crate) fn creds(&self) -> String {
        let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
        let (token, seed) = (token(&self.account, &self.user, "user", claims), self.user.seed().unwrap());
        format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
        )
    }
}

fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": name, "sub": subject.public_key(),
        "nats": nats,
    });
    let text = format!("{}.{}", part(&json!({"typ": "JWT", "alg": "ed25519-nkey"})), part(&claims));
    let signature = issuer.sign(text.as_bytes()).unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}
