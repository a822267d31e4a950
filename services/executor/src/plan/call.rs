//! Somebody calls a template: the node is made, with everything that goes into it.

use std::sync::Arc;

use tiphys_core::PodKey;
use tiphys_manifest::Kind;

use super::Pass;
use super::arguments::Given;
use super::begin::{missing, near};
use crate::definition::{TemplateDef, find};
use crate::graph::Vertex;
use crate::journal::{Change, Shutdown, State};
use crate::names;
use crate::node::{InputValues, Node, NodeKind, OutputValues, Phase, Target};

/// Templates may call templates so deep; they may call themselves.
const DEPTH_MAX: u32 = 100;
/// A workflow may have so many nodes.
pub(super) const NODES_MAX: usize = 10_000;

/// A call.
pub(super) struct Call {
    /// Name of the node to be.
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) given: Given,
    pub(super) boundary: Option<Arc<Node>>,
    pub(super) wants_result: bool,
    pub(super) exit: bool,
}

/// What a node is made of, once its template and inputs are known.
pub(super) struct Making {
    pub(super) name: String,
    pub(super) target: Target,
    pub(super) inputs: Arc<InputValues>,
    pub(super) boundary: Option<Arc<Node>>,
    pub(super) wants_result: bool,
    pub(super) exit: bool,
    pub(super) attempt: Option<u32>,
}

impl Pass<'_> {
    /// Makes the node of a call, unless a limit holds it back for now.
    pub(super) fn call(&mut self, call: Call) -> Option<String> {
        if let Some(node) = self.named(&call.name) {
            return Some(node.id.clone());
        }
        if self.state.nodes.len() >= NODES_MAX {
            self.overflow = true;
            return None;
        }
        let Call { name, target, given, boundary, wants_result, exit } = call;
        let mut making =
            Making { name, target, inputs: Arc::default(), boundary, wants_result, exit, attempt: None };
        if let Some(why) = self.barred(exit) {
            return Some(self.stillborn(making, Phase::Failed, why));
        }
        if self.state.suspended {
            self.held = true;
            return None;
        }
        let def = match self.resolve(&making.target) {
            Ok(def) => def,
            Err(why) => return Some(self.stillborn(making, Phase::Error, why)),
        };
        if self.is_held(&def, making.boundary.as_ref()) {
            self.held = true;
            return None;
        }
        match self.inputs(&def, given) {
            Ok(inputs) => making.inputs = Arc::new(inputs),
            Err(why) => return Some(self.stillborn(making, Phase::Error, why)),
        }
        if self.retry_of(&def).is_some() {
            let node = self.blank(making, NodeKind::Retry, Phase::Running);
            let id = self.add(node);
            self.advance(&id);
            return Some(id);
        }
        Some(self.make(making, &def))
    }

    /// Why nothing new may start.
    fn barred(&mut self, exit: bool) -> Option<String> {
        match self.state.shutdown {
            Some(Shutdown::Stop) if exit => {}
            None => {}
            Some(shutdown) => {
                return Some(format!("workflow shutdown with strategy: {}", shutdown.as_str()));
            }
        }
        let late = !exit && self.deadline().is_some_and(|at| at <= self.context.now);
        late.then(|| super::limits::DEADLINE.to_owned())
    }

    /// Makes a node of whatever kind its template is, and brings it on.
    pub(super) fn make(&mut self, making: Making, def: &Arc<TemplateDef>) -> String {
        if let Some(construct) = super::unsupported::of_template(def) {
            return self.stillborn(making, Phase::Error, construct);
        }
        let id = if let Some(graph) = &def.graph {
            let kind = match graph.style {
                crate::graph::Style::Steps => NodeKind::Steps,
                crate::graph::Style::Dag => NodeKind::Dag,
            };
            let node = self.blank(making, kind, Phase::Running);
            if node.depth > DEPTH_MAX {
                let why = format!("templates call each other more than {DEPTH_MAX} deep");
                return self.stillborn_node(node, Phase::Error, why);
            }
            self.add(node)
        } else if def.typed.suspend.is_some() {
            let node = self.blank(making, NodeKind::Suspend, Phase::Running);
            self.add(node)
        } else {
            return self.make_pod(making, def);
        };
        self.advance(&id);
        id
    }

    fn make_pod(&mut self, making: Making, def: &Arc<TemplateDef>) -> String {
        let mut node = self.blank(making, NodeKind::Pod, Phase::Pending);
        let submission = &self.state.submission;
        let key = PodKey::derive(&submission.uid, &node.name, self.state.generation);
        node.pod = Some(key);
        let template =
            node.target.reference.as_ref().map_or(node.target.template.as_str(), |r| r.template.as_str());
        // A template written inside a step has no name.
        let template = template.rsplit_once('/').map_or(template, |_| "");
        node.pod_name = Some(names::pod_name(&submission.name, &node.name, template));
        match super::pod::spec(&self.state, &node, def, self.context) {
            Ok(spec) => {
                self.starts.push(spec);
                let id = self.add(node);
                // Its time begins to run.
                self.advance(&id);
                id
            }
            Err(why) => {
                node.pod = None;
                node.pod_name = None;
                self.stillborn_node(node, Phase::Error, why)
            }
        }
    }

    /// A node that ends as it is made.
    pub(super) fn stillborn(&mut self, making: Making, phase: Phase, why: String) -> String {
        let node = self.blank(making, NodeKind::Skipped, phase);
        self.stillborn_node(node, phase, why)
    }

    fn stillborn_node(&mut self, mut node: Node, phase: Phase, why: String) -> String {
        node.phase = phase;
        node.message = why;
        node.finished = Some(self.context.now);
        self.add(node)
    }

    pub(super) fn blank(&self, making: Making, kind: NodeKind, phase: Phase) -> Node {
        let outer = making.boundary.as_deref();
        let composite = matches!(kind, NodeKind::Steps | NodeKind::Dag);
        Node {
            id: names::node_id(&self.state.submission.name, &making.name),
            display_name: names::display_name(&making.name, outer.map(|node| &*node.name)),
            name: making.name,
            kind,
            target: making.target,
            phase,
            boundary: outer.map(|node| node.id.clone()),
            message: String::new(),
            started: self.context.now,
            finished: None,
            inputs: making.inputs,
            outputs: Arc::new(OutputValues::default()),
            children: Vec::new(),
            outbound: Vec::new(),
            pod: None,
            pod_name: None,
            attempt: making.attempt,
            wants_result: making.wants_result,
            exit: making.exit,
            complete: false,
            stopping: None,
            daemon: None,
            host: None,
            depth: outer.map_or(0, |node| node.depth) + u32::from(composite),
        }
    }

    /// Finds a template. One of another object is copied into the workflow at first use, so that later edits
    /// do not change a workflow that runs.
    pub(super) fn resolve(&mut self, target: &Target) -> Result<Arc<TemplateDef>, String> {
        let (scope, name) = target.place();
        if let Some(def) = self.state.template(&scope, &name) {
            return Ok(def);
        }
        let Some((kind, object)) = scope.split_once('/') else {
            return Err(format!("there is no template '{name}'"));
        };
        let kind = match kind {
            "cluster" => Kind::ClusterWorkflowTemplate,
            "namespaced" => Kind::WorkflowTemplate,
            _ => {
                let names = self.state.definition.iter().flat_map(|d| d.names());
                return Err(format!("there is no template '{name}'{}", near(&name, names)));
            }
        };
        let namespace = self.state.submission.namespace.clone();
        let Some(found) = self.context.catalog.get(kind, &namespace, object).cloned() else {
            return Err(missing(kind, &namespace, object));
        };
        let templates = found.document["spec"]["templates"].as_array();
        let mut all = templates.into_iter().flatten();
        let Some(template) = all.find(|t| t["name"].as_str() == Some(&name)) else {
            let names = templates.into_iter().flatten();
            let names = names.filter_map(|t| t["name"].as_str());
            let near = near(&name, names);
            return Err(format!("{kind} '{object}' has no template '{name}'{near}"));
        };
        let template = Self::with_consent(&found, template);
        let key = format!("{scope}/{name}");
        if let Some(definition) = &self.state.definition {
            definition.adopt(&key, &template)?;
        }
        self.record(Change::Stored { key, template });
        self.state
            .template(&scope, &name)
            .ok_or_else(|| format!("{kind} '{object}': template '{name}' cannot be used"))
    }
}

impl Target {
    /// Scope and name of the template.
    pub(crate) fn place(&self) -> (String, String) {
        match &self.reference {
            Some(reference) if reference.cluster_scope => {
                (format!("cluster/{}", reference.name), reference.template.clone())
            }
            Some(reference) => (format!("namespaced/{}", reference.name), reference.template.clone()),
            None => (self.scope.clone(), self.template.clone()),
        }
    }
}

impl State {
    /// A template that the workflow has already.
    pub(crate) fn template(&self, scope: &str, name: &str) -> Option<Arc<TemplateDef>> {
        let definition = self.definition.as_ref()?;
        if definition.scope == scope {
            return definition.local(name);
        }
        find(name, |name| self.stored.get(&format!("{scope}/{name}")))
    }

    /// The template that a step or task of `def` calls, as far as the workflow has it.
    pub(crate) fn template_of(&self, def: &TemplateDef, vertex: &Vertex) -> Option<Arc<TemplateDef>> {
        if let Some(inline) = def.inline.get(&vertex.name) {
            return Some(inline.clone());
        }
        let target = Target {
            template: vertex.task.template.clone(),
            reference: vertex.task.template_ref.clone(),
            scope: def.scope.clone(),
        };
        let (scope, name) = target.place();
        self.template(&scope, &name)
    }
}
