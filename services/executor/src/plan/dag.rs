//! A DAG: tasks start when what they depend on has ended as they wish.

use std::sync::Arc;

use super::Pass;
use super::looped::{Expanded, items};
use super::task::Frame;
use crate::definition::TemplateDef;
use crate::depends::Asked;
use crate::graph::{Graph, Vertex};
use crate::journal::Update;
use crate::node::{Node, NodeKind, Phase};

impl Pass<'_> {
    pub(super) fn advance_dag(&mut self, node: &Arc<Node>, def: &Arc<TemplateDef>) {
        let frame = Frame { node: node.clone(), def: def.clone() };
        let Some(whole) = &def.graph else { return };
        let narrowed = match self.narrowed(&frame, whole) {
            Ok(narrowed) => narrowed,
            Err(why) => return self.end(&node.id, Phase::Error, why),
        };
        let graph = narrowed.as_ref().unwrap_or(whole);
        for vertex in graph.layers.iter().flatten().filter_map(|i| graph.vertices.get(*i)) {
            self.advance_vertex(&frame, graph, vertex);
        }
        if let Some((phase, message)) = self.dag_result(&frame, graph) {
            self.end_graph(&frame, graph, phase, message);
        }
    }

    /// The graph up to the targets that are known only now.
    fn narrowed(&self, frame: &Frame, graph: &Graph) -> Result<Option<Graph>, String> {
        let Some(target) = &graph.target else {
            return Ok(None);
        };
        let scope = self.scope(frame, &frame.node.name, None);
        let target = crate::substitute::required(&scope, target)?;
        graph.ending_in(&target).map(Some)
    }

    fn advance_vertex(&mut self, frame: &Frame, graph: &Graph, vertex: &Vertex) {
        let name = frame.name_of(vertex);
        if let Some(node) = self.named(&name) {
            if node.kind == NodeKind::TaskGroup {
                self.advance_loop(frame, vertex, &node);
            } else {
                self.advance_task(frame, vertex, &node);
            }
            return;
        }
        let needs: Vec<&Vertex> = needs(graph, vertex).collect();
        let before: Option<Vec<Arc<Node>>> =
            needs.iter().map(|need| self.named(&frame.name_of(need))).collect();
        let Some(before) = before else { return };
        if !before.iter().all(|node| self.is_settled(node)) {
            return;
        }
        let mut under: Vec<String> = before.iter().flat_map(|n| self.outbound(n)).collect();
        if under.is_empty() {
            under.push(frame.node.id.clone());
        }
        let answer = |asked_of: &str, asked: Asked| {
            let known = graph.named(asked_of);
            let known = known.and_then(|v| Some((v, self.named(&frame.name_of(v))?)));
            known.is_some_and(|(vertex, node)| self.answer(vertex, &node, asked))
        };
        if !vertex.depends.holds(&answer) {
            let why = "omitted: depends condition not met".to_owned();
            let id = self.not_run(frame, vertex, &name, Phase::Omitted, why);
            self.link(&under, &id);
        } else if vertex.is_loop() {
            if let Expanded::Items(items) = self.expand(frame, vertex, &name, &under) {
                let group = self.add_group(frame, &name, NodeKind::TaskGroup);
                self.link(&under, &group.id);
                self.advance_items(frame, vertex, &group, &items);
            }
        } else {
            self.start(frame, vertex, &name, None, &under);
        }
    }

    /// The answer to one question of a `depends`.
    fn answer(&self, vertex: &Vertex, node: &Node, asked: Asked) -> bool {
        let phase = node.phase;
        let tolerated = vertex.continue_on();
        let children = || node.children.iter().filter_map(|id| self.state.nodes.get(id));
        match asked {
            Asked::Plain => match phase {
                Phase::Succeeded | Phase::Skipped => true,
                Phase::Failed => tolerated.failed,
                Phase::Error => tolerated.error,
                _ => node.daemon.is_some(),
            },
            Asked::Succeeded => phase == Phase::Succeeded,
            Asked::Failed => phase == Phase::Failed,
            Asked::Errored => phase == Phase::Error,
            Asked::Skipped => phase == Phase::Skipped,
            Asked::Omitted => phase == Phase::Omitted,
            Asked::Daemoned => node.daemon.is_some() && !phase.fulfilled(),
            Asked::AnySucceeded => children().any(|child| child.phase == Phase::Succeeded),
            Asked::AllFailed => {
                !node.children.is_empty() && children().all(|child| child.phase == Phase::Failed)
            }
        }
    }

    /// Brings the children of a loop on, and starts those that were held back.
    fn advance_loop(&mut self, frame: &Frame, vertex: &Vertex, group: &Arc<Node>) {
        if group.complete {
            return self.advance_items(frame, vertex, group, &[]);
        }
        match items(&self.scope(frame, &group.name, None), vertex) {
            Ok(items) => self.advance_items(frame, vertex, group, &items),
            Err(why) => self.end(&group.id, Phase::Error, why),
        }
    }

    fn advance_items(
        &mut self,
        frame: &Frame,
        vertex: &Vertex,
        group: &Arc<Node>,
        items: &[serde_json::Value],
    ) {
        for child in self.children_of(&group.id, &group.name) {
            self.advance_task(frame, vertex, &child);
        }
        if group.phase.fulfilled() {
            return;
        }
        let mut complete = group.complete;
        if !complete {
            complete = self.fill(frame, vertex, &group.name, items, &group.id);
            if complete {
                self.update(Update { id: group.id.clone(), complete: true, ..Update::default() });
            }
        }
        let children = self.children_of(&group.id, &group.name);
        let failed = children.iter().rfind(|child| child.phase.bad());
        let given_up = frame.def.typed.fail_fast == Some(true) && failed.is_some();
        if (complete || given_up) && children.iter().all(|child| self.is_settled(child)) {
            let phase = failed.map_or(Phase::Succeeded, |child| child.phase);
            let message = failed.map(|child| format!("child '{}' failed", child.id));
            self.end(&group.id, phase, message.unwrap_or_default());
        }
    }

    /// How the DAG ended, if it did. Every node that exists must have ended; then each target has the phase of
    /// its branch: its own, or where it did not run, the worst of what it depends on.
    fn dag_result(&self, frame: &Frame, graph: &Graph) -> Option<(Phase, String)> {
        let order: Vec<usize> = graph.layers.iter().flatten().copied().collect();
        let mut branches: Vec<Option<Phase>> = vec![None; graph.vertices.len()];
        let mut open = false;
        for index in order {
            let Some(vertex) = graph.vertices.get(index) else {
                continue;
            };
            let Some(node) = self.named(&frame.name_of(vertex)) else {
                continue;
            };
            open |= !self.is_settled(&node);
            let above = vertex.needs.iter().filter_map(|n| *branches.get(*n)?);
            let inherited = above.fold(Phase::Succeeded, worse);
            if let Some(branch) = branches.get_mut(index) {
                *branch = Some(if node.phase.completed() { node.phase } else { inherited });
            }
        }
        if open {
            return None;
        }
        let hard = frame.def.typed.fail_fast == Some(true);
        if hard && self.has_failed_child(&frame.node.id) {
            let why = "template has failed or errored children and failFast enabled";
            return Some((Phase::Failed, why.into()));
        }
        self.targets(graph, &branches).map(|phase| (phase, String::new()))
    }

    fn targets(&self, graph: &Graph, branches: &[Option<Phase>]) -> Option<Phase> {
        let mut result = Some(Phase::Succeeded);
        for index in &graph.targets {
            let (Some(vertex), Some(branch)) = (graph.vertices.get(*index), branches.get(*index)) else {
                continue;
            };
            let tolerated = vertex.continue_on();
            match branch {
                None if graph.fail_fast => result = None,
                None => return None,
                Some(Phase::Failed) if tolerated.failed => {}
                Some(Phase::Error) if tolerated.error => {}
                Some(phase) if phase.bad() => {
                    result = Some(*phase);
                    if graph.fail_fast {
                        return result;
                    }
                }
                Some(_) => {}
            }
        }
        result
    }
}

fn needs<'g>(graph: &'g Graph, vertex: &'g Vertex) -> impl Iterator<Item = &'g Vertex> {
    vertex.needs.iter().filter_map(|index| graph.vertices.get(*index))
}

/// Error over Failed over everything else.
fn worse(a: Phase, b: Phase) -> Phase {
    match (a, b) {
        (Phase::Error, _) | (_, Phase::Error) => Phase::Error,
        (Phase::Failed, _) | (_, Phase::Failed) => Phase::Failed,
        _ => a,
    }
}
