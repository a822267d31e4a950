//! The workflows, from their journals, with a signal for each that changed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tiphys_bus::Message;
use tiphys_core::Timestamp;
use tiphys_core::workflow::{Command, Submission};
use tiphys_executor::cron::CRON_LABEL;
use tiphys_executor::logs::StepLog;
use tiphys_executor::node::Phase;
use tiphys_executor::projection::{Filter, Projection};
use tokio::sync::broadcast;
use tracing::warn;

/// Changes that a slow reader may fall behind; then it looks at everything once.
const SIGNALS: usize = 1024;

/// Stands for the name of the newest workflow.
const LATEST: &str = "@latest";

/// One step that has a log.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    /// Its attempt, and where its log may be besides at its launcher.
    pub(crate) log: StepLog,
    /// Argo's pod name.
    pub(crate) pod: String,
    /// Name without the boundary's.
    pub(crate) display: String,
    /// When it ended on a machine of a cluster: then it had a log.
    pub(crate) ended: Option<Timestamp>,
}

/// The projection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workflows {
    projection: Arc<Mutex<Projection>>,
    changed: broadcast::Sender<(String, String)>,
}

impl Default for Workflows {
    fn default() -> Self {
        Self { projection: Arc::default(), changed: broadcast::channel(SIGNALS).0 }
    }
}

impl Workflows {
    /// Takes a record of WORKFLOWS.
    pub(crate) fn apply(&self, message: &Message) {
        let changed = self.lock().apply(message);
        match changed {
            // Nobody listening is no failure.
            Ok(Some(key)) => drop(self.changed.send(key)),
            Ok(None) => {}
            Err(error) => {
                warn!(subject = message.subject, sequence = message.sequence, %error, "a journal record cannot be read");
            }
        }
    }

    /// One workflow as Argo's object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Value> {
        self.lock().object(namespace, name)
    }

    /// The uid of one, and whether it is over.
    pub(crate) fn brief(&self, namespace: &str, name: &str) -> Option<(String, bool)> {
        let summary = self.lock().get(namespace, name)?;
        let over = summary.phase.is_some_and(Phase::fulfilled);
        Some((summary.uid, over))
    }

    /// The submission of one, and the commands since.
    pub(crate) fn asked(&self, namespace: &str, name: &str) -> Option<(Submission, Vec<Command>)> {
        self.lock().asked(namespace, name)
    }

    /// Namespace and name of all.
    pub(crate) fn names(&self) -> Vec<(String, String)> {
        let all = self.lock().list(&Filter::default());
        all.into_iter().map(|summary| (summary.namespace, summary.name)).collect()
    }

    /// Name and uid of what runs of a CronWorkflow.
    pub(crate) fn of_cron(&self, namespace: &str, name: &str) -> Vec<(String, String)> {
        let labels = [(CRON_LABEL.to_owned(), name.to_owned())].into();
        let filter = Filter { namespace: Some(namespace.to_owned()), labels, ..Filter::default() };
        let all = self.lock().list(&filter).into_iter();
        let running = all.filter(|summary| !summary.phase.is_some_and(Phase::fulfilled));
        running.map(|summary| (summary.name, summary.uid)).collect()
    }

    /// Whether a step waits that a field selector picks.
    pub(crate) fn waits(&self, namespace: &str, name: &str, selector: &str) -> bool {
        let state = self.lock().state(namespace, name);
        state.is_some_and(|state| !state.waiting(selector).is_empty())
    }

    /// The name itself; `@latest` is the newest of the namespace, as in Argo.
    pub(crate) fn resolve(&self, namespace: &str, name: String) -> String {
        if name != LATEST {
            return name;
        }
        let filter = Filter { namespace: Some(namespace.to_owned()), ..Filter::default() };
        self.lock().list(&filter).into_iter().next().map_or(name, |newest| newest.name)
    }

    /// All of a namespace, or of all, the newest first.
    pub(crate) fn list(&self, namespace: Option<&str>) -> Vec<Value> {
        let filter = Filter { namespace: namespace.map(str::to_owned), ..Filter::default() };
        let names = self.lock().list(&filter);
        // One at a time, so that a long list does not keep the journals waiting.
        names.iter().filter_map(|summary| self.get(&summary.namespace, &summary.name)).collect()
    }

    /// The steps of a workflow that have a log: all, or those that a word names in any of its forms.
    pub(crate) fn steps(&self, namespace: &str, name: &str, wanted: &str) -> Vec<Step> {
        let Some(state) = self.lock().state(namespace, name) else { return Vec::new() };
        let nodes = state.nodes.values().filter_map(|node| {
            let pod = node.pod_name.clone().unwrap_or_default();
            let names = [&node.id, &node.name, &node.display_name, &pod];
            let meant = wanted.is_empty() || names.iter().any(|name| *name == wanted);
            let log = StepLog::of(&state, node).filter(|_| meant)?;
            let ended = node.finished.filter(|_| node.host.is_some());
            Some(Step { log, pod, display: node.display_name.clone(), ended })
        });
        nodes.collect()
    }

    /// Tells namespace and name of each workflow that changes from now on.
    pub(crate) fn changed(&self) -> broadcast::Receiver<(String, String)> {
        self.changed.subscribe()
    }

    fn lock(&self) -> MutexGuard<'_, Projection> {
        self.projection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
