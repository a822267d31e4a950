//! What holds a new node back: parallelism, a failed sibling, the end of the workflow's time.

use std::sync::Arc;

use tiphys_core::Timestamp;

use super::Pass;
use crate::definition::TemplateDef;
use crate::journal::Update;
use crate::node::{Node, NodeKind, Phase};

/// Argo's message of a step that ran out of time.
pub(super) const DEADLINE: &str = "Step exceeded its deadline";

impl Pass<'_> {
    /// Whether a limit holds a call of `def` inside `boundary` back.
    pub(super) fn is_held(&mut self, def: &TemplateDef, boundary: Option<&Arc<Node>>) -> bool {
        let whole = self.state.definition.as_ref().and_then(|definition| definition.spec.parallelism);
        let is_pod = def.graph.is_none() && def.typed.suspend.is_none();
        if whole.is_some_and(|limit| is_pod && self.active_pods() >= limit) {
            return true;
        }
        let Some(boundary) = boundary else {
            return false;
        };
        let Ok(outer) = self.resolve(&boundary.target) else {
            return false;
        };
        if outer.typed.fail_fast == Some(true) && self.has_failed_child(&boundary.id) {
            return true;
        }
        let limit = outer.typed.parallelism;
        limit.is_some_and(|limit| self.active_children(&boundary.id) >= limit)
    }

    fn active_pods(&self) -> i64 {
        self.count(|node| node.kind == NodeKind::Pod)
    }

    fn active_children(&self, boundary: &str) -> i64 {
        self.count(|node| {
            let counted = matches!(node.kind, NodeKind::Pod | NodeKind::Steps | NodeKind::Dag);
            counted && node.boundary.as_deref() == Some(boundary)
        })
    }

    fn count(&self, wanted: impl Fn(&Node) -> bool) -> i64 {
        let active = self.state.active.iter();
        let nodes = active.filter_map(|id| self.state.nodes.get(id));
        i64::try_from(nodes.filter(|node| wanted(node)).count()).unwrap_or(i64::MAX)
    }

    /// Whether a step or task inside `boundary` failed for good.
    pub(super) fn has_failed_child(&self, boundary: &str) -> bool {
        self.state.nodes.values().any(|node| {
            node.boundary.as_deref() == Some(boundary)
                && node.attempt.is_none()
                && !matches!(node.kind, NodeKind::StepGroup | NodeKind::TaskGroup)
                && node.phase.bad()
        })
    }

    /// When the workflow's time is over.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let definition = self.state.definition.as_ref()?;
        let seconds = definition.spec.active_deadline_seconds?;
        let began = self.state.started?;
        began.checked_add(jiff::SignedDuration::from_secs(seconds)).ok()
    }

    /// Tells what runs to stop, where the workflow was told to, or its time is over.
    pub(super) fn shut_down(&mut self) {
        let late = self.deadline();
        if let Some(at) = late.filter(|at| *at > self.context.now) {
            self.wake_at(at);
        }
        let late = late.is_some_and(|at| at <= self.context.now);
        let shutdown = self.state.shutdown;
        if !late && shutdown.is_none() {
            return;
        }
        let active: Vec<String> = self.state.active.iter().cloned().collect();
        for id in active {
            let Some(node) = self.node(&id) else { continue };
            let spared = node.exit && shutdown != Some(crate::journal::Shutdown::Terminate);
            if spared {
                continue;
            }
            let why = match shutdown {
                Some(shutdown) => format!("Stopped with strategy '{}'", shutdown.as_str()),
                None => DEADLINE.to_owned(),
            };
            match node.kind {
                NodeKind::Pod => self.stop(&node, &why),
                NodeKind::Suspend => self.end(&id, Phase::Failed, why),
                _ => {}
            }
        }
    }

    /// Tells a pod to stop, once.
    pub(super) fn stop(&mut self, node: &Node, why: &str) {
        if node.stopping.is_some() {
            return;
        }
        self.update(Update { id: node.id.clone(), stopping: Some(why.to_owned()), ..Update::default() });
        self.stops.extend(node.pod.clone());
    }
}
