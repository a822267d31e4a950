//! A certificate that somebody else made, in the place of ours: looked at here as a runner will look at it, so that what is
//! wrong is told at the start and not by the first step.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, RootCertStore};

use super::{Certificate, host_of, server};
use crate::cli::Reach;

/// What is said of a certificate that cannot be traced to one of the file.
const UNKNOWN: &str = "it is signed by an authority that is not in the file, and runners believe nobody else: add the certificates of \
                       its authorities behind it";

/// Reads it. `now` is when it has to be valid.
///
/// # Errors
/// Says which file is wrong, and what it should hold.
pub(super) fn read(
    (certificates, key): (&Path, &Path),
    reach: &Reach,
    now: UnixTime,
) -> anyhow::Result<Certificate> {
    let of = |option: &str, file: &Path| format!("{option} {}", file.display());
    let (shown, shown_key) = (of("--pods-certificate", certificates), of("--pods-key", key));
    let text = std::fs::read_to_string(certificates).with_context(|| shown.clone())?;
    let secret = std::fs::read(key).with_context(|| shown_key.clone())?;
    let chain = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| anyhow!("{shown}: a certificate in it cannot be read: {error:?}"))?;
    let Some((leaf, rest)) = chain.split_first() else {
        bail!("{shown}: it holds no certificate in PEM (-----BEGIN CERTIFICATE-----)");
    };
    let secret = PrivateKeyDer::from_pem_slice(&secret).map_err(|_| {
        anyhow!("{shown_key}: it holds no private key in PEM that is not locked by a password")
    })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    CertifiedKey::from_der(chain.clone(), secret.clone_key(), &provider).map_err(|error| match error {
        Error::InconsistentKeys(_) => {
            anyhow!("{shown_key} is not the key of the first certificate in {}", certificates.display())
        }
        other => anyhow!("{shown} and {shown_key} cannot be used: {other}"),
    })?;
    let host = host_of(reach);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| anyhow!("--pods-reach: {host} cannot stand in a certificate"))?;
    let mut roots = RootCertStore::empty();
    for certificate in &chain {
        roots.add(certificate.clone()).map_err(|error| anyhow!("{shown}: {error}"))?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
    if let Err(error) = verifier.verify_server_cert(leaf, rest, &name, &[], now) {
        let why = match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => UNKNOWN.to_owned(),
            other => other.to_string(),
        };
        bail!("{shown}: runners would not believe it for {host}: {why}");
    }
    Ok(Certificate { text, server: server(chain, secret)? })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    const NOW: Duration = Duration::from_secs(1_796_040_000);

    /// What comes of two files with these contents, at a host.
    fn told(certificates: &str, key: &str, host: &str) -> Result<Certificate, String> {
        let folder = std::env::temp_dir().join(format!("tiphys-certificate-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = (folder.join("tls.crt"), folder.join("tls.key"));
        std::fs::write(&files.0, certificates).unwrap();
        std::fs::write(&files.1, key).unwrap();
        let reach = format!("{host}:2746").parse().unwrap();
        let read = read((&files.0, &files.1), &reach, UnixTime::since_unix_epoch(NOW));
        std::fs::remove_dir_all(folder).unwrap();
        read.map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn what_runners_would_not_believe_is_told_at_the_start() {
        let key = KeyPair::generate().unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "an authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let root = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let params = CertificateParams::new(vec!["tiphys.argo.svc".to_owned()]).unwrap();
        let alone = params.self_signed(&key).unwrap().pem();
        let signed = params.signed_by(&key, &issuer).unwrap().pem();
        let mut late = params.clone();
        late.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let late = late.self_signed(&key).unwrap().pem();
        let key = key.serialize_pem();
        let chain = format!("{signed}{root}");

        let good = told(&alone, &key, "tiphys.argo.svc").unwrap();
        assert_eq!(good.text, alone);
        assert!(told(&chain, &key, "tiphys.argo.svc").is_ok());
        for (certificates, key, host, said) in [
            (alone.as_str(), key.as_str(), "tiphys.other.svc", "not believe it for tiphys.other.svc"),
            (&signed, &key, "tiphys.argo.svc", "signed by an authority that is not in the file"),
            (&late, &key, "tiphys.argo.svc", "expired"),
            (&alone, &other, "tiphys.argo.svc", "is not the key of the first certificate in"),
            ("nothing", &key, "tiphys.argo.svc", "holds no certificate in PEM"),
            (&alone, "nothing", "tiphys.argo.svc", "holds no private key in PEM"),
            ("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n", &key, "x", "cannot be read"),
        ] {
            let told = told(certificates, key, host).err().unwrap_or_default();
            assert!(told.contains(said), "{said}: {told}");
            assert!(told.contains("--pods-"), "{told}");
        }
    }
}
