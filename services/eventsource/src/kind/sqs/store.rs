//! From a received message to a stored event, however long the bus is away.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_sqs::types::Message;
use tiphys_bus::BusError;
use tiphys_core::chain;
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::event_source::Sqs as Config;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

use super::message::draft;
use crate::emit::Emitter;
use crate::error::Error;
use crate::kind::Scope;

/// So long at most lies between two attempts.
const PAUSE: Duration = Duration::from_secs(4);
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
    /// Whose turn it is to try again. One at a time, so that a bus which is away is asked by one message, not
    /// by each that waits.
    turn: Semaphore,
    told: Mutex<Option<Instant>>,
}

impl Store {
    pub(super) fn new(config: Config, scope: Scope, emitter: Emitter) -> Self {
        Self { config, scope, emitter, turn: Semaphore::new(1), told: Mutex::new(None) }
    }

    /// Whether the bus is away.
    pub(super) fn waits(&self) -> bool {
        self.turn.available_permits() == 0
    }

    /// Stores one message; durable when this says that it may be deleted.
    pub(super) async fn take(&self, message: &Message, closing: &CancellationToken) -> Verdict {
        let draft = match draft(message, &self.config) {
            Ok(draft) => draft,
            Err(wrong) => return self.bury(message, &wrong, closing).await,
        };
        match self.insist(closing, || self.emitter.emit(draft.clone())).await {
            Ok(_) => Verdict::Delete,
            Err(Some(wrong)) => self.bury(message, &wrong, closing).await,
            Err(None) => Verdict::Release,
        }
    }

    /// A message that can never be an event.
    async fn bury(&self, message: &Message, wrong: &Error, closing: &CancellationToken) -> Verdict {
        let id = message.message_id().unwrap_or_default();
        if self.config.dlq {
            self.tell(id, "it is left to the queue's own dead-letter queue", wrong);
            return Verdict::Leave;
        }
        let raw = message.body().unwrap_or_default().as_bytes();
        match self.insist(closing, || self.scope.dead_letter(id, raw, wrong)).await {
            Ok(()) => Verdict::Delete,
            Err(None) => Verdict::Release,
            Err(Some(refused)) => {
                self.tell(id, "it is no event and no dead letter, and stays in the queue", &refused);
                Verdict::Leave
            }
        }
    }

    /// Tries until the bus has decided; without an error when it is time to close.
    async fn insist<T, F>(
        &self,
        closing: &CancellationToken,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Option<Error>>
    where
        F: Future<Output = Result<T, Error>>,
    {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(wrong) if is_final(&wrong) => return Err(Some(wrong)),
            Err(_) => {}
        }
        let turn = tokio::select! {
            () = closing.cancelled() => return Err(None),
            turn = self.turn.acquire() => turn,
        };
        let mut backoff = Backoff::new(Duration::from_millis(200), PAUSE);
        let outcome = loop {
            match attempt().await {
                Ok(done) => break Ok(done),
                Err(wrong) if is_final(&wrong) => break Err(Some(wrong)),
                Err(_) => {}
            }
            tokio::select! {
                () = closing.cancelled() => break Err(None),
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        };
        drop(turn);
        outcome
    }

    fn tell(&self, id: &str, fate: &str, why: &Error) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_none_or(|told| told.elapsed() >= QUIET) {
            *told = Some(Instant::now());
            let origin = &self.scope.origin;
            warn!(source = origin.source, name = origin.event, message = id, reason = chain(why), "{fate}");
        }
    }
}

/// Whether no later attempt could end in another way.
const fn is_final(wrong: &Error) -> bool {
    matches!(
        wrong,
        Error::Payload(_)
            | Error::Message { .. }
            | Error::Bus(BusError::TooLarge { .. } | BusError::Invalid { .. })
    )
}
