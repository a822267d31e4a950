//! One kind: all of it, then what changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use serde_json::Value;
use tiphys_kit::kubernetes::{Event, Failure};
use tiphys_kit::{Backoff, CancellationToken};
use tiphys_manifest::{Kind, LoadOptions, load};
use tracing::{debug, warn};

use super::{Read, Shared};

/// What diagnostics call these objects' file.
const FILE: &str = "cluster";
/// A cluster that is away, or a kind that it does not know, is asked again after at most this.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl Shared {
    /// Reads all objects of a kind. The version of what was read.
    pub(super) async fn read_kind(&self, kind: Kind) -> Result<(), Failure> {
        let (objects, _) = self.objects_in(kind, self.namespace()).await?.list("").await?;
        self.put_all(kind, objects);
        Ok(())
    }

    fn put_all(&self, kind: Kind, objects: Vec<Value>) {
        let read: BTreeMap<_, _> =
            objects.into_iter().map(|object| (names(&object), read(kind, object))).collect();
        self.is_read(kind);
        self.found().kinds.insert(kind, read);
    }

    /// Follows a kind until `stop`.
    pub(super) async fn follow_kind(self: Arc<Self>, kind: Kind, stop: CancellationToken) {
        let mut backoff = Backoff::new(Duration::from_millis(200), LOOK_AGAIN);
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.follow_once(kind, &mut backoff) => outcome,
            };
            match outcome {
                Ok(()) | Err(Failure::Expired(_)) => debug!(%kind, "read afresh"),
                Err(failure) => {
                    warn!(%kind, %failure, "a kind of the cluster cannot be followed for the moment");
                    self.note(kind, &failure);
                    self.changed.notify_one();
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    /// One list, and the watches that follow it without a gap.
    async fn follow_once(&self, kind: Kind, backoff: &mut Backoff) -> Result<(), Failure> {
        let objects = self.objects_in(kind, self.namespace()).await?;
        let (all, mut version) = objects.list("").await?;
        self.put_all(kind, all);
        self.changed.notify_one();
        loop {
            let mut news = objects.watch("", &version).await?;
            let mut told = false;
            while let Some(event) = news.next().await {
                told = true;
                backoff.reset();
                match event? {
                    Event::There(object) => {
                        version_of(&object, &mut version);
                        let key = names(&object);
                        let read = read(kind, object);
                        self.found().kinds.entry(kind).or_default().insert(key, read);
                        self.changed.notify_one();
                    }
                    Event::Gone(object) => {
                        version_of(&object, &mut version);
                        if let Some(objects) = self.found().kinds.get_mut(&kind) {
                            objects.remove(&names(&object));
                        }
                        self.changed.notify_one();
                    }
                    Event::Quiet(newer) => version = newer,
                }
            }
            if !told {
                // A server that ends watches at once is not asked without a pause.
                tokio::time::sleep(backoff.next_wait()).await;
            }
        }
    }
}

/// Namespace and name.
pub(in crate::kubernetes) fn names(object: &Value) -> (String, String) {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

pub(in crate::kubernetes) fn version_of(object: &Value, version: &mut String) {
    if let Some(newer) = object["metadata"]["resourceVersion"].as_str() {
        newer.clone_into(version);
    }
}

/// Reads an object as a file would be. What only a server writes is left out.
pub(super) fn read(kind: Kind, mut object: Value) -> Read {
    if let Some(members) = object.as_object_mut() {
        members.remove("status");
        // Items of a list do not say what they are.
        members.entry("apiVersion").or_insert_with(|| kind.api_version().into());
        members.entry("kind").or_insert_with(|| kind.as_str().into());
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    let loaded = load::load(FILE, &object.to_string(), &LoadOptions::default());
    Read { object: loaded.objects.into_iter().next().map(Arc::new), diagnostics: loaded.diagnostics }
}
