//! The children of cron workflows: which run, and which finished ones are too many.

use std::collections::BTreeMap;

use tiphys_bus::Message;
use tiphys_core::Timestamp;
use tiphys_core::workflow::WorkflowRecord;

use super::CRON_LABEL;
use crate::journal::{Change, Progress};
use crate::node::Phase;
use crate::submit::names_of;

/// Namespace and name.
type Key = (String, String);

/// One child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Child {
    /// Its name.
    pub(super) name: String,
    /// When it was submitted.
    pub(super) at: Timestamp,
    /// How it ended, if it did.
    pub(super) ended: Option<Phase>,
    cron: Key,
}

/// The children, from the journals.
#[derive(Debug, Default)]
pub(super) struct History {
    children: BTreeMap<Key, Child>,
    position: u64,
}

impl History {
    /// The sequence up to which journals were read.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }

    /// Takes a record of WORKFLOWS.
    pub(super) fn apply(&mut self, message: &Message) {
        self.position = message.sequence;
        let Some(key) = names_of(&message.subject) else { return };
        match serde_json::from_slice(&message.payload) {
            Ok(WorkflowRecord::Submitted(first)) => {
                let label = first.workflow.pointer("/metadata/labels").and_then(|l| l.get(CRON_LABEL));
                let Some(cron) = label.and_then(|label| label.as_str()) else {
                    self.children.remove(&key);
                    return;
                };
                let cron = (first.namespace.clone(), cron.to_owned());
                let child = Child { name: first.name, at: first.at, ended: None, cron };
                self.children.insert(key, child);
            }
            Ok(WorkflowRecord::Progress { progress }) if self.children.contains_key(&key) => {
                let Ok(progress) = serde_json::from_value::<Progress>(progress) else { return };
                self.progress(&key, &progress);
            }
            Ok(WorkflowRecord::Command(command)) => match command.verb {
                tiphys_core::workflow::Verb::Delete => drop(self.children.remove(&key)),
                // What is retried runs again.
                tiphys_core::workflow::Verb::Retry { .. } => {
                    if let Some(child) = self.children.get_mut(&key) {
                        child.ended = None;
                    }
                }
                _ => {}
            },
            _ => {}
        }
    }

    fn progress(&mut self, key: &Key, progress: &Progress) {
        let ended = progress.changes.iter().find_map(|change| match change {
            Change::Ended { phase, .. } => Some(*phase),
            _ => None,
        });
        if let (Some(phase), Some(child)) = (ended, self.children.get_mut(key)) {
            child.ended = Some(phase);
        }
    }

    fn of(&self, namespace: &str, cron: &str) -> impl Iterator<Item = &Child> {
        self.children.values().filter(move |child| child.cron.0 == namespace && child.cron.1 == cron)
    }

    /// The children that run.
    pub(super) fn active(&self, namespace: &str, cron: &str) -> Vec<String> {
        self.of(namespace, cron).filter(|c| c.ended.is_none()).map(|c| c.name.clone()).collect()
    }

    /// Whether there is a child of this name.
    pub(super) fn knows(&self, namespace: &str, name: &str) -> bool {
        self.children.contains_key(&(namespace.to_owned(), name.to_owned()))
    }

    /// The finished ones beyond the newest `succeeded` and `failed`.
    pub(super) fn too_many(
        &self,
        namespace: &str,
        cron: &str,
        succeeded: usize,
        failed: usize,
    ) -> Vec<String> {
        let mut out = Vec::new();
        for (good, keep) in [(true, succeeded), (false, failed)] {
            let mut ended: Vec<&Child> = self
                .of(namespace, cron)
                .filter(|child| child.ended.is_some_and(|phase| (phase == Phase::Succeeded) == good))
                .collect();
            ended.sort_by_key(|child| std::cmp::Reverse(child.at));
            out.extend(ended.into_iter().skip(keep).map(|child| child.name.clone()));
        }
        out
    }
}
