//! `pubsub`: one message per firing, with the firing's id as attribute. Pub/Sub knows no duplicates: a retry after an
//! unknown result is a second message, which a receiver tells by that attribute.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use google_cloud_gax::error::rpc::Code;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_pubsub::client::{BasePublisher, Publisher};
use google_cloud_pubsub::error::PublishError;
use google_cloud_pubsub::model::Message;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value as Json;
use tiphys_core::trace::TRACEPARENT;
use tiphys_kit::google::{self, Access};
use tokio::sync::OnceCell;

use super::pool::Pool;
use super::{Context, TriggerKind};
use crate::apply::{apply, payload};
use crate::error::Error;
use crate::ledger::Effect;

/// An answer may take so long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages of so long a time go together.
const GATHER: Duration = Duration::from_millis(2);
/// Carries the firing's id.
const FIRING: &str = "Tiphys-Firing-Id";

/// The kind, with its clients.
#[derive(Default)]
pub(super) struct PubSub(Pool<Arc<OnceCell<Publisher>>>);

#[async_trait]
impl TriggerKind for PubSub {
    fn key(&self) -> &'static str {
        "pubsub"
    }

    async fn fire(&self, context: Context<'_>) -> Result<Effect, Error> {
        let mut template = context.template.clone();
        apply(&mut template, &context.firing.parameters)?;
        let settings = Settings::of(&context, &template).await?;
        let message = message(&context, &template)?;
        let key = settings.key();
        let cell = match self.0.get(&key) {
            Some(cell) => cell,
            None => self.0.keep(key, Arc::default()),
        };
        let publisher = cell.get_or_try_init(|| settings.open()).await?;
        let order = message.ordering_key.clone();
        let topic = &settings.topic;
        let answer = tokio::time::timeout(PATIENCE, publisher.publish(message)).await;
        let outcome = match answer {
            Ok(Ok(id)) => {
                return Ok(Effect::Published { to: settings.shown(), receipt: format!("message {id}") });
            }
            Ok(Err(failure)) => refusal(topic, &failure),
            Err(_) => Error::Unavailable(format!("topic `{topic}`: no answer within {PATIENCE:?}")),
        };
        if !order.is_empty() {
            // A failure closes the key; what comes next is this very message again.
            publisher.resume_publish(order);
        }
        Err(outcome)
    }
}

/// What the firing sends.
fn message(context: &Context<'_>, template: &Json) -> Result<Message, Error> {
    let firing = context.firing;
    let Some(body) = payload(&firing.payload)? else {
        return Err(Error::Template(
            "`payload` of the pubsub trigger is missing: it makes the message".into(),
        ));
    };
    let mut message = Message::new().set_data(body);
    for (name, value) in template.get("attributes").and_then(Json::as_object).into_iter().flatten() {
        message.attributes.insert(name.clone(), text(Some(value)));
    }
    if let Some(trace) = context.trace {
        message.attributes.entry(TRACEPARENT.into()).or_insert_with(|| trace.to_owned());
    }
    message.attributes.insert(FIRING.into(), firing.id.0.clone());
    Ok(message.set_ordering_key(text(template.get("orderingKey"))))
}

/// Where it is sent, and as whom.
struct Settings {
    topic: String,
    endpoint: String,
    emulator: Option<String>,
    /// JSON text.
    credential: Option<SecretString>,
}

impl Settings {
    /// Reads them, Secrets too.
    async fn of(context: &Context<'_>, template: &Json) -> Result<Self, Error> {
        let named = |key: &str| text(template.get(key));
        let (topic, emulator) = (named("topic"), google::emulator());
        if topic.is_empty() {
            return Err(Error::Template("`topic` of the pubsub trigger is missing".into()));
        }
        let selector = template.get("credentialSecret").filter(|selector| !selector.is_null());
        // An emulator is shown no credentials, so none have to be there.
        let credential = selector.filter(|_| emulator.is_none()).map(|selector| context.secret(selector));
        let mut settings =
            Self { topic, endpoint: named("endpoint"), emulator, credential: credential.transpose()? };
        if !settings.topic.contains('/') {
            let project = match named("projectID") {
                project if !project.is_empty() => project,
                _ => settings.own_project().await?,
            };
            settings.topic = format!("projects/{project}/topics/{}", settings.topic);
        }
        Ok(settings)
    }

    async fn own_project(&self) -> Result<String, Error> {
        if self.emulator.is_some() || self.endpoint.starts_with("http://") {
            return Err(Error::Template("`projectID` of the pubsub trigger is missing".into()));
        }
        google::project().await.map_err(|reason| {
            let what = "the pubsub trigger names no `projectID`, and this machine has none";
            Error::Unavailable(format!("{what}: {reason}"))
        })
    }

    /// What tells these from others. It holds secrets.
    fn key(&self) -> String {
        let credential = self.credential.as_ref().map_or("", |credential| credential.expose_secret());
        [&self.topic, &self.endpoint, self.emulator.as_deref().unwrap_or_default(), credential].join("\n")
    }

    /// For people.
    fn shown(&self) -> String {
        format!("Pub/Sub topic {}", self.topic)
    }

    /// A client, which connects when it is first used.
    async fn open(&self) -> Result<Publisher, Error> {
        let access = Access::new(self.emulator.as_deref(), &self.endpoint, || {
            let text = self.credential.as_ref().map(|text| google::credentials(text.expose_secret()));
            // The Secret may be corrected before the attempts end.
            text.transpose().map_err(|reason| Error::Missing(format!("`credentialSecret`: {reason}")))
        })?;
        // The trigger's own strategy says when it is tried again.
        let mut builder = BasePublisher::builder().with_retry_policy(NeverRetry);
        if let Some(endpoint) = access.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(credentials) = access.credentials {
            builder = builder.with_credentials(credentials);
        }
        let built = builder.build().await;
        let client = built.map_err(|error| {
            Error::Unavailable(format!("no client of Pub/Sub can be made: {}", google::reason(&error)))
        })?;
        Ok(client.publisher(&self.topic).set_delay_threshold(GATHER).build())
    }
}

/// The error of a message that was not taken.
fn refusal(topic: &str, failure: &PublishError) -> Error {
    let status = match failure {
        PublishError::Rpc(rpc) => rpc.status(),
        _ => None,
    };
    let Some(status) = status else {
        return Error::Unavailable(format!("topic `{topic}`: {}", google::reason(failure)));
    };
    let what = format!("topic `{topic}`: {}: {}", status.code, status.message);
    match status.code {
        Code::NotFound => Error::Missing(what),
        Code::InvalidArgument | Code::OutOfRange => Error::Refused(what),
        Code::PermissionDenied | Code::Unauthenticated => Error::Unavailable(format!(
            "{what}; grant pubsub.topics.publish on the topic to whom `credentialSecret` or the process's own \
             credentials name"
        )),
        _ => Error::Unavailable(what),
    }
}

/// Text as it is, anything else as JSON; nothing for nothing.
fn text(value: Option<&Json>) -> String {
    match value {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
