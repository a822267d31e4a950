//! The certificate by which runners of pods know us, and believe nobody else.
//!
//! Its key follows from the secret of the installation. So executors that share that secret are the same to a runner, also after
//! a restart, and nothing more has to be handed around; whoever has the secret may start steps anyway. Whose policy asks for it names
//! one of their own.

mod own;

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ED25519};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::version::TLS13;
use sha2::Sha256;

use crate::cli::Reach;

/// What stands before a key of Ed25519 in PKCS#8 (RFC 8410).
const ED25519: [u8; 16] = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/// A certificate with its key.
pub(crate) struct Certificate {
    /// What runners are told, in PEM.
    pub(crate) text: String,
    /// What serves with it.
    pub(crate) server: Arc<ServerConfig>,
}

/// The certificate for where pods reach us; `None`: they do not, or in plain HTTP. `files` are a certificate and its key that are
/// taken in the place of ours.
///
/// # Errors
/// When the host is no name that can stand in a certificate, or the files cannot be used for it.
pub(crate) fn of(
    secret: &str,
    reach: Option<&Reach>,
    files: Option<(&Path, &Path)>,
) -> anyhow::Result<Option<Certificate>> {
    match (reach.filter(|reach| reach.encrypted), files) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(anyhow!(
            "--pods-certificate is for pods that reach us encrypted: name the host as --pods-reach HOST:PORT, or leave it out"
        )),
        (Some(reach), Some(files)) => own::read(files, reach, UnixTime::now()).map(Some),
        (Some(reach), None) => made(secret, reach).map(Some),
    }
}

/// The host that runners look for.
fn host_of(reach: &Reach) -> &str {
    reach.authority.host().trim_start_matches('[').trim_end_matches(']')
}

/// One of our own. Without an end: who believes it is told anew with each step.
fn made(secret: &str, reach: &Reach) -> anyhow::Result<Certificate> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes())?;
    mac.update(b"the key of the certificate for runners");
    let der = [&ED25519[..], &mac.finalize().into_bytes()].concat();
    let der = PrivatePkcs8KeyDer::from(der);
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519)?;
    let host = host_of(reach);
    let mut params = CertificateParams::new([host.to_owned()])
        .map_err(|error| anyhow!("--pods-reach: {host} cannot stand in a certificate: {error}"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "tiphys runners");
    let certificate = params.self_signed(&key)?;
    let server = server(vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(der))?;
    Ok(Certificate { text: certificate.pem(), server })
}

fn server(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> anyhow::Result<Arc<ServerConfig>> {
    let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

#[cfg(test)]
mod tests {
    use tiphys_kit::CancellationToken;

    use super::*;

    #[test]
    fn the_same_secret_makes_the_same_certificate() {
        let text = |secret: &str, reach: &str| {
            of(secret, Some(&reach.parse().unwrap()), None).unwrap().map(|certificate| certificate.text)
        };
        let first = text("a", "192.0.2.7:2746").unwrap();
        assert!(first.starts_with("-----BEGIN CERTIFICATE-----"), "{first}");
        assert_eq!(text("a", "https://192.0.2.7:2746"), Some(first.clone()));
        assert_ne!(text("b", "192.0.2.7:2746"), Some(first));
        assert!(text("a", "[2001:db8::7]:2746").is_some());
        assert!(text("a", "tiphys.argo.svc:2746").is_some());
        assert_eq!(text("a", "http://192.0.2.7:2746"), None);
        assert!(of("a", None, None).unwrap().is_none());
        let files = Some((Path::new("/a"), Path::new("/b")));
        let told = of("a", Some(&"http://192.0.2.7:2746".parse().unwrap()), files).err().unwrap().to_string();
        assert!(told.contains("--pods-reach HOST:PORT"), "{told}");
    }

    #[tokio::test]
    async fn one_port_answers_encrypted_and_plain() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let certificate = of("a", Some(&address.to_string().parse().unwrap()), None).unwrap().unwrap();
        let other = of("b", Some(&address.to_string().parse().unwrap()), None).unwrap().unwrap();
        let router = axum::Router::new().route("/", axum::routing::get(|| async { "here" }));
        let stop = CancellationToken::new();
        let served = crate::http::serve_with(listener, router, Some(certificate.server), stop.clone());
        // Another executor of the installation makes a certificate of its own, of the same key.
        let again = of("a", Some(&address.to_string().parse().unwrap()), None).unwrap().unwrap();
        let asked = async {
            for (scheme, trusted, good) in
                [("https", &again.text, true), ("http", &again.text, true), ("https", &other.text, false)]
            {
                let trusted = reqwest::Certificate::from_pem(trusted.as_bytes()).unwrap();
                let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap();
                let answer = client.get(format!("{scheme}://{address}/")).send().await;
                assert_eq!(answer.is_ok(), good, "{scheme}: {answer:?}");
                if let Ok(answer) = answer {
                    assert_eq!(answer.text().await.unwrap(), "here");
                }
            }
            stop.cancel();
        };
        let (served, ()) = tokio::join!(served, asked);
        served.unwrap();
    }
}
