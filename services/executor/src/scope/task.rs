//! `steps.NAME.…` and `tasks.NAME.…`: what earlier steps and tasks made.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Found, Inside, Scope};
use crate::graph::{Style, Vertex};
use crate::names;
use crate::node::{ArtifactValue, Node, NodeKind, Phase};
use crate::status::time_text;

impl Inside<'_> {
    /// Name of the node of a step or task; of a loop, what its children's names begin with.
    pub(crate) fn child_name(&self, vertex: &Vertex) -> String {
        match self.def.graph.as_ref().map(|graph| graph.style) {
            Some(Style::Steps) => format!("{}[{}].{}", self.node.name, vertex.group, vertex.name),
            _ => format!("{}.{}", self.node.name, vertex.name),
        }
    }
}

/// The nodes behind a step or task.
pub(super) enum Behind {
    /// One.
    One(Arc<Node>),
    /// Those of a loop, by index.
    Loop(Vec<Arc<Node>>),
    /// None yet.
    Nothing,
}

impl<'a> Scope<'a> {
    pub(super) fn behind(&self, inside: Inside<'a>, vertex: &Vertex) -> Behind {
        let name = inside.child_name(vertex);
        let one = self.state.named(&name).cloned();
        let group = match &one {
            Some(node) if node.kind != NodeKind::TaskGroup => return Behind::One(node.clone()),
            Some(group) => Some(group.clone()),
            None if vertex.is_loop() => {
                let group = format!("{}[{}]", inside.node.name, vertex.group);
                self.state.named(&group).cloned()
            }
            None => None,
        };
        let Some(group) = group else {
            return Behind::Nothing;
        };
        let mut children: Vec<(usize, Arc<Node>)> = group
            .children
            .iter()
            .filter_map(|id| self.state.nodes.get(id))
            .filter_map(|node| Some((names::loop_index(&node.name, &name)?, node.clone())))
            .collect();
        children.sort_by_key(|(index, _)| *index);
        Behind::Loop(children.into_iter().map(|(_, node)| node).collect())
    }

    fn vertex(&self, inside: Inside<'a>, name: &str) -> Result<&'a Vertex, String> {
        let graph = inside.def.graph.as_ref();
        graph.and_then(|graph| graph.named(name)).ok_or_else(|| format!("there is no step or task `{name}`"))
    }

    /// A name below `steps.` or `tasks.`.
    pub(super) fn task(&self, rest: &str) -> Found {
        let (Some(inside), Some((name, below))) = (self.inside, rest.split_once('.')) else {
            return Found::Unknown;
        };
        let vertex = match self.vertex(inside, name) {
            Ok(vertex) => vertex,
            Err(why) => return Found::Wrong(why),
        };
        match self.behind(inside, vertex) {
            Behind::One(node)
                if node.phase.fulfilled() || node.daemon.is_some() || !below.starts_with("outputs") =>
            {
                self.member(inside, vertex, &node, below)
            }
            Behind::Loop(children) if children.iter().all(|c| c.phase.fulfilled()) => {
                aggregate(&children, below)
            }
            _ => Found::Wrong(format!("`{name}` has not ended when this is needed; let this depend on it")),
        }
    }

    fn member(&self, inside: Inside<'a>, vertex: &Vertex, node: &Node, below: &str) -> Found {
        let optional = |text: &Option<String>| text.clone().map_or(Found::Absent, Found::Text);
        match below {
            "id" => Found::Text(node.id.clone()),
            "status" => Found::Text(node.phase.as_str().into()),
            "message" => Found::Text(node.message.clone()),
            "startedAt" => Found::Text(time_text(node.started)),
            "finishedAt" => node.finished.map_or(Found::Absent, |t| Found::Text(time_text(t))),
            "exitCode" => optional(&node.outputs.exit_code),
            "ip" => optional(&node.daemon.as_ref().and_then(|daemon| daemon.address.clone())),
            // A step that is not placed on one of several machines has none, which is no mistake of who asks.
            "hostNodeName" => Found::Text(node.host.clone().unwrap_or_default()),
            "outputs.result" => optional(&node.outputs.result),
            "outputs.parameters" => {
                let all = node.outputs.parameters.iter();
                let all = all.map(|p| (&*p.name, p.value.as_deref()));
                Found::Text(super::parameters_json(all))
            }
            _ => match below.strip_prefix("outputs.parameters.") {
                Some(name) => match node.outputs.parameter(name).and_then(|p| p.value.clone()) {
                    Some(value) => Found::Text(value),
                    None => self.default_output(inside, vertex, name),
                },
                None => Found::Wrong(format!("`{below}` of `{}` is not known", vertex.name)),
            },
        }
    }

    /// What a step that was skipped would have given by its template's default.
    fn default_output(&self, inside: Inside<'a>, vertex: &Vertex, name: &str) -> Found {
        let Some(def) = self.state.template_of(inside.def, vertex) else {
            return Found::Absent;
        };
        let declared = def.typed.outputs.parameters.iter().find(|p| p.name == name);
        match declared {
            Some(parameter) => {
                let from = parameter.value_from.as_ref();
                from.and_then(|from| from.default.clone())
                    .or_else(|| parameter.default.clone())
                    .map_or(Found::Absent, Found::Text)
            }
            None => Found::Wrong(format!("`{}` has no output parameter `{name}`", vertex.name)),
        }
    }

    /// An artifact that a step or task made.
    pub(super) fn task_artifact(
        &self,
        inside: Inside<'a>,
        task: &str,
        name: &str,
    ) -> Result<Option<ArtifactValue>, String> {
        let vertex = self.vertex(inside, task)?;
        match self.behind(inside, vertex) {
            Behind::One(node) if node.phase.fulfilled() => Ok(node.outputs.artifact(name).cloned()),
            Behind::Loop(_) => Err(format!("`{task}` is a loop; its artifacts have no one name")),
            _ => Err(format!("`{task}` has not ended when its artifact is needed; let this depend on it")),
        }
    }

    /// A step or task as expressions see it.
    pub(super) fn task_object(&self, inside: Inside<'a>, vertex: &Vertex) -> Option<Value> {
        match self.behind(inside, vertex) {
            Behind::Nothing => None,
            Behind::One(node) => {
                let mut parameters = Map::new();
                for parameter in &node.outputs.parameters {
                    parameters.insert(parameter.name.clone(), json!(parameter.value));
                }
                if let Some(def) = self.state.template_of(inside.def, vertex) {
                    for declared in &def.typed.outputs.parameters {
                        if let Found::Text(value) = self.default_output(inside, vertex, &declared.name) {
                            parameters.entry(declared.name.clone()).or_insert(json!(value));
                        }
                    }
                }
                let artifacts: Map<String, Value> = (node.outputs.artifacts.iter())
                    .map(|artifact| (artifact.name.clone(), json!(artifact)))
                    .collect();
                Some(json!({
                    "id": node.id, "status": node.phase.as_str(), "message": node.message,
                    "exitCode": node.outputs.exit_code, "startedAt": time_text(node.started),
                    "finishedAt": node.finished.map(time_text),
                    "ip": node.daemon.as_ref().and_then(|daemon| daemon.address.clone()),
                    "outputs": {"result": node.outputs.result, "parameters": parameters,
                        "artifacts": artifacts},
                }))
            }
            Behind::Loop(children) => {
                if !children.iter().all(|child| child.phase.fulfilled()) {
                    return None;
                }
                let text = |below: &str| match aggregate(&children, below) {
                    Found::Text(text) => json!(text),
                    _ => Value::Null,
                };
                let mut parameters = Map::new();
                for child in &children {
                    for parameter in &child.outputs.parameters {
                        let below = format!("outputs.parameters.{}", parameter.name);
                        parameters.insert(parameter.name.clone(), text(&below));
                    }
                }
                Some(json!({"status": text("status"),
                    "outputs": {"result": text("outputs.result"), "parameters": parameters}}))
            }
        }
    }
}

/// What the children of a loop made, joined. Only those that succeeded count.
fn aggregate(children: &[Arc<Node>], below: &str) -> Found {
    if below == "status" {
        let worst = children.iter().map(|c| c.phase).rfind(|phase| phase.bad());
        return Found::Text(worst.unwrap_or(Phase::Succeeded).as_str().into());
    }
    let good = || children.iter().filter(|c| c.phase == Phase::Succeeded);
    match below {
        "outputs.result" => {
            let results = good().filter_map(|c| c.outputs.result.clone());
            Found::Text(json_list(results.collect()))
        }
        "outputs.parameters" => {
            let maps: Vec<Value> = good()
                .map(|child| {
                    let pairs = child.outputs.parameters.iter();
                    Value::Object(pairs.map(|p| (p.name.clone(), json!(p.value))).collect())
                })
                .collect();
            Found::Text(Value::Array(maps).to_string())
        }
        _ => match below.strip_prefix("outputs.parameters.") {
            Some(name) => {
                let values = good().filter_map(|c| c.outputs.parameter(name)?.value.clone());
                Found::Text(json_list(values.collect()))
            }
            None => Found::Wrong(format!("`{below}` of a loop is not known")),
        },
    }
}

/// A JSON list of texts; where every text is a JSON object or list, of these.
fn json_list(texts: Vec<String>) -> String {
    let parsed: Option<Vec<Value>> = texts
        .iter()
        .map(|text| {
            let value: Value = serde_json::from_str(text).ok()?;
            (value.is_object() || value.is_array()).then_some(value)
        })
        .collect();
    match parsed {
        Some(values) => Value::Array(values).to_string(),
        None => Value::Array(texts.into_iter().map(Value::String).collect()).to_string(),
    }
}
