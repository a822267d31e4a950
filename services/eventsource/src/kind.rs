//! Kinds of event sources. A new kind is one file and one line in [`Registry::builtin`].

mod calendar;
#[cfg(feature = "grpc")]
mod generic;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "sqs")]
mod sqs;
mod webhook;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tiphys_bus::Bus;
use tiphys_catalog::Catalog;
use tiphys_core::{Clock, Origin};
use tiphys_kit::CancellationToken;
use tiphys_manifest::event_source::{Filter as FilterSpec, KeySelector};

use crate::emit::Emitter;
use crate::error::Error;
use crate::filter::Filter;
use crate::hook::Hook;
use crate::ingress::Place;
use crate::poison;
use crate::report::Report;
use crate::secret::Secrets;

/// A kind that waits for the outside by itself: a queue, a clock.
pub(crate) trait SourceKind: Send + Sync + 'static {
    /// The key below `spec`.
    const KEY: &'static str;
    /// The CloudEvents `type`; for some kinds Argo spells it in another way than the key.
    const TYPE: &'static str;
    /// What stands below `spec.<KEY>.<event>`.
    type Config: DeserializeOwned + Send + 'static;

    /// Runs until [`Scope::stop`] (`Ok`) or until the source breaks (`Err`): a transient failure is started
    /// again with growing pauses, any other waits for the manifest to change.
    fn run(config: Self::Config, scope: Scope) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A kind whose events come as HTTP requests. One door serves them all, with all limits.
pub(crate) trait HttpKind: Send + Sync + 'static {
    /// The key below `spec`.
    const KEY: &'static str;
    /// The CloudEvents `type`.
    const TYPE: &'static str;
    /// What stands below `spec.<KEY>.<event>`.
    type Config: DeserializeOwned;

    /// The event's own port and endpoint, beside its canonical address.
    ///
    /// # Errors
    /// Fails where they make no sense, or a certificate is missing.
    fn place(config: &Self::Config, secrets: Secrets<'_>) -> Result<Option<Place>, Error>;

    /// What it demands of a request, and what it makes of it.
    ///
    /// # Errors
    /// Fails where the manifest makes no sense, or a secret is missing. Senders are then told 500.
    fn hook(config: &Self::Config, scope: &Scope, secrets: Secrets<'_>) -> Result<Hook, Error>;
}

/// What surrounds one event of an event source.
#[derive(Clone)]
pub(crate) struct Scope {
    /// Where its events come from.
    pub(crate) origin: Origin,
    /// The CloudEvents `type`.
    pub(crate) kind: &'static str,
    /// The bus.
    pub(crate) bus: Arc<dyn Bus>,
    /// The clock.
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a publication is tried before it fails.
    pub(crate) patience: Duration,
    /// When to stop.
    pub(crate) stop: CancellationToken,
    /// The objects that exist.
    pub(crate) catalog: Catalog,
    /// Where it says how it is.
    pub(crate) report: Report,
}

impl Scope {
    /// What publishes the events.
    ///
    /// # Errors
    /// Fails when the filter does not compile.
    pub(crate) fn emitter(&self, filter: Option<&FilterSpec>) -> Result<Emitter, Error> {
        Ok(Emitter::new(
            self.bus.clone(),
            self.clock.clone(),
            self.origin.clone(),
            self.kind,
            Filter::compile(filter)?,
            self.patience,
        ))
    }

    /// The value of a Secret's key in the event source's namespace, as it is now.
    ///
    /// # Errors
    /// Fails when it is missing or empty.
    #[cfg_attr(
        not(any(
            feature = "grpc",
            feature = "kafka",
            feature = "nats",
            feature = "pubsub",
            feature = "sqs"
        )),
        expect(dead_code, reason = "only the kinds behind features need it")
    )]
    pub(crate) fn secret(&self, selector: &KeySelector) -> Result<SecretString, Error> {
        Secrets::of(&self.catalog.snapshot(), &self.origin.namespace).get(selector)
    }

    /// The source is connected and receives.
    pub(crate) fn up(&self) {
        self.report.up();
    }

    /// The source does not receive, for this reason, and tries again by itself.
    pub(crate) fn down(&self, error: &Error) {
        self.report.down(error);
    }

    /// Keeps what can never become an event, with its raw bytes, among the dead letters; durable when this
    /// returns. `native` is the message's own id, so that a redelivery is no second letter.
    ///
    /// # Errors
    /// Fails when the bus refuses; the message must not be acked then.
    #[cfg_attr(
        not(any(
            feature = "grpc",
            feature = "kafka",
            feature = "nats",
            feature = "pubsub",
            feature = "sqs"
        )),
        expect(dead_code, reason = "only the kinds behind features need it")
    )]
    pub(crate) async fn dead_letter(&self, native: &str, raw: &[u8], why: &Error) -> Result<(), Error> {
        poison::keep(self, native, raw, why).await
    }
}

/// A source at work.
pub(crate) type Running = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// A registered kind, with its types erased.
pub(crate) enum Entry {
    Source {
        run: fn(&Value, Scope) -> Running,
    },
    Http {
        place: fn(&Value, Secrets<'_>) -> Result<Option<Place>, Error>,
        hook: fn(&Value, &Scope, Secrets<'_>) -> Result<Hook, Error>,
    },
}

/// The kinds that are run.
#[derive(Default)]
pub(crate) struct Registry(Vec<(&'static str, &'static str, Entry)>);

impl Registry {
    /// The kinds of this version.
    #[must_use]
    pub(crate) fn builtin() -> Self {
        let kinds = Self::default().with_http::<webhook::Webhook>().with::<calendar::Calendar>();
        #[cfg(feature = "kafka")]
        let kinds = kinds.with::<kafka::Kafka>();
        #[cfg(feature = "sqs")]
        let kinds = kinds.with::<sqs::Sqs>();
        #[cfg(feature = "nats")]
        let kinds = kinds.with::<nats::Nats>();
        #[cfg(feature = "pubsub")]
        let kinds = kinds.with::<pubsub::PubSub>();
        #[cfg(feature = "grpc")]
        let kinds = kinds.with::<generic::Generic>();
        kinds
    }

    /// Adds a kind that waits by itself.
    #[must_use]
    pub(crate) fn with<K: SourceKind>(mut self) -> Self {
        let run = |config: &Value, scope: Scope| -> Running {
            match parse::<K::Config>(config, K::KEY) {
                Ok(config) => Box::pin(K::run(config, scope)),
                Err(error) => Box::pin(std::future::ready(Err(error))),
            }
        };
        self.0.push((K::KEY, K::TYPE, Entry::Source { run }));
        self
    }

    /// Adds a kind whose events come as HTTP requests.
    #[must_use]
    pub(crate) fn with_http<K: HttpKind>(mut self) -> Self {
        let place =
            |config: &Value, secrets: Secrets<'_>| K::place(&parse::<K::Config>(config, K::KEY)?, secrets);
        let hook = |config: &Value, scope: &Scope, secrets: Secrets<'_>| {
            K::hook(&parse::<K::Config>(config, K::KEY)?, scope, secrets)
        };
        self.0.push((K::KEY, K::TYPE, Entry::Http { place, hook }));
        self
    }

    /// The type and the entry of a key.
    pub(crate) fn get(&self, key: &str) -> Option<(&'static str, &Entry)> {
        let found = self.0.iter().find(|(known, _, _)| *known == key);
        found.map(|(_, kind, entry)| (*kind, entry))
    }
}

fn parse<T: DeserializeOwned>(config: &Value, key: &str) -> Result<T, Error> {
    let empty = Value::Object(serde_json::Map::new());
    let config = if config.is_null() { &empty } else { config };
    T::deserialize(config).map_err(|wrong| {
        Error::config(format!("the `{key}` event cannot be read: {wrong}"), "correct the manifest")
    })
}
