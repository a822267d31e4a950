//! The way to the NATS server.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use secrecy::SecretString;
use tiphys_bus::jetstream::{self, Credentials, JetStreamConfig, Tls};
use tiphys_bus::{Bus, BusError, Options, StreamConfig, streams};
use tiphys_catalog::Snapshot;
use tiphys_catalog::event_bus::{self, Given};
use tiphys_core::chain;
use tiphys_kit::{Backoff, CancellationToken, Health, tls};
use tiphys_manifest::Diagnostic;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cli::RoleArgs;

/// Its name in readiness.
pub(super) const PART: &str = "bus";
/// A server that stays away is told of once in this time.
const QUIET: Duration = Duration::from_secs(10);
/// The server, where nobody says which.
const NEAREST: &str = "nats://127.0.0.1:4222";

/// Which bus, and what is to be there.
pub(super) struct Plan {
    pub(super) config: JetStreamConfig,
    pub(super) streams: Vec<StreamConfig>,
    /// Largest message, where one is asked for.
    max_message: Option<usize>,
    /// What of the EventBus object has no effect.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// The bus of the arguments and the environment, and of the EventBus object where they are silent. `own` is a
/// namespace that has a bus of its own.
pub(super) fn plan(
    role: &str,
    args: &RoleArgs,
    own: Option<&str>,
    namespace: &str,
    snapshot: &Snapshot,
) -> anyhow::Result<Plan> {
    let given = Given {
        config: JetStreamConfig {
            namespace: own.map(str::to_owned),
            role: Some(role.to_owned()),
            trims: role == "bus",
            monitors: args.monitors.clone(),
            ..config(args)?
        },
        fixed: args.nats.is_some(),
        replicated: args.replicas.is_some(),
    };
    let bus = event_bus::event_bus(snapshot, namespace, given)?;
    Ok(Plan {
        config: bus.config,
        streams: streams::all_with(&bus.events),
        max_message: bus.max_payload,
        diagnostics: bus.diagnostics,
    })
}

fn config(args: &RoleArgs) -> anyhow::Result<JetStreamConfig> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let secret = |name: &str| variable(name).map(SecretString::from);
    let credentials = if let Some(file) = variable("NATS_CREDS") {
        let text = std::fs::read_to_string(&file).with_context(|| format!("NATS_CREDS: `{file}`"))?;
        Credentials::Creds(text.into())
    } else if let Some(seed) = secret("NATS_NKEY") {
        Credentials::Nkey(seed)
    } else if let Some(token) = secret("NATS_TOKEN") {
        Credentials::Token(token)
    } else if let (Some(user), Some(password)) = (variable("NATS_USER"), secret("NATS_PASSWORD")) {
        Credentials::Password { user, password }
    } else {
        Credentials::None
    };
    let text = |name: &str| {
        let file = variable(name);
        let read = |file: String| std::fs::read_to_string(&file).with_context(|| format!("{name}: `{file}`"));
        file.map(read).transpose()
    };
    let (authorities, certificate, key) = (text("NATS_CA")?, text("NATS_CERT")?, text("NATS_KEY")?);
    let material = tls::Material {
        authorities: authorities.as_deref(),
        identity: certificate.as_deref().zip(key.as_deref()),
        skip_verification: false,
    };
    let known = material.authorities.is_some() || material.identity.is_some();
    let client = known.then(|| tls::client(material)).transpose();
    Ok(JetStreamConfig {
        credentials,
        tls: Tls { required: known, client: client.map_err(|wrong| anyhow!("TLS to NATS: {wrong}"))? },
        replicas: args.replicas.unwrap_or(1),
        ..JetStreamConfig::new(args.nats.as_deref().unwrap_or(NEAREST), &args.prefix)
    })
}

/// Connects, however long the server is away. With `make` it makes the streams, else it waits for them. `None`: told
/// to stop.
pub(super) async fn open(
    plan: &Plan,
    make: bool,
    health: &Health,
    stop: &CancellationToken,
) -> Result<Option<Arc<dyn Bus>>, BusError> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let (mut bus, mut told) = (None::<Arc<dyn Bus>>, None::<Instant>);
    loop {
        let error = match attempt(plan, &mut bus, make).await {
            Ok(bus) => {
                health.ready(PART);
                info!("connected to the bus");
                return Ok(Some(bus));
            }
            // No waiting mends what we were told.
            Err(error @ BusError::Invalid { .. }) => return Err(error),
            Err(error) => error,
        };
        let why = chain(&error);
        if told.is_none_or(|told| told.elapsed() >= QUIET) {
            warn!("waiting for the bus: {why}");
            told = Some(Instant::now());
        }
        health.failing(PART, why);
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(backoff.next_wait()) => {}
        }
    }
}

async fn attempt(plan: &Plan, open: &mut Option<Arc<dyn Bus>>, make: bool) -> Result<Arc<dyn Bus>, BusError> {
    let bus = match open {
        Some(bus) => bus.clone(),
        None => {
            let options = Options::default();
            let max_message = plan.max_message.unwrap_or(options.max_message);
            let options = Options { max_message, ..options };
            open.insert(jetstream::open(plan.config.clone(), options).await?).clone()
        }
    };
    for stream in &plan.streams {
        if make {
            bus.ensure_stream(stream).await?;
        } else {
            bus.info(&stream.name).await?;
        }
    }
    Ok(bus)
}
