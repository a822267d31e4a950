//! Argo's watch of workflows: those that are there, then each as it changes, `{"result": {"type", "object"}}`.

use std::collections::{BTreeSet, VecDeque};
use std::convert::Infallible;

use axum::extract::{Path, State};
use axum::response::sse::{Event as Sse, KeepAlive, Sse as SseResponse};
use futures::{Stream, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::RecvError};

use crate::body::Params;
use crate::error::ApiError;
use crate::selection::{ListOptions, Selection};
use crate::state::Shared;
use crate::workflow_api::text;

/// Namespace and name.
type Key = (String, String);

/// `GET /workflow-events/`.
pub(crate) async fn watch_all(
    State(shared): State<Shared>,
    Params(options): Params<ListOptions>,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, ApiError> {
    Watcher::start(shared, None, options.read()?)
}

/// `GET /workflow-events/{namespace}`.
pub(crate) async fn watch(
    State(shared): State<Shared>,
    Path(namespace): Path<String>,
    Params(options): Params<ListOptions>,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, ApiError> {
    let mut wanted = options.read()?;
    wanted.name = wanted.name.map(|name| shared.workflows.resolve(&namespace, name));
    Watcher::start(shared, Some(namespace), wanted)
}

struct Watcher {
    shared: Shared,
    namespace: Option<String>,
    wanted: Selection,
    changed: Receiver<Key>,
    /// Those that were told of, and are not deleted.
    known: BTreeSet<Key>,
    ready: VecDeque<Value>,
}

impl Watcher {
    fn start(
        shared: Shared,
        namespace: Option<String>,
        wanted: Selection,
    ) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, ApiError> {
        // The signal first, so that nothing that happens after the look is missed.
        let changed = shared.workflows.changed();
        let (known, ready) = (BTreeSet::new(), VecDeque::new());
        let mut watcher = Self { shared, namespace, wanted, changed, known, ready };
        watcher.look();
        let stream = futures::stream::unfold(watcher, |mut watcher| async move {
            let result = watcher.next().await?;
            Some((Ok(Sse::default().data(json!({"result": result}).to_string())), watcher))
        });
        Ok(SseResponse::new(stream.boxed()).keep_alive(KeepAlive::default()))
    }

    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(result) = self.ready.pop_front() {
                return Some(result);
            }
            match self.changed.recv().await {
                Ok(key) => self.tell(key),
                // Too slow: the newest state of all makes up for what was missed.
                Err(RecvError::Lagged(_)) => self.look(),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// Tells of all that are there, and of those that are there no more.
    fn look(&mut self) {
        let now = self.shared.workflows.list(self.namespace.as_deref());
        let here = now.iter().map(|workflow| {
            (text(workflow, "/metadata/namespace").to_owned(), text(workflow, "/metadata/name").to_owned())
        });
        let keys: BTreeSet<Key> = here.chain(self.known.iter().cloned()).collect();
        keys.into_iter().for_each(|key| self.tell(key));
    }

    fn tell(&mut self, key: Key) {
        let elsewhere = self.namespace.as_ref().is_some_and(|namespace| *namespace != key.0);
        if elsewhere || self.wanted.name.as_ref().is_some_and(|name| *name != key.1) {
            return;
        }
        let workflow = self.shared.workflows.get(&key.0, &key.1).filter(|w| self.wanted.takes(w));
        let result = match workflow {
            Some(workflow) => {
                let kind = if self.known.insert(key) { "ADDED" } else { "MODIFIED" };
                json!({"type": kind, "object": workflow})
            }
            // Deleted, or no longer among those that are watched; of what was never told nothing is told.
            None if self.known.remove(&key) => {
                json!({"type": "DELETED", "object": {"metadata": {"namespace": key.0, "name": key.1}}})
            }
            None => return,
        };
        self.ready.push_back(result);
    }
}
