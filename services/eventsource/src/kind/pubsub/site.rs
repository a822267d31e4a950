//! The subscription: found, made where it is missing, looked at, deleted.

use std::time::Duration;

use google_cloud_gax::options::RequestOptionsBuilder as _;
use google_cloud_gax::retry_policy::NeverRetry;
use google_cloud_pubsub::client::{SchemaService, Subscriber, SubscriptionAdmin, TopicAdmin};
use google_cloud_pubsub::subscriber::MessageStream;
use secrecy::ExposeSecret as _;
use tiphys_kit::google::{self, Access};
use tiphys_manifest::event_source::PubSub as Config;
use tracing::{info, warn};

use super::ghost;
use super::names::Names;
use super::refusal::{RIGHTS, is_absent, is_taken, refusal};
use super::work::HELD;
use crate::error::Error;
use crate::kind::Scope;

/// A question about the subscription is answered within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// A message that nobody prolongs is delivered again after this time. Short, so that little waits for a process
/// that died; the client prolongs it for as long as it is under way.
const LEASE: Duration = Duration::from_secs(20);
/// The same with an emulator, which tries a developer's patience; the least that is allowed.
const SHORT_LEASE: Duration = Duration::from_secs(10);
/// Bytes that may be under way.
const BYTES: i64 = 64 * 1024 * 1024;
/// What must be granted to receive.
const CONSUME: &str = "pubsub.subscriptions.consume";
/// The topic of a subscription whose topic was deleted.
const DELETED: &str = "_deleted-topic_";

/// A subscription at the service.
pub(super) struct Site {
    access: Access,
    names: Names,
    subscriptions: SubscriptionAdmin,
    /// Tells of permissions; the methods for that are part of this client only.
    rights: Option<SchemaService>,
}

/// How the service is reached, and as whom.
///
/// # Errors
/// Fails where the credential is missing, or none.
pub(super) fn access(config: &Config, scope: &Scope) -> Result<Access, Error> {
    Access::new(google::emulator().as_deref(), &config.endpoint, || {
        let Some(selector) = &config.credential_secret else { return Ok(None) };
        let text = scope.secret(selector)?;
        let credentials = google::credentials(text.expose_secret()).map_err(|reason| {
            let what = format!("Secret `{}`, key `{}`: {reason}", selector.name, selector.key);
            Error::config(what, "put the JSON text of a service account's key there")
        })?;
        Ok(Some(credentials))
    })
}

/// Applies endpoint and credentials to the builder of any client.
macro_rules! client {
    ($kind:ty, $access:expr) => {{
        let mut builder = <$kind>::builder();
        if let Some(endpoint) = &$access.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if let Some(credentials) = &$access.credentials {
            builder = builder.with_credentials(credentials.clone());
        }
        builder.build().await.map_err(|error| {
            let what = format!("no client of Pub/Sub can be made: {}", google::reason(&error));
            Error::upstream(what, "name `credentialSecret`, or give the process credentials of its own")
        })?
    }};
}

/// Sends a request once, and not for long: whoever asks decides about another time.
macro_rules! ask {
    ($request:expr) => {
        $request.with_retry_policy(NeverRetry).with_attempt_timeout(PATIENCE).send().await
    };
}

impl Site {
    /// Makes the clients; nothing is asked yet.
    ///
    /// # Errors
    /// Fails where no credentials are found.
    pub(super) async fn open(access: Access, names: Names) -> Result<Self, Error> {
        let subscriptions = client!(SubscriptionAdmin, access);
        let rights = if access.emulated { None } else { Some(client!(SchemaService, access)) };
        Ok(Self { access, names, subscriptions, rights })
    }

    /// The full name.
    pub(super) fn subscription(&self) -> &str {
        &self.names.subscription
    }

    /// Whether this failure of a stream is the emulator's way, and no more than a reason to open another.
    pub(super) fn forgives(&self, failure: &google_cloud_gax::error::Error) -> bool {
        self.access.emulated && ghost::was_laid(failure)
    }

    /// The messages. The stream is opened when the first is asked for.
    ///
    /// # Errors
    /// Fails where no credentials are found.
    pub(super) async fn stream(&self) -> Result<MessageStream, Error> {
        let subscriber = client!(Subscriber, self.access);
        let subscribe = subscriber.subscribe(&self.names.subscription);
        let lease = if self.access.emulated { SHORT_LEASE } else { LEASE };
        let subscribe = subscribe.set_max_lease_extension(lease).set_max_outstanding_bytes(BYTES);
        Ok(subscribe.set_max_outstanding_messages(HELD).build())
    }

    /// Whether the subscription exists, and we may receive from it. The right to receive is enough to ask.
    ///
    /// # Errors
    /// Fails where we may not, or nobody answers.
    pub(super) async fn exists(&self) -> Result<bool, Error> {
        let name = &self.names.subscription;
        let answer = match &self.rights {
            None => ask!(self.subscriptions.get_subscription().set_subscription(name)).map(|_| true),
            Some(client) => {
                let request = client.test_iam_permissions().set_resource(name).set_permissions([CONSUME]);
                ask!(request).map(|granted| !granted.permissions.is_empty())
            }
        };
        match answer {
            Ok(true) => Ok(true),
            Ok(false) => Err(Error::upstream(format!("we may not receive from `{name}`"), RIGHTS)),
            Err(failure) if is_absent(&failure) => Ok(false),
            Err(failure) => Err(refusal(&format!("subscription `{name}`"), &failure)),
        }
    }

    /// Finds the subscription or makes it, and its topic.
    ///
    /// # Errors
    /// Says what is missing or denied.
    pub(super) async fn ensure(&self) -> Result<(), Error> {
        let name = &self.names.subscription;
        let exists = self.exists().await?;
        if exists && self.access.emulated {
            let laid = ghost::lay(&self.subscriptions, name).await;
            laid.map_err(|failure| refusal(&format!("subscription `{name}`"), &failure))?;
        }
        match &self.names.topic {
            None if exists => Ok(()),
            None => Err(Error::upstream(
                format!("subscription `{name}` does not exist, and no `topic` is named to make it for"),
                "create it, or name `topic`; it is looked for again",
            )),
            Some(topic) if exists => self.verify(topic).await,
            Some(topic) => self.make(topic).await,
        }
    }

    async fn verify(&self, topic: &str) -> Result<(), Error> {
        let name = &self.names.subscription;
        let found = ask!(self.subscriptions.get_subscription().set_subscription(name));
        let found = found.map_err(|failure| refusal(&format!("subscription `{name}`"), &failure))?;
        if found.topic == topic {
            return Ok(());
        }
        let what = match found.topic.as_str() {
            DELETED => format!("the topic of subscription `{name}` was deleted"),
            other => format!("subscription `{name}` belongs to topic `{other}`, not to `{topic}`"),
        };
        Err(Error::upstream(what, "delete the subscription, or name another in `subscriptionID`"))
    }

    async fn make(&self, topic: &str) -> Result<(), Error> {
        let Err(failure) = self.subscribe(topic).await else { return Ok(()) };
        if !is_absent(&failure) {
            return Err(refusal(&format!("subscription `{}`", self.names.subscription), &failure));
        }
        let topics = client!(TopicAdmin, self.access);
        match ask!(topics.create_topic().set_name(topic)) {
            Ok(_) => info!(topic, "the topic did not exist, and was made"),
            Err(failure) if is_taken(&failure) => {}
            Err(failure) => return Err(refusal(&format!("topic `{topic}`"), &failure)),
        }
        let again = self.subscribe(topic).await;
        again.map_err(|failure| refusal(&format!("subscription `{}`", self.names.subscription), &failure))
    }

    async fn subscribe(&self, topic: &str) -> google_cloud_pubsub::Result<()> {
        let name = &self.names.subscription;
        match ask!(self.subscriptions.create_subscription().set_name(name).set_topic(topic)) {
            Ok(_) => {
                info!(subscription = name, topic, "the subscription did not exist, and was made");
                Ok(())
            }
            Err(failure) if is_taken(&failure) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Deletes the subscription, with what it still holds.
    pub(super) async fn delete(&self) {
        let name = &self.names.subscription;
        match ask!(self.subscriptions.delete_subscription().set_subscription(name)) {
            Ok(()) => info!(subscription = name, "the subscription was deleted, as the manifest says"),
            Err(failure) if is_absent(&failure) => {}
            Err(failure) => {
                warn!(
                    subscription = name,
                    reason = google::reason(&failure),
                    "the subscription was not deleted"
                );
            }
        }
    }
}
