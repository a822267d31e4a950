//! Kinds of triggers. A new kind is one file and one line in [`builtin`].

mod argo_workflow;
mod command_line;
#[cfg(feature = "grpc")]
mod custom;
mod http;
mod k8s;
#[cfg(feature = "kafka")]
mod kafka;
mod log;
#[cfg(feature = "nats")]
mod nats;
#[cfg(any(feature = "grpc", feature = "kafka", feature = "nats", feature = "pubsub", feature = "sqs"))]
mod pool;
#[cfg(feature = "pubsub")]
mod pubsub;
#[cfg(feature = "sqs")]
mod sqs;
mod submission;

use std::sync::Arc;

use async_trait::async_trait;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use tiphys_bus::Bus;
use tiphys_catalog::Snapshot;
use tiphys_core::{Firing, Timestamp};
use tiphys_manifest::Kind;

use crate::error::Error;
use crate::ledger::Effect;

/// What a kind may use while it acts.
pub struct Context<'a> {
    /// The firing.
    pub firing: &'a Firing,
    /// `template.<kind>` of the trigger, template-level parameters applied.
    pub template: &'a Json,
    /// `policy` of the trigger, or null.
    pub policy: &'a Json,
    /// The bus.
    pub bus: &'a Arc<dyn Bus>,
    /// The objects that exist now.
    pub catalog: &'a Snapshot,
    /// The client for requests to the outside.
    pub client: &'a reqwest::Client,
    /// The time now.
    pub now: Timestamp,
    /// The trace context that goes with what is done, as W3C writes it.
    pub trace: Option<&'a str>,
    /// The cluster, where there is one.
    #[cfg(feature = "kubernetes")]
    pub cluster: Option<&'a tiphys_kit::kubernetes::Cluster>,
}

impl Context<'_> {
    /// The value that a selector (`name`, `key`) names, in the sensor's namespace.
    ///
    /// # Errors
    /// Says what is absent.
    pub(crate) fn value(&self, kind: Kind, selector: &Json) -> Result<String, Error> {
        let text = |key: &str| selector.get(key).and_then(Json::as_str).unwrap_or_default();
        let found = self.catalog.value(kind, &self.firing.namespace, text("name"), text("key"));
        let found = found.map_err(|absent| Error::Missing(absent.to_string()))?;
        Ok(found.expose_secret().to_owned())
    }

    /// The value that a selector names in a Secret, without the newline that editors and `echo` leave at its end.
    ///
    /// # Errors
    /// Says what is absent.
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
    pub(crate) fn secret(&self, selector: &Json) -> Result<SecretString, Error> {
        let value = self.value(Kind::Secret, selector)?;
        Ok(SecretString::from(value.strip_suffix('\n').unwrap_or(&value)))
    }
}

/// One kind of trigger. `fire` may be called more than once for the same firing, and then must have its
/// effect once, or carry the firing's id as key.
#[async_trait]
pub trait TriggerKind: Send + Sync + 'static {
    /// The key below `template`.
    fn key(&self) -> &'static str;
    /// Acts.
    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error>;
}

/// All kinds that this version runs.
#[must_use]
pub fn builtin() -> Vec<Box<dyn TriggerKind>> {
    vec![
        Box::new(argo_workflow::ArgoWorkflow),
        Box::new(k8s::K8s),
        Box::new(http::Http),
        #[cfg(feature = "grpc")]
        Box::new(custom::Custom::default()),
        #[cfg(feature = "kafka")]
        Box::new(kafka::Kafka::default()),
        #[cfg(feature = "nats")]
        Box::new(nats::Nats::default()),
        #[cfg(feature = "pubsub")]
        Box::new(pubsub::PubSub::default()),
        #[cfg(feature = "sqs")]
        Box::new(sqs::Sqs::default()),
        Box::new(log::Log::default()),
    ]
}

/// Keys below `template` that are no kinds.
const NO_KINDS: [&str; 3] = ["name", "conditions", "conditionsReset"];

/// The kind of a trigger, by the first key below `template` that is one.
///
/// # Errors
/// Names the construct that this version does not run.
pub fn choose<'a>(kinds: &'a [Box<dyn TriggerKind>], template: &Json) -> Result<&'a dyn TriggerKind, Error> {
    let keys: Vec<&String> = template
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| !NO_KINDS.contains(&key.as_str()) && !value.is_null())
        .map(|(key, _)| key)
        .collect();
    if let Some(kind) = kinds.iter().find(|kind| keys.iter().any(|key| *key == kind.key())) {
        return Ok(kind.as_ref());
    }
    match keys.first() {
        Some(key) => Err(Error::NotYet(format!(
            "triggers of kind `{key}` are not run by this version; it runs {}",
            kinds.iter().map(|kind| kind.key()).collect::<Vec<_>>().join(", ")
        ))),
        None => Err(Error::Template("the trigger's template names no kind of trigger".into())),
    }
}
