use std::time::Duration;

use tiphys_bus::jetstream::Credentials;
use tiphys_manifest::{LoadOptions, load};

use super::*;
use crate::handle::{Catalog, Feeder};

fn read(manifests: &str, fixed: bool) -> Result<EventBus, BusError> {
    let loaded = load("bus.yaml", manifests, &LoadOptions::new("ns"));
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let catalog = Catalog::new();
    let feeder: Feeder = catalog.feeder();
    feeder.replace(loaded.objects.into_iter().map(Into::into).collect(), Vec::new());
    let config = JetStreamConfig::new("nats://127.0.0.1:4222", "tiphys");
    event_bus(&catalog.snapshot(), "ns", Given { config, fixed, replicated: false })
}

fn bus(spec: &str) -> String {
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: argoproj.io/v1alpha1\nkind: EventBus\nmetadata: {{name: default}}\nspec:\n{spec}")
}

fn secret(value: &str) -> String {
    let value = serde_json::to_string(value).unwrap();
    format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{k: {value}}}\n")
}

#[test]
fn without_an_object_nothing_changes() {
    let bus = read("", false).unwrap();
    assert_eq!((bus.config.url.as_str(), bus.config.replicas), ("nats://127.0.0.1:4222", 1));
    assert_eq!(bus.events, EventLimits::default());
}

#[test]
fn what_argo_would_install() {
    let manifest = bus(
        "jetstream:\n  version: latest\n  replicas: 3\n  maxPayload: 2MB\n  startArgs: [-D]\n  streamConfig: |\n    maxMsgs: 50000\n    MaxBytes: 1000\n    maxAge: 72h\n    duplicates: 5m\n    discard: 0\n    retention: 0\n    odd: 1",
    );
    let bus = read(&manifest, false).unwrap();
    assert_eq!(bus.config.replicas, 3);
    assert_eq!(bus.max_payload, Some(2 << 20));
    assert_eq!(
        bus.events,
        EventLimits {
            max_messages: Some(50_000),
            max_bytes: Some(1000),
            max_age: Some(Duration::from_secs(72 * 3600)),
            duplicate_window: Some(Duration::from_secs(300)),
        }
    );
    let said: Vec<&str> = bus.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(
        said[0].contains("startArgs") && said[1].contains("discard") && said[2].contains("odd"),
        "{said:?}"
    );
    assert!(bus.diagnostics.iter().all(|d| d.line > 0 && d.code == "TIP-MAN-034"));
}

#[test]
fn a_server_that_exists() {
    let manifest = bus(
        "jetstreamExotic:\n  url: nats://there:4222\n  accessSecret: {name: s, key: k}\n  streamConfig: \"replicas: 3\"",
    );
    let found = read(&(manifest.clone() + &secret("username: u\npassword: s3cret\n")), false).unwrap();
    assert_eq!((found.config.url.as_str(), found.config.replicas), ("nats://there:4222", 3));
    assert!(matches!(&found.config.credentials, Credentials::Password { user, .. } if user == "u"));
    assert!(!format!("{found:?}").contains("s3cret"));
    let found = read(&(manifest.clone() + &secret("password")), true).unwrap();
    assert!(matches!(found.config.credentials, Credentials::None), "it was given another server");
    assert_eq!(found.diagnostics.len(), 1);
    let refused = read(&manifest, false).unwrap_err().to_string();
    assert!(refused.contains("bus.yaml") && refused.contains("`ns/s` does not exist"), "{refused}");
}

#[test]
fn every_form_of_credentials() {
    let told = |value: &str, url: &str| access::credentials(&value.into(), url);
    let seed = format!("SU{}", "A".repeat(56));
    assert!(matches!(told("pa ss: word", "nats://h").unwrap(), Credentials::Token(_)));
    assert!(
        matches!(told("pw", "nats://me@h:1").unwrap(), Credentials::Password { user, .. } if user == "me")
    );
    assert!(matches!(told("token: t", "nats://h").unwrap(), Credentials::Token(_)));
    assert!(matches!(told(&seed, "nats://h").unwrap(), Credentials::Nkey(_)));
    assert!(matches!(told(&format!("nkey: {seed}"), "nats://h").unwrap(), Credentials::Nkey(_)));
    assert!(matches!(told("-----BEGIN NATS USER JWT-----\nx", "nats://h").unwrap(), Credentials::Creds(_)));
    assert!(told("username: u", "nats://h").is_err());
    assert!(told(" ", "nats://h").is_err());
}

#[test]
fn tls_is_demanded_where_it_is_named() {
    let manifest = bus("jetstreamExotic:\n  url: nats://there:4222\n  tls:\n    insecureSkipVerify: true");
    let tls = read(&manifest, false).unwrap().config.tls;
    assert!(tls.required && tls.client.is_some());
    let manifest =
        bus("jetstreamExotic:\n  url: nats://there:4222\n  tls:\n    caCertSecret: {name: s, key: k}");
    let refused = read(&(manifest + &secret("s3cret")), false).unwrap_err().to_string();
    assert!(refused.contains("PEM") && !refused.contains("s3cret"), "{refused}");
}

#[test]
fn the_retired_keep_their_limits() {
    let manifest = bus(
        "nats:\n  native:\n    replicas: 3\n    maxAge: 24h\n    maxMsgs: 7\n    maxBytes: 1GB\n    auth: token",
    );
    let found = read(&manifest, false).unwrap();
    assert_eq!((found.events.max_messages, found.events.max_bytes), (Some(7), Some(1 << 30)));
    assert_eq!(found.config.replicas, 1, "the servers are those that are there");
    let manifest = bus("nats:\n  exotic: {url: 'nats://old:4222', clusterID: c}");
    assert_eq!(read(&manifest, false).unwrap().config.url, "nats://127.0.0.1:4222");
}

#[test]
fn nonsense_is_refused() {
    for wrong in [
        "jetstream: {replicas: 7}",
        "jetstream: {streamConfig: 'maxMsgs: x'}",
        "jetstream: {streamConfig: 'maxAge: soon'}",
        "jetstream: {streamConfig: 'a list'}",
        "jetstream: {maxPayload: big}",
        "jetstreamExotic: {streamConfig: ''}",
    ] {
        let refused = read(&bus(wrong), false);
        assert!(matches!(refused, Err(BusError::Invalid { .. })), "{wrong}: {refused:?}");
    }
}
