//! Certificates, keys and kubeconfigs, as an installer of Kubernetes would make them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use serde_json::{Value, json};

/// Vouches for everybody in a cluster.
#[derive(Debug)]
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
#[derive(Debug)]
pub(super) struct Certified {
    certificate: String,
    key: String,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "cluster");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// For a server that is found under the names and addresses.
    pub(super) fn server(&self, names: &[&str]) -> Certified {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).expect("names");
        params.distinguished_name.push(DnType::CommonName, "server");
        self.certify(params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a user in a group.
    pub(super) fn client(&self, user: &str, group: Option<&str>) -> Certified {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        self.certify(params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn certify(&self, mut params: CertificateParams, usage: ExtendedKeyUsagePurpose) -> Certified {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate").pem();
        Certified { certificate, key: key.serialize_pem() }
    }
}

impl Certified {
    /// Writes `NAME.crt` and `NAME.key`.
    pub(super) fn write(&self, folder: &Path, name: &str) {
        std::fs::write(folder.join(format!("{name}.crt")), &self.certificate).expect("a certificate");
        std::fs::write(folder.join(format!("{name}.key")), &self.key).expect("a key");
    }

    fn user(&self) -> Value {
        let [certificate, key] = [&self.certificate, &self.key].map(|pem| STANDARD.encode(pem));
        json!({"client-certificate-data": certificate, "client-key-data": key})
    }

    /// A kubeconfig that shows the certificate.
    pub(super) fn kubeconfig(&self, authority: &Authority, url: &str) -> Value {
        kubeconfig(Some(&authority.pem()), url, &self.user())
    }
}

/// A kubeconfig; the authority is its certificate as PEM.
pub(crate) fn kubeconfig(authority: Option<&str>, url: &str, user: &Value) -> Value {
    let mut cluster = json!({"server": url});
    if let Some(authority) = authority {
        cluster["certificate-authority-data"] = STANDARD.encode(authority).into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    })
}

/// Writes the pair of keys with which tokens of service accounts are signed and checked.
pub(super) fn write_token_keys(folder: &Path) {
    let key = KeyPair::generate().expect("a key");
    std::fs::write(folder.join("tokens.key"), key.serialize_pem()).expect("a key");
    std::fs::write(folder.join("tokens.pub"), key.public_key_pem()).expect("a key");
}
