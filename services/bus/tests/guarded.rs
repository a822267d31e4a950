//! A server that asks who we are, and that we ask who it is: every form of both, tried on real servers.
#![cfg(feature = "jetstream")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "clippy knows only functions marked as tests")]

#[path = "guarded/deployed.rs"]
mod deployed;
#[path = "guarded/keys.rs"]
mod keys;
#[path = "guarded/roles.rs"]
mod roles;

/// Tests are selected by this name.
mod jetstream {
    use std::sync::Arc;

    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;
    use secrecy::SecretString;
    use tiphys_bus::jetstream::{Credentials, JetStreamConfig, Tls, open};
    use tiphys_bus::{BusError, Options, finding, streams};
    use tiphys_servers::{Nats, free_port, nats, nats_with};

    use crate::keys::{Authority, Operator, with_key};

    /// Connects as somebody and stores something; else says why not.
    async fn enter(server: &Nats, credentials: Credentials) -> Result<(), BusError> {
        enter_with(JetStreamConfig { credentials, ..JetStreamConfig::new(server.url(), "test") }).await
    }

    async fn enter_with(config: JetStreamConfig) -> Result<(), BusError> {
        let bus = open(config, Options::default()).await?;
        let audit = streams::all().into_iter().find(|stream| stream.name == streams::AUDIT).unwrap();
        bus.ensure_stream(&audit).await?;
        bus.publish(tiphys_bus::Publish::new("audit.ns", "x")).await?;
        bus.close().await;
        Ok(())
    }

    /// The right one is let in, the wrong one is refused, and its secret is not told.
    async fn right_and_wrong(server: &Nats, right: Credentials, wrong: Credentials, secret: &str) {
        enter(server, right).await.unwrap();
        for wrong in [wrong, Credentials::None] {
            let refused = enter(server, wrong).await.unwrap_err().to_string();
            assert!(refused.contains("credentials") && !refused.contains(secret), "{refused}");
        }
    }

    #[tokio::test]
    async fn a_token() {
        let Some(server) = nats_with("authorization { token: right }") else { return };
        let token = |text: &str| Credentials::Token(SecretString::from(text));
        right_and_wrong(&server, token("right"), token("wr0ng"), "wr0ng").await;
    }

    #[tokio::test]
    async fn a_user_with_a_password() {
        let Some(server) = nats_with("authorization { users: [ { user: me, password: right } ] }") else {
            return;
        };
        let password = |text: &str| Credentials::Password { user: "me".into(), password: text.into() };
        right_and_wrong(&server, password("right"), password("wr0ng"), "wr0ng").await;
    }

    #[tokio::test]
    async fn an_nkey() {
        let ((public, seed), (_, other)) = (with_key(), with_key());
        let Some(server) = nats_with(&format!("authorization {{ users: [ {{ nkey: {public} }} ] }}")) else {
            return;
        };
        let nkey = |seed: &str| Credentials::Nkey(SecretString::from(seed));
        right_and_wrong(&server, nkey(&seed), nkey(&other), &other).await;
    }

    #[tokio::test]
    async fn a_creds_file() {
        let (operator, other) = (Operator::new(), Operator::new());
        let Some(server) = nats_with(&operator.config()) else { return };
        let creds = |text: String| Credentials::Creds(SecretString::from(text));
        right_and_wrong(&server, creds(operator.creds()), creds(other.creds()), "BEGIN").await;
    }

    pub(crate) fn trusting(authority: &str) -> Tls {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Tls { required: true, client: Some(builder.with_root_certificates(roots).with_no_client_auth()) }
    }

    #[tokio::test]
    async fn an_authority_of_our_own() {
        let folder = tempfile::tempdir().unwrap();
        let (ours, other) = (Authority::new(), Authority::new());
        let Some(server) = nats_with(&ours.server(folder.path(), "127.0.0.1")) else { return };
        let config = || JetStreamConfig::new(server.url(), "test");
        enter_with(JetStreamConfig { tls: trusting(&ours.certificate()), ..config() }).await.unwrap();
        for tls in [trusting(&other.certificate()), Tls::default()] {
            let refused = enter_with(JetStreamConfig { tls, ..config() }).await.unwrap_err();
            assert!(matches!(refused, BusError::Unavailable { .. }), "{refused}");
        }
        // The right authority vouches for another name.
        let Some(server) = nats_with(&ours.server(folder.path(), "elsewhere.example")) else { return };
        let config = JetStreamConfig::new(server.url(), "test");
        let refused =
            enter_with(JetStreamConfig { tls: trusting(&ours.certificate()), ..config }).await.unwrap_err();
        assert!(matches!(refused, BusError::Unavailable { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_server_that_does_not_encrypt_is_refused_where_that_is_demanded() {
        let Some(server) = nats() else { return };
        let tls = Tls { required: true, client: None };
        let config = JetStreamConfig { tls, ..JetStreamConfig::new(server.url(), "test") };
        assert!(enter_with(config).await.is_err());
    }

    #[tokio::test]
    async fn what_is_unsafe_is_found() {
        let port = free_port();
        let more = format!("http: \"127.0.0.1:{port}\"\n");
        let Some(mut server) = nats_with(&more) else { return };
        let found = async |server: &Nats, monitors: Vec<String>| {
            let config =
                JetStreamConfig { monitors, replicas: 3, ..JetStreamConfig::new(server.url(), "test") };
            let bus = open(config, Options::default()).await.unwrap();
            let mut small = streams::all().swap_remove(0);
            small.max_bytes = 1 << 20;
            bus.ensure_stream(&small).await.unwrap();
            bus.findings().await
        };
        let codes = |found: &[tiphys_bus::Finding]| found.iter().map(|f| f.code).collect::<Vec<_>>();
        // It is alone, but syncs.
        let monitors = vec![format!("http://127.0.0.1:{port}")];
        let safe = found(&server, monitors.clone()).await;
        assert_eq!(codes(&safe), [finding::REPLICAS], "{safe:?}");
        let unknown = found(&server, Vec::new()).await;
        assert!(unknown[0].code == finding::SYNC && unknown[0].message.contains("unknown"), "{unknown:?}");
        // The last block counts.
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path();
        server.restart_with(&format!(
            "{more}jetstream {{ store_dir: {store:?}, sync_interval: 2m, max_file: 1GB }}"
        ));
        let unsafe_one = found(&server, monitors).await;
        assert!(
            unsafe_one[0].code == finding::SYNC && unsafe_one[0].message.contains("power"),
            "{unsafe_one:?}"
        );
    }
}
