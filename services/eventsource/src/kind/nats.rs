//! `nats`: messages of a NATS server. Without `jetstream` the server keeps nothing, so what comes while nobody
//! listens is lost; with it a message is acked after its event is stored.

mod connection;
mod core;
mod jetstream;
mod payload;

use tiphys_manifest::event_source::Nats as Config;

use super::{Scope, SourceKind};
use crate::error::Error;

/// The kind.
pub(crate) struct Nats;

impl SourceKind for Nats {
    const KEY: &'static str = "nats";
    const TYPE: &'static str = "nats";
    type Config = Config;

    async fn run(config: Config, scope: Scope) -> Result<(), Error> {
        if config.url.trim().is_empty() {
            return Err(Error::config(
                "`url` of the nats event is missing",
                "name a server: `nats://HOST:PORT`",
            ));
        }
        match &config.jetstream {
            Some(jetstream) => self::jetstream::run(&config, jetstream, &scope).await,
            None => self::core::run(&config, &scope).await,
        }
    }
}
