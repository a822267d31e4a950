//! What the handlers share.

use std::sync::Arc;

use tiphys_bus::{Bus, Message, Publish, streams};
use tiphys_catalog::Catalog;
use tiphys_core::{Clock, Timestamp};
use tiphys_executor::Projection;
use tiphys_executor::launcher::Launcher;
use tiphys_kit::Health;
use tiphys_sensor::Accounting;

use crate::error::ApiError;
use crate::story::Story;

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct Shared {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The objects that exist.
    pub catalog: Catalog,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Readiness of the process.
    pub health: Health,
    /// Index of events.
    pub story: Story,
    /// Workflows, from their journals.
    pub workflows: Arc<Projection>,
    /// The sum rule.
    pub accounting: Arc<std::sync::Mutex<Accounting>>,
    /// Where the logs of steps are.
    pub launcher: Arc<dyn Launcher>,
    /// What `GET /metrics` shows.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Namespace of requests that name none.
    pub namespace: String,
    /// Findings of running parts, such as a port claimed twice.
    pub diagnostics: Arc<dyn Fn() -> Vec<tiphys_manifest::Diagnostic> + Send + Sync>,
}

/// Who asks, for the audit.
pub(crate) const CALLER_HEADER: &str = "x-tiphys-caller";
/// Why, for the audit.
pub(crate) const REASON_HEADER: &str = "x-tiphys-reason";

/// Who asks for a mutation, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who: what the client says of itself, behind the token that it holds.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        let text = |name: &str| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            // Bounded, and without what could break a line of a log.
            value.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect::<String>()
        };
        let by = text(CALLER_HEADER);
        Ok(Self { by: if by.is_empty() { "api".into() } else { by }, reason: text(REASON_HEADER) })
    }
}

impl Shared {
    /// Records a mutation on the AUDIT stream, before it is made.
    ///
    /// # Errors
    /// Fails when the bus does; then the mutation is not made.
    pub async fn audit(
        &self,
        caller: &Caller,
        namespace: &str,
        action: &str,
        object: &str,
    ) -> Result<(), ApiError> {
        let record = serde_json::json!({
            "version": 1,
            "at": self.now(),
            "by": caller.by,
            "reason": caller.reason,
            "action": action,
            "namespace": namespace,
            "object": object,
        });
        let subject = streams::subject(streams::AUDIT, &[namespace]);
        self.bus.publish(Publish::new(subject, record.to_string())).await?;
        Ok(())
    }

    /// The time now.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One record of a stream as JSON, with its position; `None` where it is gone or unreadable.
    pub(crate) async fn record<T: serde::de::DeserializeOwned>(
        &self,
        stream: &str,
        sequence: u64,
    ) -> Result<Option<(Message, T)>, ApiError> {
        let Some(message) = self.bus.get(stream, sequence).await? else { return Ok(None) };
        Ok(serde_json::from_slice(&message.payload).ok().map(|record| (message, record)))
    }
}
