//! From a received message to a stored event, however long the bus is away.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use tiphys_bus::BusError;
use tiphys_core::chain;
use tiphys_kit::CancellationToken;
use tiphys_manifest::event_source::Sqs as Config;
use tokio::time::Instant;
use tracing::warn;

use super::message::draft;
use crate::emit::Emitter;
use crate::error::Error;
use crate::insist::Insist;
use crate::kind::Scope;

/// What stays as it is is told of once in this time.
const QUIET: Duration = Duration::from_secs(10);

/// What is to become of a message in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is stored, or will never be wanted.
    Delete,
    /// Its time runs out by itself, and then the queue decides.
    Leave,
    /// Somebody else may have it at once.
    Release,
}

/// Stores messages.
pub(super) struct Store {
    config: Config,
    scope: Scope,
    emitter: Emitter,
    insist: Insist,
    told: Mutex<Option<Instant>>,
}

impl Store {
    /// Tries again until `closing`.
    pub(super) fn new(config: Config, scope: Scope, emitter: Emitter, closing: CancellationToken) -> Self {
        Self { config, scope, emitter, insist: Insist::new(closing), told: Mutex::new(None) }
    }

    /// The queue gives messages.
    pub(super) fn up(&self) {
        self.scope.up();
    }

    /// Whether the bus is away.
    pub(super) fn waits(&self) -> bool {
        self.insist.waits()
    }

    /// Stores one message; durable when this says that it may be deleted.
    pub(super) async fn take(&self, message: &Message) -> Verdict {
        let draft = match draft(message, &self.config) {
            Ok(draft) => draft,
            Err(wrong) => return self.bury(message, &wrong).await,
        };
        match self.insist.on(|| self.emitter.emit(draft.clone())).await {
            Ok(Some(_)) => Verdict::Delete,
            Ok(None) => Verdict::Release,
            Err(wrong) if is_poison(&wrong) => self.bury(message, &wrong).await,
            Err(wrong) => self.leave(message, "it cannot be stored, and stays in the queue", &wrong),
        }
    }

    /// A message that can never be an event.
    async fn bury(&self, message: &Message, wrong: &Error) -> Verdict {
        if self.config.dlq {
            return self.leave(message, "it is left to the queue's own dead-letter queue", wrong);
        }
        let id = message.message_id().unwrap_or_default();
        let raw = message.body().unwrap_or_default().as_bytes();
        match self.insist.on(|| self.scope.dead_letter(id, raw, wrong)).await {
            Ok(Some(())) => Verdict::Delete,
            Ok(None) => Verdict::Release,
            Err(refused) => {
                self.leave(message, "it is no event and no dead letter, and stays in the queue", &refused)
            }
        }
    }

    fn leave(&self, message: &Message, fate: &str, why: &Error) -> Verdict {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= QUIET) {
            *told = Some(Instant::now());
            let origin = &self.scope.origin;
            let id = message.message_id().unwrap_or_default();
            warn!(source = origin.source, name = origin.event, message = id, reason = chain(why), "{fate}");
        }
        Verdict::Leave
    }
}

/// Whether the message itself is the reason, so that no later attempt could end in another way.
const fn is_poison(wrong: &Error) -> bool {
    matches!(
        wrong,
        Error::Payload(_)
            | Error::Message { .. }
            | Error::Bus(BusError::TooLarge { .. } | BusError::Invalid { .. })
    )
}
