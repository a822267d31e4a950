//! Pods that go some time after their end (`podGC.deleteDelayDuration`). A label of the pod says when, so that an executor that
//! starts in between knows.

use std::sync::Arc;
use std::time::Duration;

use kube::api::ListParams;
use tiphys_core::{PodKey, Timestamp};

use super::ask::within;
use super::pod::{COMPLETED, INSTALLATION, KEY};
use super::record::Place;
use super::{REQUEST, Shared};

/// Label of a pod that goes later: when, in seconds since 1970.
const DUE: &str = "tiphys.dev/delete-at";

impl Shared {
    /// Takes note of a pod's end now, and takes the pod away later.
    pub(super) fn delete_later(self: &Arc<Self>, key: PodKey, place: Place, delay: Duration) {
        let due = crate::time::after(self.clock.now(), delay);
        // Rounded up, as after a restart this is all that is known.
        let text = due.as_second().saturating_add(1).to_string();
        let patch = serde_json::json!({"metadata": {"labels": {COMPLETED: "true", DUE: text}}});
        self.patch("mark pod", place.clone(), patch);
        self.delete_at(key, place, due);
    }

    fn delete_at(self: &Arc<Self>, key: PodKey, place: Place, due: Timestamp) {
        let shared = Arc::clone(self);
        self.tasks.spawn("delete pod later", async move {
            let left = due.duration_since(shared.clock.now());
            if shared.pause(Duration::try_from(left).unwrap_or_default()).await {
                shared.take_away(key, place);
            }
        });
    }

    /// Looks for pods that ended before this executor started, and are to go.
    pub(super) fn find_due(self: &Arc<Self>) {
        self.until_done("find the pods that are to go".to_owned(), |shared| async move {
            let selector = format!("{INSTALLATION}={},{DUE}", shared.config.installation);
            let params = ListParams::default().labels(&selector);
            for api in shared.scopes() {
                for pod in within(REQUEST, api.list_metadata(&params)).await?.items {
                    let label = |name: &str| pod.metadata.labels.as_ref()?.get(name).cloned();
                    let due = label(DUE).and_then(|text| Timestamp::from_second(text.parse().ok()?).ok());
                    if let (Some(key), Some(due)) = (label(KEY), due) {
                        shared.delete_at(PodKey(key), Place::in_metadata(&pod.metadata), due);
                    }
                }
            }
            Ok(())
        });
    }
}
