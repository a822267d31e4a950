//! What a client believes and shows when a connection is encrypted, from PEM texts.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// What was given.
#[derive(Clone, Copy, Default)]
pub struct Material<'a> {
    /// Authorities to trust in the place of the system's.
    pub authorities: Option<&'a str>,
    /// Our certificate chain and its key.
    pub identity: Option<(&'a str, &'a str)>,
    /// Whether any certificate is good.
    pub skip_verification: bool,
}

/// A client's configuration.
///
/// # Errors
/// In words, without a secret in them, where a text is not what it should be.
pub fn client(material: Material<'_>) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = if material.skip_verification {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
    } else {
        builder.with_root_certificates(roots(material.authorities)?)
    };
    let Some((certificate, key)) = material.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let chain = certificates(certificate, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| "the client key holds no private key in PEM".to_owned())?;
    builder.with_client_auth_cert(chain, key).map_err(|error| format!("client certificate and key: {error}"))
}

fn roots(authorities: Option<&str>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(text) = authorities {
        for certificate in certificates(text, "the certificate of the authority")? {
            roots.add(certificate).map_err(|error| format!("the certificate of the authority: {error}"))?;
        }
        return Ok(roots);
    }
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        return Err("this machine has no certificates of authorities; name one".into());
    }
    Ok(roots)
}

fn certificates(text: &str, what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
    match read {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{what} holds no certificate in PEM")),
    }
}

/// Believes everybody, as the manifest demands; signatures must still be right.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pem_is_refused_and_not_shown() {
        let wrong = [
            Material { authorities: Some("s3cret"), ..Material::default() },
            Material { identity: Some(("s3cret", "s3cret")), skip_verification: true, authorities: None },
        ];
        for material in wrong {
            let refused = client(material).err().unwrap();
            assert!(refused.contains("PEM") && !refused.contains("s3cret"), "{refused}");
        }
        assert!(client(Material { skip_verification: true, ..Material::default() }).is_ok());
    }
}
