//! What the handlers share.

use std::sync::Arc;

use tiphys_bus::{Bus, BusError, Message, Publish, streams};
use tiphys_catalog::Catalog;
use tiphys_core::trace::TRACEPARENT;
use tiphys_core::workflow::{Command, Submission};
use tiphys_core::{Clock, Timestamp, Trace};
use tiphys_executor::launcher::Launcher;
use tiphys_executor::logs::KeptLogs;
use tiphys_kit::{Group, Health};
use tiphys_manifest::Diagnostic;

use crate::error::ApiError;
use crate::follow::{Position, catch_up, follow};
use crate::story::Story;
use crate::sums::{Fold, Sums};
use crate::workflows::Workflows;

/// What the API is made of.
pub struct Parts {
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The objects that exist.
    pub catalog: Catalog,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Readiness of the process.
    pub health: Health,
    /// Where the logs of steps are.
    pub launcher: Arc<dyn Launcher>,
    /// Where they are that its launcher has no more.
    pub logs: Arc<KeptLogs>,
    /// What `GET /metrics` shows of the recorder.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// Findings of running parts, such as a port claimed twice.
    pub diagnostics: Arc<dyn Fn() -> Vec<Diagnostic> + Send + Sync>,
    /// Namespace of requests that name none.
    pub namespace: String,
}

/// Shared by all handlers; cheap to clone.
#[derive(Clone)]
pub struct Shared {
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) catalog: Catalog,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) health: Health,
    pub(crate) launcher: Arc<dyn Launcher>,
    pub(crate) logs: Arc<KeptLogs>,
    pub(crate) metrics: Arc<dyn Fn() -> String + Send + Sync>,
    pub(crate) diagnostics: Arc<dyn Fn() -> Vec<Diagnostic> + Send + Sync>,
    pub(crate) namespace: String,
    pub(crate) story: Story,
    pub(crate) workflows: Workflows,
    pub(crate) sums: Sums,
}

/// What keeps the projections up to date, to be given to [`Shared::follow`].
pub struct Followers {
    positions: Vec<(&'static str, Position)>,
    fold: Fold,
}

/// Streams that the story of events is made of.
const STORY: [&str; 4] = [streams::EVENTS, streams::VERDICTS, streams::FIRINGS, streams::DEAD];

impl Shared {
    /// Reads what the streams hold into the projections.
    ///
    /// # Errors
    /// Fails when the bus does.
    pub async fn open(parts: Parts) -> Result<(Self, Followers), BusError> {
        let (story, workflows) = (Story::default(), Workflows::default());
        let (sums, fold) = Sums::new(parts.bus.clone(), parts.catalog.clone());
        let mut positions = Vec::new();
        for stream in STORY {
            let position = catch_up(&parts.bus, stream, &mut |message| story.apply(message)).await?;
            positions.push((stream, position));
        }
        let position =
            catch_up(&parts.bus, streams::WORKFLOWS, &mut |message| workflows.apply(message)).await?;
        positions.push((streams::WORKFLOWS, position));
        let shared = Self {
            bus: parts.bus,
            catalog: parts.catalog,
            clock: parts.clock,
            health: parts.health,
            launcher: parts.launcher,
            logs: parts.logs,
            metrics: parts.metrics,
            diagnostics: parts.diagnostics,
            namespace: parts.namespace,
            story,
            workflows,
            sums,
        };
        Ok((shared, Followers { positions, fold }))
    }

    /// The Workflow object with its status, as far as is known here.
    #[must_use]
    pub fn workflow(&self, namespace: &str, name: &str) -> Option<serde_json::Value> {
        self.workflows.get(namespace, name)
    }

    /// The uid of a workflow, and whether it is over.
    #[must_use]
    pub fn workflow_brief(&self, namespace: &str, name: &str) -> Option<(String, bool)> {
        self.workflows.brief(namespace, name)
    }

    /// The submission of a workflow, and the commands since, in order.
    #[must_use]
    pub fn workflow_asked(&self, namespace: &str, name: &str) -> Option<(Submission, Vec<Command>)> {
        self.workflows.asked(namespace, name)
    }

    /// Namespace and name of every workflow.
    #[must_use]
    pub fn workflow_names(&self) -> Vec<(String, String)> {
        self.workflows.names()
    }

    /// Name and uid of what runs of a CronWorkflow.
    #[must_use]
    pub fn workflows_of_cron(&self, namespace: &str, name: &str) -> Vec<(String, String)> {
        self.workflows.of_cron(namespace, name)
    }

    /// Keeps the projections up to date.
    pub fn follow(&self, followers: Followers, group: &mut Group) {
        group.spawn("accounting", move |stop| followers.fold.run(stop));
        for (stream, position) in followers.positions {
            let (bus, story, workflows) = (self.bus.clone(), self.story.clone(), self.workflows.clone());
            group.spawn(stream, move |stop| async move {
                follow(bus, stream, position, stop, |message| match stream {
                    streams::WORKFLOWS => workflows.apply(message),
                    _ => story.apply(message),
                })
                .await
            });
        }
    }
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
    /// Within which trace.
    pub trace: Option<Trace>,
}

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Caller {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        let text = |name: &str| {
            let value = parts.headers.get(name).and_then(|value| value.to_str().ok());
            // Bounded, and without what could break a line of a log.
            value.unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect::<String>()
        };
        let by = text(CALLER_HEADER);
        Ok(Self {
            by: if by.is_empty() { "api".into() } else { by },
            reason: text(REASON_HEADER),
            trace: Trace::read(&text(TRACEPARENT)),
        })
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
