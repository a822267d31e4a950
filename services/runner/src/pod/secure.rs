//! The encrypted way to an address. Believed is what was told with the step, and nothing else: no authorities of the image, and
//! none of the world.
//!
//! Only the runner that is linked statically has it (feature `tls`): nothing else runs in pods.

#[cfg(feature = "tls")]
pub(super) use encrypted::Trust;
#[cfg(not(feature = "tls"))]
pub(super) use none::Trust;

#[cfg(feature = "tls")]
mod encrypted {
    use std::io;
    use std::net::TcpStream;
    use std::sync::Arc;

    use rustls::client::Resumption;
    use rustls::crypto::ring;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::version::TLS13;
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

    /// Whom to believe at an address.
    pub(crate) struct Trust {
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    }

    impl Trust {
        /// Believes who shows a certificate for the host of `authority` that one of these, in PEM, has signed or is.
        pub(crate) fn new(authority: &str, certificates: &str) -> Result<Self, String> {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(certificates.as_bytes()) {
                let certificate = certificate.map_err(|error| format!("its certificate: {error}"))?;
                roots.add(certificate).map_err(|error| format!("its certificate: {error}"))?;
            }
            if roots.is_empty() {
                return Err("no certificate was told with the step".to_owned());
            }
            let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let name =
                ServerName::try_from(host.to_owned()).map_err(|_| format!("{host} is no name of a host"))?;
            let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_protocol_versions(&[&TLS13])
                .map_err(|error| error.to_string())?
                .with_root_certificates(roots)
                .with_no_client_auth();
            // Each request has a connection of its own, and there are few.
            config.resumption = Resumption::disabled();
            Ok(Self { config: Arc::new(config), name })
        }

        /// Encrypts a connection. Who is at its other end is found out with the first that is read or written.
        pub(crate) fn over(&self, stream: TcpStream) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
            let connection = ClientConnection::new(self.config.clone(), self.name.clone());
            Ok(StreamOwned::new(connection.map_err(io::Error::other)?, stream))
        }
    }
}

#[cfg(not(feature = "tls"))]
mod none {
    use std::io;
    use std::net::TcpStream;

    /// Nobody is believed.
    pub(crate) enum Trust {}

    impl Trust {
        pub(crate) fn new(_authority: &str, _certificates: &str) -> Result<Self, String> {
            Err("this runner was built without the feature `tls`; take that of the image of Tiphys"
                .to_owned())
        }

        pub(crate) fn over(&self, _stream: TcpStream) -> io::Result<TcpStream> {
            match *self {}
        }
    }
}
