//! What a journal adds up to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use tiphys_core::workflow::{Command, Submission, Verb, WorkflowRecord};
use tiphys_core::{PodKey, Timestamp};

use super::{Begun, Change, Update, progress};
use crate::artifact::Repository;
use crate::definition::{Definition, TemplateDef};
use crate::error::Error;
use crate::names;
use crate::node::{Node, NodeKind, OutputValues, ParameterValue, Phase};

/// How a workflow was told to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Exit handlers run.
    Stop,
    /// Nothing runs any more.
    Terminate,
}

impl Shutdown {
    /// Argo's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "Stop",
            Self::Terminate => "Terminate",
        }
    }
}

/// A workflow as its journal tells it.
#[derive(Debug, Clone)]
pub struct State {
    /// Sequence of the last record.
    pub sequence: u64,
    /// The first record.
    pub submission: Arc<Submission>,
    /// The spec that rules, once the workflow began.
    pub definition: Option<Arc<Definition>>,
    /// Templates of other objects, by `SCOPE/TEMPLATE`.
    pub stored: BTreeMap<String, Arc<TemplateDef>>,
    /// `workflow.parameters`.
    pub parameters: Arc<Vec<ParameterValue>>,
    /// Labels added by `workflowMetadata`.
    pub labels: BTreeMap<String, String>,
    /// Annotations added by `workflowMetadata`.
    pub annotations: BTreeMap<String, String>,
    /// Absent until the workflow began.
    pub phase: Option<Phase>,
    /// Why it stands there.
    pub message: String,
    /// When it began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// The nodes by id.
    pub nodes: BTreeMap<String, Arc<Node>>,
    /// Ids of the nodes that are not fulfilled.
    pub active: BTreeSet<String>,
    /// `workflow.outputs`.
    pub outputs: OutputValues,
    /// Nothing new is started.
    pub suspended: bool,
    /// Ids of suspend nodes that may go on.
    pub resumed: BTreeSet<String>,
    /// Values given to suspend nodes, by node id and name.
    pub supplied: BTreeMap<String, BTreeMap<String, String>>,
    /// How it was told to end.
    pub shutdown: Option<Shutdown>,
    /// Shown with the shutdown.
    pub shutdown_message: String,
    /// It is to vanish with everything it left.
    pub deleted: bool,
    /// How often it was retried by hand.
    pub generation: u32,
    /// Pods of nodes that a retry by hand took away.
    pub past_pods: Vec<PodKey>,
    /// The last command that could not be obeyed, and why.
    pub refused: Option<String>,
    /// The launcher to which it is bound.
    pub launcher: Option<Arc<str>>,
    /// Where its artifacts go; absent: the executor's own folder.
    pub repository: Option<Arc<Repository>>,
    /// Artifacts were removed after its end, with what went wrong, as `artifactGC` wants.
    pub collected: Option<String>,
}

impl State {
    /// A workflow that was just submitted.
    #[must_use]
    pub fn submitted(submission: Submission, sequence: u64) -> Self {
        Self {
            sequence,
            submission: Arc::new(submission),
            definition: None,
            stored: BTreeMap::new(),
            parameters: Arc::default(),
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            phase: None,
            message: String::new(),
            started: None,
            finished: None,
            nodes: BTreeMap::new(),
            active: BTreeSet::new(),
            outputs: OutputValues::default(),
            suspended: false,
            resumed: BTreeSet::new(),
            supplied: BTreeMap::new(),
            shutdown: None,
            shutdown_message: String::new(),
            deleted: false,
            generation: 0,
            past_pods: Vec::new(),
            refused: None,
            launcher: None,
            repository: None,
            collected: None,
        }
    }

    /// Reads a whole journal.
    ///
    /// # Errors
    /// Fails when it does not begin with a submission, or a record cannot be read.
    pub fn replay<'a>(records: impl IntoIterator<Item = (u64, &'a [u8])>) -> Result<Option<Self>, Error> {
        let mut state: Option<Self> = None;
        for (sequence, payload) in records {
            let record = super::parse(payload)?;
            match (&mut state, record) {
                (Some(state), record) => state.apply(&record, sequence)?,
                (None, WorkflowRecord::Submitted(submission)) => {
                    state = Some(Self::submitted(submission, sequence));
                }
                // A command to a workflow that is gone, or was never there.
                (None, _) => {}
            }
        }
        Ok(state)
    }

    /// Adds a record.
    ///
    /// # Errors
    /// Fails when the record cannot be read.
    pub fn apply(&mut self, record: &WorkflowRecord, sequence: u64) -> Result<(), Error> {
        match record {
            WorkflowRecord::Submitted(submission) => {
                *self = Self::submitted(submission.clone(), sequence);
            }
            WorkflowRecord::Command(command) => self.command(command),
            WorkflowRecord::Progress { progress: value } => {
                let progress = progress(value)?;
                for change in &progress.changes {
                    self.change(change, progress.at);
                }
            }
        }
        self.sequence = sequence;
        Ok(())
    }

    /// Adds one change.
    pub(crate) fn change(&mut self, change: &Change, at: Timestamp) {
        match change {
            Change::Begun(begun) => self.begin(begun, at),
            Change::Stored { key, template } => {
                if let Some(definition) = &self.definition
                    && let Ok(template) = definition.adopt(key, template)
                {
                    self.stored.insert(key.clone(), Arc::new(template));
                }
            }
            Change::Node(node) => self.insert((**node).clone()),
            Change::Update(update) => self.update(update, at),
            Change::Ended { phase, message } => {
                self.phase = Some(*phase);
                self.message.clone_from(message);
                self.finished = Some(at);
                self.started.get_or_insert(at);
            }
            Change::Collected { problem } => self.collected = Some(problem.clone()),
        }
    }

    fn begin(&mut self, begun: &Begun, at: Timestamp) {
        self.parameters = Arc::new(begun.parameters.clone());
        self.labels.clone_from(&begun.labels);
        self.annotations.clone_from(&begun.annotations);
        self.launcher = begun.launcher.as_deref().map(Arc::from);
        self.repository = begun.repository.clone().map(Arc::new);
        self.phase = Some(Phase::Running);
        self.started = Some(at);
        let submitted = &self.submission.workflow["spec"];
        let spec = begun.spec.as_ref().unwrap_or(submitted);
        // It was compiled before the record was written, so that this cannot fail but for a newer writer.
        self.definition = Definition::compile(&self.submission.name, spec).ok().map(Arc::new);
        if let Some(definition) = &self.definition {
            self.suspended |= definition.spec.suspend.unwrap_or_default();
        }
    }

    fn insert(&mut self, node: Node) {
        if !node.phase.fulfilled() {
            self.active.insert(node.id.clone());
        }
        self.export(&node.outputs);
        self.nodes.insert(node.id.clone(), Arc::new(node));
    }

    fn update(&mut self, update: &Update, at: Timestamp) {
        let Some(shared) = self.nodes.get_mut(&update.id) else {
            return;
        };
        let node = Arc::make_mut(shared);
        if let Some(phase) = update.phase {
            node.phase = phase;
            if phase.fulfilled() {
                node.finished = Some(update.finished.unwrap_or(at));
                self.active.remove(&update.id);
            }
        }
        if let Some(message) = &update.message {
            node.message.clone_from(message);
        }
        node.started = update.started.unwrap_or(node.started);
        node.children.extend(update.children.iter().cloned());
        if !update.outbound.is_empty() {
            node.outbound.clone_from(&update.outbound);
        }
        if update.stopping.is_some() {
            node.stopping.clone_from(&update.stopping);
        }
        node.complete |= update.complete;
        if update.host.is_some() {
            node.host.clone_from(&update.host);
        }
        if update.daemon.is_some() {
            node.daemon.clone_from(&update.daemon);
        }
        if let Some(outputs) = &update.outputs {
            node.outputs = outputs.clone();
            self.export(outputs);
        }
    }

    /// Outputs with a `globalName` are the workflow's as well; the last writer wins.
    fn export(&mut self, outputs: &OutputValues) {
        for parameter in &outputs.parameters {
            let Some(name) = &parameter.global_name else {
                continue;
            };
            let mut global = parameter.clone();
            global.name.clone_from(name);
            global.global_name = None;
            self.outputs.parameters.retain(|p| p.name != *name);
            self.outputs.parameters.push(global);
        }
        for artifact in &outputs.artifacts {
            let Some(name) = &artifact.global_name else {
                continue;
            };
            let mut global = artifact.clone();
            global.name.clone_from(name);
            global.global_name = None;
            self.outputs.artifacts.retain(|a| a.name != *name);
            self.outputs.artifacts.push(global);
        }
    }

    fn command(&mut self, command: &Command) {
        self.refused = None;
        let over = self.is_over();
        match &command.verb {
            Verb::Suspend if !over => self.suspended = true,
            Verb::Resume { node_field_selector } if !over => {
                self.resume(node_field_selector);
            }
            Verb::Stop { message } if !over => {
                self.shutdown.get_or_insert(Shutdown::Stop);
                self.suspended = false;
                self.shutdown_message.clone_from(message);
            }
            Verb::Terminate if !over => self.terminate(),
            Verb::Retry { restart_successful, node_field_selector } => {
                self.reset(*restart_successful, node_field_selector, command.at)
            }
            Verb::Delete => {
                self.deleted = true;
                if !over {
                    self.terminate();
                }
            }
            Verb::Set { node_field_selector, output_parameters } if !over => {
                for id in self.waiting(node_field_selector) {
                    let values = self.supplied.entry(id).or_default();
                    values.extend(output_parameters.clone());
                }
            }
            _ => {
                self.refused = Some("the workflow is over already".into());
            }
        }
    }

    /// What was suspended is not waited for.
    const fn terminate(&mut self) {
        self.shutdown = Some(Shutdown::Terminate);
        self.suspended = false;
    }

    fn resume(&mut self, selector: &str) {
        let waiting = self.waiting(selector);
        self.resumed.extend(waiting);
        if selector.trim().is_empty() {
            self.suspended = false;
        }
    }

    /// Ids of the suspend nodes that wait and that a field selector picks; an empty one picks all.
    #[must_use]
    pub fn waiting(&self, selector: &str) -> Vec<String> {
        self.active
            .iter()
            .filter_map(|id| self.nodes.get(id))
            .filter(|node| node.kind == NodeKind::Suspend)
            .filter(|node| selects(selector, node))
            .map(|node| node.id.clone())
            .collect()
    }

    /// Whether the workflow has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase.is_some_and(Phase::fulfilled)
    }

    /// A node by its name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Arc<Node>> {
        self.nodes.get(&names::node_id(&self.submission.name, name))
    }

    /// Keys of all pods that this workflow ever had.
    pub fn pods(&self) -> impl Iterator<Item = &PodKey> {
        let now = self.nodes.values().filter_map(|node| node.pod.as_ref());
        now.chain(&self.past_pods)
    }

    /// The Workflow object as it was submitted.
    #[must_use]
    pub fn object(&self) -> &Value {
        &self.submission.workflow
    }
}

/// Whether a field selector such as `displayName=approve,phase!=Failed` picks a node; an empty one picks all.
pub(crate) fn selects(selector: &str, node: &Node) -> bool {
    let parts = selector.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).all(|part| {
        let (field, value, wanted) = match (part.split_once("!="), part.split_once('=')) {
            (Some((field, value)), _) => (field, value, false),
            (None, Some((field, value))) => (field, value.trim_start_matches('='), true),
            (None, None) => return false,
        };
        let is = match field.trim() {
            "displayName" => node.display_name == value.trim(),
            "name" => node.name == value.trim(),
            "id" => node.id == value.trim(),
            "templateName" => node.target.template == value.trim(),
            "phase" => node.phase.as_str() == value.trim(),
            "templateRef.name" => (node.target.reference.as_ref()).is_some_and(|r| r.name == value.trim()),
            "templateRef.template" => {
                (node.target.reference.as_ref()).is_some_and(|r| r.template == value.trim())
            }
            _ => {
                let inputs = &node.inputs.parameters;
                let name = field
                    .trim()
                    .strip_prefix("inputs.parameters.")
                    .and_then(|rest| rest.strip_suffix(".value"));
                name.is_some_and(|name| {
                    inputs.iter().any(|p| p.name == name && p.value.as_deref() == Some(value.trim()))
                })
            }
        };
        is == wanted
    })
}
