//! The trace of a workflow: from what caused it to the programs of its steps.
//!
//! A workflow is a span, and so is each attempt of a step, whose identity is its pod's key. Both are told of when their end
//! is recorded; an owner that reads the journal of another tells nothing again.

use std::collections::BTreeMap;

use tiphys_core::trace::{ANNOTATION, number, span_id, trace_id};
use tiphys_core::{PodKey, Trace};
use tiphys_kit::trace::{Kind, Span, Tracer, tracer};

use crate::journal::{Change, State};
use crate::node::{Node, NodeKind, Phase};

/// Where a workflow stands in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below this span, without a collector here: what its steps do is the child of that.
    Below(Trace),
    /// It is a span.
    Span {
        /// What caused it.
        parent: Option<Trace>,
        /// Itself.
        own: Trace,
    },
}

impl Place {
    /// Where it stands; nowhere, where nothing is traced.
    #[must_use]
    pub(crate) fn of(state: &State) -> Option<Self> {
        match tracer() {
            Some(tracer) => {
                let (parent, own) = own(state, tracer);
                Some(Self::Span { parent, own })
            }
            None => caused(state).map(Self::Below),
        }
    }

    /// What an attempt of a step tells its own programs.
    #[must_use]
    pub fn step(self, key: &PodKey) -> Trace {
        match self {
            Self::Below(parent) => parent,
            Self::Span { own, .. } => own.child(number(&key.0)),
        }
    }
}

/// What caused a workflow, by its annotation.
fn caused(state: &State) -> Option<Trace> {
    state.annotation(ANNOTATION).and_then(|text| Trace::read(&text))
}

/// What caused a workflow, and its own span.
fn own(state: &State, tracer: &Tracer) -> (Option<Trace>, Trace) {
    let parent = caused(state);
    let (root, span) = identities(state);
    (parent, tracer.enter(parent, root, span))
}

/// The trace that a workflow begins where nothing caused it, and its span.
fn identities(state: &State) -> (u128, u64) {
    let uid = state.submission.uid.as_str();
    // A retry by hand is another run of the same workflow.
    (trace_id(&["workflow", uid]), span_id(&["workflow", uid, &state.generation.to_string()]))
}

/// Tells of the steps that these changes, now durable, have ended. `state` is what they lead to.
pub(crate) fn tell_steps(state: &State, changes: &[Change]) {
    let Some(tracer) = tracer() else { return };
    let (_, own) = own(state, tracer);
    step_spans(state, changes, own).into_iter().for_each(|span| tracer.tell(span));
}

/// Tells of a workflow that has ended.
pub(crate) fn tell_workflow(state: &State) {
    let Some(tracer) = tracer() else { return };
    let (parent, own) = own(state, tracer);
    tracer.tell(workflow_span(state, parent, own));
}

fn step_spans(state: &State, changes: &[Change], own: Trace) -> Vec<Span> {
    let ended = changes.iter().filter_map(|change| match change {
        Change::Update(update) if update.phase.is_some_and(Phase::completed) => Some(&update.id),
        Change::Node(node) if node.phase.completed() => Some(&node.id),
        _ => None,
    });
    let nodes = ended.filter_map(|id| Some((id, state.nodes.get(id)?)));
    // By id, so that each is told once.
    let nodes: BTreeMap<_, _> = nodes.filter(|(_, node)| node.kind == NodeKind::Pod).collect();
    nodes.values().filter_map(|node| step_span(state, node, own)).collect()
}

fn step_span(state: &State, node: &Node, own: Trace) -> Option<Span> {
    let (key, finished) = (node.pod.as_ref()?, node.finished?);
    let mut attributes = about(state, node.phase);
    attributes.extend([
        ("tiphys.node.id", node.id.clone()),
        ("tiphys.node.name", node.name.clone()),
        ("tiphys.template", node.target.template.clone()),
        ("tiphys.pod.key", key.0.clone()),
    ]);
    attributes.extend(node.outputs.exit_code.clone().map(|code| ("process.exit.code", code)));
    Some(Span {
        name: format!("step {}", node.display_name),
        kind: Kind::Internal,
        trace: own.child(number(&key.0)),
        parent: Some(own),
        links: Vec::new(),
        begun: node.started,
        ended: finished,
        attributes,
        error: node.phase.bad().then(|| node.message.clone()),
    })
}

fn workflow_span(state: &State, parent: Option<Trace>, own: Trace) -> Span {
    let phase = state.phase.unwrap_or(Phase::Error);
    let begun = state.started.unwrap_or(state.submission.at);
    let mut attributes = about(state, phase);
    attributes.push(("tiphys.submitted.by", state.submission.by.clone()));
    attributes
        .extend(state.submission.firing.as_ref().map(|firing| ("tiphys.firing.id", firing.to_string())));
    Span {
        name: format!("workflow {}", state.submission.name),
        // The journal that it came by is a queue.
        kind: Kind::Consumer,
        trace: own,
        parent,
        links: Vec::new(),
        begun,
        ended: state.finished.unwrap_or(begun),
        attributes,
        error: phase.bad().then(|| state.message.clone()),
    }
}

fn about(state: &State, phase: Phase) -> Vec<(&'static str, String)> {
    let submission = &state.submission;
    vec![
        ("tiphys.namespace", submission.namespace.clone()),
        ("tiphys.workflow", submission.name.clone()),
        ("tiphys.workflow.uid", submission.uid.clone()),
        ("tiphys.phase", phase.as_str().to_owned()),
    ]
}

#[cfg(test)]
mod tests;
