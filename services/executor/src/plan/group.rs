//! Steps: groups one after the other, the steps of a group together.

use std::sync::Arc;

use super::Pass;
use super::looped::{Expanded, items};
use super::task::{Frame, Start};
use crate::definition::TemplateDef;
use crate::graph::{Graph, Vertex};
use crate::journal::Update;
use crate::node::{Node, NodeKind, Phase};

/// How far a group is.
enum Group {
    Waiting,
    Done,
    Failed(String),
}

impl Pass<'_> {
    pub(super) fn advance_steps(&mut self, node: &Arc<Node>, def: &Arc<TemplateDef>) {
        let frame = Frame { node: node.clone(), def: def.clone() };
        let Some(graph) = &def.graph else { return };
        for index in 0..graph.layers.len() {
            match self.advance_group(&frame, graph, index) {
                Group::Done => {}
                Group::Waiting => return,
                Group::Failed(why) => return self.end_graph(&frame, graph, Phase::Failed, why),
            }
        }
        self.end_graph(&frame, graph, Phase::Succeeded, String::new());
    }

    fn advance_group(&mut self, frame: &Frame, graph: &Graph, index: usize) -> Group {
        let group = self.group_node(frame, index);
        if group.phase == Phase::Succeeded {
            return Group::Done;
        }
        if group.phase.fulfilled() {
            return Group::Failed(group.message.clone());
        }
        let vertices = graph.layers.get(index).into_iter().flatten();
        let vertices: Vec<&Vertex> = vertices.filter_map(|i| graph.vertices.get(*i)).collect();
        let mut complete = true;
        for vertex in &vertices {
            complete &= self.advance_step(frame, vertex, &group);
        }
        if complete && !group.complete {
            self.update(Update { id: group.id.clone(), complete: true, ..Update::default() });
        }
        self.group_result(frame, &vertices, &group, complete)
    }

    /// The node of a group, made if there is none. It follows whatever ended the group before.
    fn group_node(&mut self, frame: &Frame, index: usize) -> Arc<Node> {
        let name = format!("{}[{index}]", frame.node.name);
        if let Some(group) = self.named(&name) {
            return group;
        }
        let before = index.checked_sub(1);
        let before = before.and_then(|i| self.named(&format!("{}[{i}]", frame.node.name)));
        let under = match before {
            Some(group) => self.outbound(&group),
            None => vec![frame.node.id.clone()],
        };
        let group = self.add_group(frame, &name, NodeKind::StepGroup);
        self.link(&under, &group.id);
        group
    }

    /// Brings one step of a group on. Says whether all its nodes are there.
    fn advance_step(&mut self, frame: &Frame, vertex: &Vertex, group: &Arc<Node>) -> bool {
        let name = frame.name_of(vertex);
        let under = [group.id.clone()];
        if let Some(node) = self.named(&name) {
            self.advance_task(frame, vertex, &node);
            return true;
        }
        if !vertex.is_loop() {
            return matches!(self.start(frame, vertex, &name, None, &under), Start::Made);
        }
        let children = self.children_of(&group.id, &name);
        for child in &children {
            self.advance_task(frame, vertex, child);
        }
        if group.complete {
            return true;
        }
        if children.is_empty() {
            return match self.expand(frame, vertex, &name, &under) {
                Expanded::Items(items) => self.fill(frame, vertex, &name, &items, &group.id),
                Expanded::Instead => true,
            };
        }
        let items = items(&self.scope(frame, &name, None), vertex);
        items.is_ok_and(|items| self.fill(frame, vertex, &name, &items, &group.id))
    }

    fn group_result(
        &mut self,
        frame: &Frame,
        vertices: &[&Vertex],
        group: &Arc<Node>,
        complete: bool,
    ) -> Group {
        let mut failed: Option<Arc<Node>> = None;
        for vertex in vertices {
            for node in self.step_nodes(frame, vertex, group) {
                if !self.is_settled(&node) {
                    return Group::Waiting;
                }
                let tolerated = vertex.continue_on();
                let bad = match node.phase {
                    Phase::Failed => !tolerated.failed,
                    Phase::Error => !tolerated.error,
                    _ => false,
                };
                if bad && failed.is_none() {
                    failed = Some(node);
                }
            }
        }
        let given_up = frame.def.typed.fail_fast == Some(true) && failed.is_some();
        if !complete && !given_up {
            return Group::Waiting;
        }
        match failed {
            Some(node) => {
                let why = format!("child '{}' failed", node.id);
                self.end(&group.id, Phase::Failed, why.clone());
                Group::Failed(why)
            }
            None => {
                self.end(&group.id, Phase::Succeeded, String::new());
                Group::Done
            }
        }
    }

    fn step_nodes(&self, frame: &Frame, vertex: &Vertex, group: &Node) -> Vec<Arc<Node>> {
        let name = frame.name_of(vertex);
        match self.named(&name) {
            Some(node) => vec![node],
            None => self.children_of(&group.id, &name),
        }
    }
}
