//! One step or task: whether it runs, with what, and under which node.

use std::sync::Arc;

use serde_json::Value;
use tiphys_manifest::workflow::TemplateRef;

use super::Pass;
use super::arguments::Given;
use super::call::{Call, Making};
use crate::definition::{TemplateDef, inline_name};
use crate::graph::Vertex;
use crate::node::{Node, NodeKind, Phase, Target};
use crate::scope::{Inside, Scope};
use crate::substitute;

/// A steps or DAG node that is being brought on.
#[derive(Clone)]
pub(super) struct Frame {
    pub(super) node: Arc<Node>,
    pub(super) def: Arc<TemplateDef>,
}

impl Frame {
    pub(super) fn inside(&self) -> Inside<'_> {
        Inside { node: &self.node, def: &self.def }
    }

    pub(super) fn name_of(&self, vertex: &Vertex) -> String {
        self.inside().child_name(vertex)
    }
}

/// What became of an attempt to start something.
pub(super) enum Start {
    /// It has a node now.
    Made,
    /// A limit holds it back.
    Held,
}

impl Pass<'_> {
    pub(super) fn scope<'s>(&'s self, frame: &'s Frame, name: &'s str, item: Option<&'s Value>) -> Scope<'s> {
        Scope {
            inputs: Some(&frame.node.inputs),
            inside: Some(frame.inside()),
            item,
            ..Scope::of(&self.state, self.context.now, name)
        }
    }

    /// Starts a step or task, or one child of a loop.
    pub(super) fn start(
        &mut self,
        frame: &Frame,
        vertex: &Vertex,
        name: &str,
        item: Option<&Value>,
        under: &[String],
    ) -> Start {
        let made = match self.wanted(frame, vertex, name, item) {
            Ok(true) => self.start_wanted(frame, vertex, name, item),
            Ok(false) => {
                let when = vertex.task.when.as_deref().unwrap_or_default();
                let why = format!("when '{when}' evaluated false");
                Some(self.not_run(frame, vertex, name, Phase::Skipped, why))
            }
            Err(why) => Some(self.not_run(frame, vertex, name, Phase::Error, why)),
        };
        match made {
            Some(id) => {
                self.link(under, &id);
                Start::Made
            }
            None => Start::Held,
        }
    }

    /// Whether its `when` lets it run. A `when` that does not mention the item is asked once for the loop.
    pub(super) fn wanted(
        &self,
        frame: &Frame,
        vertex: &Vertex,
        name: &str,
        item: Option<&Value>,
    ) -> Result<bool, String> {
        match vertex.task.when.as_deref().filter(|when| !when.trim().is_empty()) {
            Some(when) => substitute::holds(&self.scope(frame, name, item), when),
            None => Ok(true),
        }
    }

    fn start_wanted(
        &mut self,
        frame: &Frame,
        vertex: &Vertex,
        name: &str,
        item: Option<&Value>,
    ) -> Option<String> {
        let scope = self.scope(frame, name, item);
        let written = vertex.json.get("arguments").unwrap_or(&Value::Null);
        let prepared =
            self.given(&scope, written).and_then(|given| Ok((given, target(&scope, frame, vertex)?)));
        match prepared {
            Ok((given, target)) => self.call(Call {
                name: name.to_owned(),
                target,
                given,
                boundary: Some(frame.node.clone()),
                wants_result: vertex.wants_result,
                exit: frame.node.exit,
            }),
            Err(why) => Some(self.not_run(frame, vertex, name, Phase::Error, why)),
        }
    }

    /// A node for what does not run.
    pub(super) fn not_run(
        &mut self,
        frame: &Frame,
        vertex: &Vertex,
        name: &str,
        phase: Phase,
        why: String,
    ) -> String {
        let target = Target {
            template: vertex.task.template.clone(),
            reference: vertex.task.template_ref.clone(),
            scope: frame.def.scope.clone(),
        };
        let making = self.making(frame, name, target);
        self.stillborn(making, phase, why)
    }

    pub(super) fn making(&self, frame: &Frame, name: &str, target: Target) -> Making {
        Making {
            name: name.to_owned(),
            target,
            inputs: Arc::default(),
            boundary: Some(frame.node.clone()),
            wants_result: false,
            exit: frame.node.exit,
            attempt: None,
        }
    }

    /// Brings a step's or task's node on, and its exit hook after it.
    pub(super) fn advance_task(&mut self, frame: &Frame, vertex: &Vertex, node: &Arc<Node>) {
        self.advance(&node.id);
        if let Some(node) = self.node(&node.id) {
            self.advance_hook(frame, vertex, &node);
        }
    }

    /// Whether a node and its exit hook have ended.
    pub(super) fn is_settled(&self, node: &Node) -> bool {
        (node.phase.fulfilled() || node.daemon.is_some()) && !self.hooks.contains(&node.id)
    }

    /// A call from a hook or exit handler.
    pub(super) fn call_exit(
        &mut self,
        name: String,
        target: Target,
        given: Given,
        boundary: Option<Arc<Node>>,
    ) -> Option<String> {
        self.call(Call { name, target, given, boundary, wants_result: false, exit: true })
    }

    /// A node of a group: of a loop's children, or of steps that run together.
    pub(super) fn add_group(&mut self, frame: &Frame, name: &str, kind: NodeKind) -> Arc<Node> {
        let target = match kind {
            NodeKind::StepGroup => frame.node.target.clone(),
            _ => Target { scope: frame.def.scope.clone(), ..Target::default() },
        };
        let making = self.making(frame, name, target);
        let node = self.blank(making, kind, Phase::Running);
        let shared = Arc::new(node.clone());
        self.add(node);
        shared
    }
}

/// The template that a step or task calls; its names may hold tags.
fn target(scope: &Scope<'_>, frame: &Frame, vertex: &Vertex) -> Result<Target, String> {
    let task = &vertex.task;
    let home = frame.def.scope.clone();
    if frame.def.inline.contains_key(&vertex.name) {
        return Ok(Target {
            template: inline_name(&frame.def.name, &vertex.name),
            reference: None,
            scope: home,
        });
    }
    match &task.template_ref {
        Some(reference) => Ok(Target {
            template: String::new(),
            reference: Some(TemplateRef {
                name: substitute::required(scope, &reference.name)?,
                template: substitute::required(scope, &reference.template)?,
                cluster_scope: reference.cluster_scope,
            }),
            scope: home,
        }),
        None => Ok(Target {
            template: substitute::required(scope, &task.template)?,
            reference: None,
            scope: home,
        }),
    }
}
