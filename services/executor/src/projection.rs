//! What readers see: every workflow, live or ended, as its journal tells it. Built from the WORKFLOWS stream
//! alone, so that any process can have one and build it again.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use tiphys_bus::{Message, streams};
use tiphys_core::Timestamp;
use tiphys_core::workflow::{Command, Submission, WorkflowRecord};

use crate::error::Error;
use crate::journal::State;
use crate::node::Phase;
use crate::status;
use crate::submit::names_of;

/// Namespace and name.
pub type Key = (String, String);

/// One workflow in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Phase; absent until it began.
    pub phase: Option<Phase>,
    /// Why it stands there.
    pub message: String,
    /// When it was submitted.
    pub created: Timestamp,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// Pods ended out of pods known.
    pub progress: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Nothing new is started.
    pub suspended: bool,
    /// Sequence of its last record.
    pub sequence: u64,
}

/// Which workflows are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Namespace; none = all.
    pub namespace: Option<String>,
    /// Labels that must be there.
    pub labels: BTreeMap<String, String>,
    /// Phases; empty = all. `Pending` stands for what has not begun.
    pub phases: Vec<Phase>,
    /// The name begins so.
    pub prefix: String,
}

impl Filter {
    fn wants(&self, summary: &Summary) -> bool {
        let phase = summary.phase.unwrap_or(Phase::Pending);
        self.namespace.as_ref().is_none_or(|n| *n == summary.namespace)
            && (self.phases.is_empty() || self.phases.contains(&phase))
            && summary.name.starts_with(&self.prefix)
            && self.labels.iter().all(|(key, value)| summary.labels.get(key) == Some(value))
    }
}

/// All workflows. Of those that ended only the records are kept; what is asked for is built from them again.
#[derive(Debug, Default)]
pub struct Projection {
    entries: BTreeMap<Key, Entry>,
    position: u64,
}

#[derive(Debug)]
struct Entry {
    summary: Summary,
    records: Vec<(u64, Bytes)>,
    live: Option<Box<State>>,
}

impl Projection {
    /// Sequence of the last message taken in.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Takes in a message of the WORKFLOWS stream; one that was taken in before is passed over. Returns the
    /// workflow that changed.
    ///
    /// # Errors
    /// Fails when the record cannot be read; the next may be.
    pub fn apply(&mut self, message: &Message) -> Result<Option<Key>, Error> {
        if message.sequence <= self.position {
            return Ok(None);
        }
        self.position = message.sequence;
        let Some(key) = names_of(&message.subject) else {
            return Ok(self.deleted(message));
        };
        let record = crate::journal::parse(&message.payload)?;
        let stored = (message.sequence, message.payload.clone());
        let (mut records, live) = match self.entries.remove(&key) {
            // A name that is used again: what was before is gone.
            Some(_) if matches!(record, WorkflowRecord::Submitted(_)) => (Vec::new(), None),
            Some(entry) => (entry.records, entry.live),
            None => (Vec::new(), None),
        };
        records.push(stored);
        let state = match live {
            Some(mut live) => {
                live.apply(&record, message.sequence)?;
                Some(*live)
            }
            None => replay(&records)?,
        };
        let Some(state) = state else {
            return Ok(None);
        };
        let entry =
            Entry { summary: summary(&state), records, live: (!state.is_over()).then(|| Box::new(state)) };
        self.entries.insert(key.clone(), entry);
        Ok(Some(key))
    }

    /// Forgets a workflow whose deletion a message tells.
    fn deleted(&mut self, message: &Message) -> Option<Key> {
        let journal = message.subject.strip_suffix(".deleted")?;
        let key = names_of(journal)?;
        self.entries.remove(&key).map(|_| key)
    }

    /// One workflow.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Summary> {
        self.entry(namespace, name).map(|entry| entry.summary.clone())
    }

    /// One workflow with everything that is known of it.
    #[must_use]
    pub fn state(&self, namespace: &str, name: &str) -> Option<State> {
        let entry = self.entry(namespace, name)?;
        match &entry.live {
            Some(live) => Some((**live).clone()),
            None => replay(&entry.records).ok().flatten(),
        }
    }

    /// The Workflow object with its status.
    #[must_use]
    pub fn object(&self, namespace: &str, name: &str) -> Option<Value> {
        self.state(namespace, name).map(|state| status::object(&state))
    }

    /// The submission and the commands, in order: who asked for what.
    #[must_use]
    pub fn asked(&self, namespace: &str, name: &str) -> Option<(Submission, Vec<Command>)> {
        let entry = self.entry(namespace, name)?;
        let mut submission = None;
        let mut commands = Vec::new();
        for (_, payload) in &entry.records {
            match crate::journal::parse(payload).ok()? {
                WorkflowRecord::Submitted(first) => submission = Some(first),
                WorkflowRecord::Command(command) => commands.push(command),
                WorkflowRecord::Progress { .. } => {}
            }
        }
        Some((submission?, commands))
    }

    /// The workflows that are wanted, the newest first.
    #[must_use]
    pub fn list(&self, filter: &Filter) -> Vec<Summary> {
        let mut all: Vec<Summary> = self
            .entries
            .values()
            .filter(|entry| filter.wants(&entry.summary))
            .map(|entry| entry.summary.clone())
            .collect();
        all.sort_by(|a, b| b.created.cmp(&a.created).then_with(|| a.name.cmp(&b.name)));
        all
    }

    /// How many workflows there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn entry(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.entries.get(&(namespace.to_owned(), name.to_owned()))
    }
}

/// The stream that a projection follows.
pub const STREAM: &str = streams::WORKFLOWS;

fn replay(records: &[(u64, Bytes)]) -> Result<Option<State>, Error> {
    State::replay(records.iter().map(|(sequence, payload)| (*sequence, &payload[..])))
}

/// What a list shows of a workflow.
#[must_use]
pub fn summary(state: &State) -> Summary {
    let labels = state.all_labels().into_iter();
    Summary {
        namespace: state.submission.namespace.clone(),
        name: state.submission.name.clone(),
        uid: state.submission.uid.clone(),
        phase: state.phase,
        message: state.message.clone(),
        created: state.submission.at,
        started: state.started,
        finished: state.finished,
        progress: status::progress(state),
        labels: labels.map(|(key, value)| (key, crate::names::item_text(&value))).collect(),
        suspended: state.suspended,
        sequence: state.sequence,
    }
}
