//! From a received message to a stored event, however long the bus is away.

use std::time::Duration;

use google_cloud_pubsub::model::Message;
use google_cloud_pubsub::subscriber::handler::Handler;
use tiphys_core::chain;
use tiphys_kit::{CancellationToken, google};
use tiphys_manifest::event_source::PubSub as Config;
use tracing::{debug, warn};

use super::message::{draft, native};
use crate::emit::Emitter;
use crate::error::Error;
use crate::insist::Insist;
use crate::kind::Scope;

/// What can be stored neither as event nor as dead letter is delivered again after this time.
const PAUSE: Duration = Duration::from_secs(30);

/// Stores messages.
pub(super) struct Store {
    config: Config,
    scope: Scope,
    emitter: Emitter,
    subscription: String,
    insist: Insist,
    closing: CancellationToken,
}

impl Store {
    pub(super) fn new(config: Config, scope: Scope, emitter: Emitter, subscription: String) -> Self {
        let closing = scope.stop.child_token();
        Self { config, scope, emitter, subscription, insist: Insist::new(closing.clone()), closing }
    }

    /// Nothing new is begun, and nobody waits for a bus that is away.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    /// Whether it was closed.
    pub(super) fn is_closed(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Stores one message and acks it. One that is not stored is given back when its handler is dropped.
    pub(super) async fn take(&self, message: Message, handler: Handler) {
        let stored = match draft(&message, &self.config, &self.subscription) {
            Ok(draft) => self.insist.on(|| self.emitter.emit(draft.clone())).await.map(|done| done.map(drop)),
            Err(wrong) => Err(wrong),
        };
        let settled = match stored {
            Err(wrong) => self.bury(&message, &wrong).await,
            stored => stored,
        };
        match settled {
            Ok(Some(())) => acknowledge(handler, &message.message_id).await,
            Ok(None) => {}
            Err(refused) => {
                warn!(
                    subscription = self.subscription,
                    message = message.message_id,
                    reason = chain(&refused),
                    "a message is no event and no dead letter, and stays with Pub/Sub"
                );
                tokio::select! {
                    () = self.closing.cancelled() => {}
                    () = tokio::time::sleep(PAUSE) => {}
                }
            }
        }
    }

    /// A message that can never be an event.
    async fn bury(&self, message: &Message, wrong: &Error) -> Result<Option<()>, Error> {
        let native = native(message, &self.config, &self.subscription);
        let id = format!("{}\n{}", native.id, native.fingerprint.unwrap_or_default());
        self.insist.on(|| self.scope.dead_letter(&id, &message.data, wrong)).await
    }
}

/// With an exactly-once subscription the answer is awaited. A failure is no loss: the message comes again, and is
/// the same event.
async fn acknowledge(handler: Handler, message: &str) {
    match handler {
        Handler::ExactlyOnce(handler) => {
            if let Err(failure) = handler.confirmed_ack().await {
                debug!(message, reason = google::reason(&failure), "an ack was not confirmed");
            }
        }
        other => other.ack(),
    }
}
