//! The shape that is shown: which nodes end a composite.

use super::Pass;
use super::task::Frame;
use crate::graph::{Graph, Style};
use crate::journal::Update;
use crate::node::{Node, NodeKind, Phase};

impl Pass<'_> {
    /// The nodes after which whatever follows `node` is drawn.
    pub(super) fn outbound(&self, node: &Node) -> Vec<String> {
        let own = || vec![node.id.clone()];
        let of = |ids: &[String]| -> Vec<String> {
            let nodes = ids.iter().filter_map(|id| self.state.nodes.get(id));
            nodes.flat_map(|child| self.outbound(child)).collect()
        };
        let ends = match node.kind {
            NodeKind::Pod | NodeKind::Skipped | NodeKind::Suspend => own(),
            NodeKind::Steps | NodeKind::Dag => node.outbound.clone(),
            NodeKind::TaskGroup | NodeKind::StepGroup => of(&node.children),
            NodeKind::Retry => {
                let mut nodes = node.children.iter().filter_map(|id| self.state.nodes.get(id));
                let last = nodes.rfind(|child| child.attempt.is_some());
                last.map_or_else(Vec::new, |last| self.outbound(last))
            }
        };
        if ends.is_empty() { own() } else { ends }
    }

    /// Ends steps or a DAG, with what comes out of it.
    pub(super) fn end_graph(&mut self, frame: &Frame, graph: &Graph, phase: Phase, why: String) {
        let outbound = match graph.style {
            Style::Steps => {
                let groups = (0..graph.layers.len()).rev();
                let last = groups.filter_map(|i| self.named(&format!("{}[{i}]", frame.node.name))).next();
                last.map_or_else(Vec::new, |group| self.outbound(&group))
            }
            Style::Dag => {
                let targets = graph.targets.iter().filter_map(|i| graph.vertices.get(*i));
                let nodes = targets.filter_map(|v| self.named(&frame.name_of(v)));
                nodes.flat_map(|node| self.outbound(&node)).collect()
            }
        };
        let (phase, message, outputs) = if phase == Phase::Succeeded {
            match self.graph_outputs(frame) {
                Ok(outputs) => (phase, why, Some(std::sync::Arc::new(outputs))),
                Err(why) => (Phase::Error, why, None),
            }
        } else {
            (phase, why, None)
        };
        self.update(Update {
            id: frame.node.id.clone(),
            phase: Some(phase),
            message: Some(message),
            outputs: outputs.filter(|outputs| !outputs.is_empty()),
            outbound,
            ..Update::default()
        });
        self.end_daemons(Some(&frame.node.id));
    }
}
