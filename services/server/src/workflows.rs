//! The workflows, from their journals, with a signal for each that changed.

use std::sync::Arc;

use serde_json::Value;
use tiphys_bus::{Message, streams};
use tiphys_executor::Projection;
use tokio::sync::broadcast;

/// Changes that a slow reader may fall behind; then it looks at everything once.
const SIGNALS: usize = 1024;

/// The projection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Workflows {
    projection: Arc<Projection>,
    changed: broadcast::Sender<(String, String)>,
}

impl Default for Workflows {
    fn default() -> Self {
        Self { projection: Arc::new(Projection::default()), changed: broadcast::channel(SIGNALS).0 }
    }
}

impl Workflows {
    /// Takes a record of WORKFLOWS.
    pub(crate) fn apply(&self, message: &Message) {
        self.projection.apply(message);
        let mut names = message.subject.split('.').skip(1).map(streams::name_of);
        if let (Some(namespace), Some(name)) = (names.next(), names.next()) {
            // Nobody listening is no failure.
            let _ = self.changed.send((namespace, name));
        }
    }

    /// One workflow as Argo's object.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Value> {
        self.projection.get(namespace, name)
    }

    /// All of a namespace, or of all.
    pub(crate) fn list(&self, namespace: Option<&str>) -> Vec<Value> {
        self.projection.list(namespace)
    }

    /// Tells namespace and name of each workflow that changes from now on.
    pub(crate) fn changed(&self) -> broadcast::Receiver<(String, String)> {
        self.changed.subscribe()
    }
}
