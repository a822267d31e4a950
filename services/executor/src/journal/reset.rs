//! A retry by hand: what failed, and what came after it, is taken away; what holds it runs again.

use std::collections::BTreeSet;
use std::sync::Arc;

use tiphys_core::Timestamp;

use super::state::{State, selects};
use crate::node::{Node, NodeKind, OutputValues, Phase};

impl State {
    /// Prepares another run of what failed. With `restart`, nodes that succeeded and match the selector run
    /// again too.
    pub(crate) fn reset(&mut self, restart: bool, selector: &str, at: Timestamp) {
        let failed = matches!(self.phase, Some(Phase::Failed | Phase::Error));
        if !(failed || restart && self.is_over()) {
            self.refused = Some("only a workflow that failed can be retried".into());
            return;
        }
        let doomed = self.doomed(restart, selector);
        let holders = self.holders(&doomed);
        for id in &doomed {
            if let Some(node) = self.nodes.remove(id) {
                self.past_pods.extend(node.pod.clone());
            }
            self.active.remove(id);
            self.resumed.remove(id);
            self.supplied.remove(id);
        }
        for (id, shared) in &mut self.nodes {
            let reopen = holders.contains(id);
            if !reopen && !shared.children.iter().any(|child| doomed.contains(child)) {
                continue;
            }
            let node = Arc::make_mut(shared);
            node.children.retain(|child| !doomed.contains(child));
            if reopen {
                node.phase = Phase::Running;
                node.finished = None;
                node.message.clear();
                node.outbound.clear();
                node.outputs = Arc::new(OutputValues::default());
                node.complete = false;
                self.active.insert(id.clone());
            }
        }
        self.phase = None;
        if self.definition.is_some() {
            self.phase = Some(Phase::Running);
        }
        self.message.clear();
        self.started = Some(at);
        self.finished = None;
        self.shutdown = None;
        self.shutdown_message.clear();
        self.suspended = false;
        self.collected = None;
        self.generation += 1;
    }

    /// Nodes to be taken away, with everything that followed them.
    fn doomed(&self, restart: bool, selector: &str) -> BTreeSet<String> {
        let chosen =
            |node: &Node| restart && !selector.trim().is_empty() && selects(selector, node) && node.is_leaf();
        let mut open: Vec<String> = self
            .nodes
            .values()
            .filter(|node| {
                let bad = node.phase.bad() && node.is_leaf() && !self.is_settled(node);
                bad || node.exit || node.phase == Phase::Omitted || chosen(node)
            })
            .map(|node| node.id.clone())
            .collect();
        let mut doomed = BTreeSet::new();
        while let Some(id) = open.pop() {
            let Some(node) = self.nodes.get(&id) else {
                continue;
            };
            if doomed.insert(id) {
                open.extend(node.children.iter().cloned());
                // What stands inside a composite is not always among its children.
                let inside = self.nodes.values().filter(|other| other.boundary.as_ref() == Some(&node.id));
                open.extend(inside.map(|other| other.id.clone()));
            }
        }
        doomed
    }

    /// Whether a failure was made good already: a later attempt or a `continueOn` went past it.
    fn is_settled(&self, node: &Node) -> bool {
        if node.attempt.is_some() {
            return true;
        }
        let group = node.name.rfind("].").and_then(|at| node.name.get(..=at));
        if group.and_then(|group| self.named(group)).is_some_and(|g| g.phase == Phase::Succeeded) {
            return true;
        }
        let outer = node.boundary.as_ref().and_then(|id| self.nodes.get(id));
        outer.is_some_and(|outer| outer.phase == Phase::Succeeded || self.is_settled(outer))
    }

    /// Composites that stay, and hold something that goes or that failed.
    fn holders(&self, doomed: &BTreeSet<String>) -> BTreeSet<String> {
        let mut holders: BTreeSet<String> = self
            .nodes
            .values()
            .filter(|node| node.phase.bad() && !doomed.contains(&node.id) && !self.is_settled(node))
            .map(|node| node.id.clone())
            .collect();
        let gone: Vec<&Arc<Node>> = doomed.iter().filter_map(|id| self.nodes.get(id)).collect();
        for node in gone {
            let mut boundary = node.boundary.clone();
            while let Some(id) = boundary {
                let Some(outer) = self.nodes.get(&id).filter(|_| !doomed.contains(&id)) else {
                    break;
                };
                boundary = outer.boundary.clone();
                holders.insert(id);
            }
        }
        // Groups of loops and steps whose children go.
        for node in self.nodes.values() {
            let group = matches!(node.kind, NodeKind::StepGroup | NodeKind::TaskGroup);
            let hit = node.children.iter().any(|child| doomed.contains(child));
            if group && hit && !doomed.contains(&node.id) {
                holders.insert(node.id.clone());
            }
        }
        holders
    }
}

impl Node {
    /// Whether it is run again as a whole: a pod, a wait, or all attempts of either.
    fn is_leaf(&self) -> bool {
        !matches!(self.kind, NodeKind::Steps | NodeKind::StepGroup | NodeKind::Dag | NodeKind::TaskGroup)
    }
}
