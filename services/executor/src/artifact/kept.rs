//! What outlives a pod and is none of its workflow's artifacts: its log, and what was too long for the pod itself.
//!
//! It lies in the store of the workflow's artifact repository, so that every executor and API server finds it, whatever
//! machine they are on: in `tiphys/WORKFLOW-UID/POD-KEY`, below the part of the repository's `keyFormat` that has no tags.
//! Where follows from the journal alone. Where there is no such store, launchers use a folder of their own.

use tiphys_core::PodKey;

use super::{Location, Place};
use crate::journal::State;

/// The log, in the form that the runner gives it.
pub const LOG: &str = "log";

/// The folder of all pods of a workflow. `None`: its repository is the executor's own folder.
#[must_use]
pub fn of_workflow(state: &State) -> Option<String> {
    below(state, "")
}

/// The folder of one pod.
#[must_use]
pub fn of_pod(state: &State, pod: &PodKey) -> Option<String> {
    below(state, &format!("/{pod}"))
}

fn below(state: &State, end: &str) -> Option<String> {
    let repository = state.repository.as_ref()?;
    let place = repository.place.clone()?;
    let key = format!("{}tiphys/{}{end}", plain(&repository.format), state.submission.uid);
    let namespace = state.submission.namespace.clone();
    Location { namespace, place: place.with_key(&key) }.text().ok()
}

/// The folders that a format begins with, up to its first tag: who may write there only, may still.
fn plain(format: &str) -> &str {
    let text = format.trim_start_matches('/');
    let text = text.split("{{").next().unwrap_or_default();
    text.rsplit_once('/').map_or("", |(folders, _)| text.get(..=folders.len()).unwrap_or_default())
}

/// Something in the folder of a pod. `None`: it is no folder of a store.
#[must_use]
pub fn within(folder: &str, name: &str) -> Option<String> {
    let Location { namespace, place } = Location::read(folder).ok()??;
    if matches!(place, Place::Http(_) | Place::Git(_)) {
        return None;
    }
    let key = format!("{}/{name}", place.key());
    Location { namespace, place: place.with_key(&key) }.text().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_without_tags_are_kept() {
        for (format, expected) in [
            ("{{workflow.name}}/{{pod.name}}", ""),
            ("logs/{{workflow.name}}/x", "logs/"),
            ("/a/b/c-{{workflow.name}}", "a/b/"),
            ("a/b", "a/"),
            ("", ""),
        ] {
            assert_eq!(plain(format), expected, "{format}");
        }
    }

    #[test]
    fn what_is_in_a_folder_has_its_store() {
        let folder = r#"{"namespace":"team","gcs":{"bucket":"b","key":"tiphys/uid/pod"}}"#;
        let log = within(folder, LOG).unwrap();
        let read = Location::read(&log).unwrap().unwrap();
        assert_eq!((read.namespace.as_str(), read.place.key()), ("team", "tiphys/uid/pod/log"));
        assert_eq!(within("team/wf/pod", LOG), None);
        assert_eq!(within(r#"{"namespace":"team","http":{"url":"http://x"}}"#, LOG), None);
    }
}
