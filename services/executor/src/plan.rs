//! The planner: what a workflow does next. Pure and synchronous; the shell around it writes down what it
//! decides, then carries it out.
//!
//! A pass works on a copy of the [`State`] and notes each change that it makes there. The shell appends the
//! changes to the journal as one record and, once that is durable, takes the copy for the state. So nothing
//! is started before the record that says it will be, and replay equals live.

mod arguments;
mod begin;
mod call;
pub(crate) mod collect;
mod daemon;
mod dag;
mod finish;
mod group;
mod hook;
mod limits;
mod looped;
mod observe;
mod options;
mod outputs;
mod place;
pub mod pod;
mod resource;
mod retry;
mod suspend;
mod task;
mod tree;
pub(crate) mod unsupported;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tiphys_catalog::Snapshot;
use tiphys_core::{PodKey, Timestamp};

use crate::journal::{Change, State, Update};
use crate::launcher::{PodResult, PodSpec};
use crate::node::{Node, NodeKind, Phase};
use crate::scope::PathOf;
pub use crate::trace::Place;
#[cfg(feature = "kubernetes")]
pub(crate) use options::claim_name;

/// What the world around the workflow looks like.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// Templates and ConfigMaps.
    pub catalog: &'a Snapshot,
    /// Where a step finds a file; see [`crate::launcher::Launcher::path_of`].
    pub path_of: PathOf<'a>,
    /// Whether logs are kept as artifacts, whatever the workflow says.
    pub archive_logs: bool,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Where the workflow stands in a trace.
    pub trace: Option<Place>,
}

/// What was seen of a pod.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// It exists, and does not run yet.
    Waiting {
        /// What for; may be empty.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        started: Timestamp,
        /// Whether it can be used.
        ready: bool,
        /// Where it is reached.
        address: Option<String>,
    },
    /// It ended.
    Ended(Box<PodResult>),
    /// It was not started and will not be; why.
    Refused(String),
    /// It was told to stop before it was started.
    NeverStarted,
}

/// What was seen of a node's pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Id of the node.
    pub node: String,
    /// Its pod.
    pub pod: PodKey,
    /// What was seen.
    pub what: Observed,
}

/// What a pass decided.
#[derive(Debug, Clone)]
pub struct Plan {
    /// When it was decided; the record says so too.
    pub at: Timestamp,
    /// The state once `changes` are durable.
    pub state: State,
    /// To be appended to the journal as one record; none where it is empty.
    pub changes: Vec<Change>,
    /// Pods to be started after that.
    pub starts: Vec<PodSpec>,
    /// Pods to be stopped after that.
    pub stops: Vec<PodKey>,
    /// When to plan again, if nothing else happens before.
    pub wake: Option<Timestamp>,
}

/// Decides what happens next.
#[must_use]
pub fn plan(state: &State, seen: &[Seen], context: &Context<'_>) -> Plan {
    let mut pass = Pass::new(state, context);
    if !pass.state.is_over() {
        pass.run(seen);
    }
    Plan {
        at: context.now,
        state: pass.state,
        changes: pass.changes,
        starts: pass.starts,
        stops: pass.stops,
        wake: pass.wake,
    }
}

/// One pass.
struct Pass<'a> {
    context: &'a Context<'a>,
    state: State,
    changes: Vec<Change>,
    starts: Vec<PodSpec>,
    stops: Vec<PodKey>,
    wake: Option<Timestamp>,
    /// Something was held back by a limit, and may go on when something else ends.
    held: bool,
    /// The workflow wants more nodes than it may have.
    overflow: bool,
    /// Nodes whose exit hook is yet to end.
    hooks: BTreeSet<String>,
}

impl<'a> Pass<'a> {
    fn new(state: &State, context: &'a Context<'a>) -> Self {
        Self {
            context,
            state: state.clone(),
            changes: Vec::new(),
            starts: Vec::new(),
            stops: Vec::new(),
            wake: None,
            held: false,
            overflow: false,
            hooks: BTreeSet::new(),
        }
    }

    fn run(&mut self, seen: &[Seen]) {
        if self.state.phase.is_none() {
            self.begin();
        }
        self.observe(seen);
        loop {
            let before = self.changes.len();
            (self.held, self.wake) = (false, None);
            self.hooks.clear();
            if self.state.is_over() {
                return;
            }
            self.shut_down();
            self.walk();
            if self.overflow {
                return self.overflown();
            }
            // What ended meanwhile may make room for what was held back before it.
            if !self.held || self.changes.len() == before {
                return;
            }
        }
    }

    /// Notes a change, and makes it.
    fn record(&mut self, change: Change) {
        self.state.change(&change, self.context.now);
        self.changes.push(change);
    }

    fn update(&mut self, update: Update) {
        self.record(Change::Update(Box::new(update)));
    }

    /// Adds a node, and gives its id back.
    fn add(&mut self, node: Node) -> String {
        let id = node.id.clone();
        self.record(Change::Node(Box::new(node)));
        id
    }

    /// Ends a node.
    fn end(&mut self, id: &str, phase: Phase, message: impl Into<String>) {
        self.update(Update {
            id: id.to_owned(),
            phase: Some(phase),
            message: Some(message.into()),
            ..Update::default()
        });
    }

    /// Makes `child` a child of each of `parents`.
    fn link(&mut self, parents: &[String], child: &str) {
        for parent in parents {
            let known = self.state.nodes.get(parent);
            if known.is_some_and(|node| !node.children.iter().any(|id| id == child)) {
                self.update(Update {
                    id: parent.clone(),
                    children: vec![child.to_owned()],
                    ..Update::default()
                });
            }
        }
    }

    fn node(&self, id: &str) -> Option<Arc<Node>> {
        self.state.nodes.get(id).cloned()
    }

    fn named(&self, name: &str) -> Option<Arc<Node>> {
        self.state.named(name).cloned()
    }

    /// Plan again at `time` at the latest.
    fn wake_at(&mut self, time: Timestamp) {
        self.wake = Some(self.wake.map_or(time, |wake| wake.min(time)));
    }

    /// Brings a node on that is not fulfilled.
    fn advance(&mut self, id: &str) {
        let Some(node) = self.node(id).filter(|node| !node.phase.fulfilled()) else {
            return;
        };
        match node.kind {
            NodeKind::Pod => self.advance_pod(&node),
            NodeKind::Suspend => self.advance_suspend(&node),
            NodeKind::Retry => self.advance_retry(&node),
            NodeKind::Steps | NodeKind::Dag => self.advance_graph(&node),
            // Brought on by the steps or DAG that they stand in.
            NodeKind::StepGroup | NodeKind::TaskGroup | NodeKind::Skipped => {}
        }
    }

    /// Brings steps or a DAG on.
    fn advance_graph(&mut self, node: &Arc<Node>) {
        let def = match self.resolve(&node.target) {
            Ok(def) => def,
            Err(why) => return self.end(&node.id, Phase::Error, why),
        };
        match node.kind {
            NodeKind::Steps => self.advance_steps(node, &def),
            _ => self.advance_dag(node, &def),
        }
    }

    /// The workflow from its entry to its exit handler.
    fn walk(&mut self) {
        let name = self.state.submission.name.clone();
        match self.named(&name) {
            Some(entry) => self.advance(&entry.id),
            None => self.enter(),
        }
        let entry = self.named(&name);
        if let Some(entry) = entry.filter(|entry| entry.phase.fulfilled()) {
            self.leave(&entry);
        }
    }
}
