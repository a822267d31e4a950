//! What is kept of a pod: little, as there may be many.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tiphys_core::PodKey;

use super::judge::Trouble;
use super::pod::{BUDGET, GC, GC_DELAY, KEEPS, KEY, MAIN, RUNNER, UID};
use crate::launcher::{PodGc, PodState};

/// Behind the runner's kind, where something of the pod is in the store.
pub(super) const STORED: &str = "+stored";

/// Which pod it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
    pub(super) uid: Box<str>,
    /// Where what outlives it is kept, as its annotation says.
    pub(super) keeps: Option<Box<str>>,
}

impl Place {
    pub(super) fn of(pod: &Pod) -> Self {
        Self::in_metadata(&pod.metadata)
    }

    pub(super) fn in_metadata(metadata: &ObjectMeta) -> Self {
        let text = |text: &Option<String>| text.as_deref().unwrap_or_default().into();
        let keeps = metadata.annotations.as_ref().and_then(|all| all.get(KEEPS));
        Self {
            namespace: text(&metadata.namespace),
            name: text(&metadata.name),
            uid: text(&metadata.uid),
            keeps: keeps.map(|text| text.as_str().into()),
        }
    }
}

/// A pod whose end was not taken note of yet.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) place: Place,
    pub(super) state: PodState,
    /// The newest version of the object that was seen: an answer may arrive after what the watch tells of later changes.
    pub(super) version: u64,
    pub(super) gc: PodGc,
    /// How long after its end it goes.
    pub(super) gc_delay: Duration,
    pub(super) trouble: Trouble,
    /// What its events say of a pod whose status says nothing.
    pub(super) event: Option<(String, Trouble)>,
    /// It has to be connected to, by this program in it.
    pub(super) relay: Option<Box<str>>,
    /// Something of it is in the store.
    pub(super) kept: bool,
    /// It was told to end, by us.
    pub(super) stopping: bool,
    /// Somebody had taken it away before it was seen here: nothing of it is kept.
    pub(super) going: bool,
    /// What is under way for it.
    pub(super) busy: Busy,
}

/// Tasks of a pod, each of which runs once.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Busy {
    pub(super) relay: bool,
    pub(super) report: bool,
    pub(super) patience: bool,
    pub(super) events: bool,
    pub(super) end: bool,
    pub(super) deletion: bool,
    /// Its being there was told.
    pub(super) told: bool,
}

impl Record {
    pub(super) fn new(pod: &Pod) -> Self {
        let runner = annotation(pod, RUNNER).unwrap_or_default();
        Self {
            place: Place::of(pod),
            state: PodState::Pending { message: String::new() },
            version: 0,
            gc: match annotation(pod, GC) {
                Some("completion") => PodGc::OnCompletion,
                Some("success") => PodGc::OnSuccess,
                _ => PodGc::Later,
            },
            gc_delay: annotation(pod, GC_DELAY)
                .and_then(|text| crate::time::duration(text).ok())
                .unwrap_or_default(),
            trouble: Trouble::None,
            event: None,
            // Another executor, with other settings, may have made the pod.
            relay: program(pod).filter(|_| runner.starts_with("relay")).map(Into::into),
            kept: runner.ends_with(STORED),
            stopping: false,
            going: pod.metadata.deletion_timestamp.is_some(),
            busy: Busy::default(),
        }
    }

    pub(super) const fn is_over(&self) -> bool {
        matches!(self.state, PodState::Ended(_))
    }
}

/// What the main container runs.
fn program(pod: &Pod) -> Option<&str> {
    let containers = &pod.spec.as_ref()?.containers;
    let main = containers.iter().find(|container| container.name == MAIN)?;
    main.command.as_ref()?.first().map(String::as_str)
}

/// Versions of objects are numbers that grow. One that is none is taken for the newest.
pub(super) fn version_of(pod: &Pod) -> u64 {
    pod.metadata.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(u64::MAX)
}

pub(super) fn annotation<'p>(pod: &'p Pod, name: &str) -> Option<&'p str> {
    pod.metadata.annotations.as_ref()?.get(name).map(String::as_str)
}

pub(super) fn label<'p>(pod: &'p Pod, name: &str) -> Option<&'p str> {
    pod.metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// The attempt whose pod it is.
pub(super) fn key_of(pod: &Pod) -> Option<PodKey> {
    label(pod, KEY).map(|key| PodKey(key.to_owned()))
}

/// The workflow's uid, if it has a disruption budget.
pub(super) fn budget_of(pod: &Pod) -> Option<&str> {
    annotation(pod, BUDGET).and_then(|_| label(pod, UID))
}

/// Where pods are that were taken note of, of the latest: so that no server has to be asked.
#[derive(Debug, Default)]
pub(super) struct Names {
    places: HashMap<PodKey, Place>,
    order: VecDeque<PodKey>,
}

impl Names {
    /// So many are known; each takes about 200 bytes.
    const MOST: usize = 10_000;

    pub(super) fn add(&mut self, key: PodKey, place: Place) {
        if self.places.insert(key.clone(), place).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > Self::MOST {
            if let Some(oldest) = self.order.pop_front() {
                self.places.remove(&oldest);
            }
        }
    }

    pub(super) fn get(&self, key: &PodKey) -> Option<Place> {
        self.places.get(key).cloned()
    }

    /// Its place in the order is left, and goes with time.
    pub(super) fn remove(&mut self, key: &PodKey) -> Option<Place> {
        self.places.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_names_are_known() {
        let mut names = Names::default();
        let key = |number: usize| PodKey(number.to_string());
        let place = |number: usize| Place {
            namespace: "n".into(),
            name: number.to_string().into(),
            uid: "u".into(),
            keeps: None,
        };
        for number in 0..=Names::MOST {
            names.add(key(number), place(number));
        }
        assert_eq!(names.get(&key(0)), None);
        assert_eq!(names.get(&key(1)), Some(place(1)));
        assert_eq!(names.remove(&key(1)), Some(place(1)));
        assert_eq!(names.get(&key(1)), None);
        assert!(names.order.len() <= Names::MOST);
    }
}
