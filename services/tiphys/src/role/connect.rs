//! The way to the NATS server.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use tiphys_bus::jetstream::{self, Credentials, JetStreamConfig, Tls};
use tiphys_bus::{Bus, BusError, Options, streams};
use tiphys_core::chain;
use tiphys_kit::{Backoff, CancellationToken, Group, Health};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cli::RoleArgs;

/// Its name in readiness.
pub(super) const PART: &str = "bus";
/// A server that stays away is told of once in this time.
const QUIET: Duration = Duration::from_secs(10);
/// The streams are looked at so often.
const LOOK: Duration = Duration::from_secs(10);

/// What the arguments and the environment say.
pub(super) fn config(args: &RoleArgs) -> anyhow::Result<JetStreamConfig> {
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
    Ok(JetStreamConfig {
        credentials,
        tls: Tls { authorities: variable("NATS_CA").map(PathBuf::from), ..Tls::default() },
        replicas: args.replicas,
        ..JetStreamConfig::new(&args.nats, &args.prefix)
    })
}

/// Connects, however long the server is away. With `make` it makes the streams, else it waits for them. `None`: told
/// to stop.
pub(super) async fn open(
    config: &JetStreamConfig,
    make: bool,
    health: &Health,
    stop: &CancellationToken,
) -> Result<Option<Arc<dyn Bus>>, BusError> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    let (mut bus, mut told) = (None::<Arc<dyn Bus>>, None::<Instant>);
    loop {
        let error = match attempt(config, &mut bus, make).await {
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

async fn attempt(
    config: &JetStreamConfig,
    open: &mut Option<Arc<dyn Bus>>,
    make: bool,
) -> Result<Arc<dyn Bus>, BusError> {
    let bus = match open {
        Some(bus) => bus.clone(),
        None => open.insert(jetstream::open(config.clone(), Options::default()).await?).clone(),
    };
    for stream in streams::all() {
        if make {
            bus.ensure_stream(&stream).await?;
        } else {
            bus.info(&stream.name).await?;
        }
    }
    Ok(bus)
}

/// Looks after the streams: one that is gone is told of, never made again in silence.
pub(super) fn watch_over(group: &mut Group, bus: Arc<dyn Bus>, health: Health) {
    group.spawn("streams", move |stop| async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok::<(), BusError>(()),
                () = tokio::time::sleep(LOOK) => {}
            }
            let mut wrong = None;
            for stream in streams::all() {
                if let Err(error) = bus.info(&stream.name).await {
                    wrong = Some(chain(&error));
                }
            }
            match wrong {
                None => health.ready(PART),
                Some(why) => health.failing(PART, why),
            }
        }
    });
}
