//! What tags and expressions may refer to, at one place of a workflow.

mod environment;
mod task;
mod workflow;

use serde_json::Value;
use tiphys_core::{PodKey, Timestamp};

use crate::definition::TemplateDef;
use crate::journal::State;
use crate::names;
use crate::names::item_text;
use crate::node::{ArtifactValue, InputValues, Node};

/// What stands behind a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Its text.
    Text(String),
    /// The name is known, but what should have made the value was skipped or did not make it.
    Absent,
    /// Nobody here knows the name.
    Unknown,
    /// It should be there, but is not; the text says why.
    Wrong(String),
}

/// Finds where the step finds the file that its manifest calls so.
pub(crate) type PathOf<'a> = &'a (dyn Fn(&PodKey, bool, &str) -> String + Sync);

/// A steps or DAG node, from the inside.
#[derive(Clone, Copy)]
pub(crate) struct Inside<'a> {
    /// The node.
    pub(crate) node: &'a Node,
    /// Its template.
    pub(crate) def: &'a TemplateDef,
}

/// An attempt, from the inside.
#[derive(Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// Its node's name.
    pub(crate) node: &'a str,
    /// Its pod's name.
    pub(crate) pod: &'a str,
    /// Its pod's key.
    pub(crate) key: &'a PodKey,
    /// Its template.
    pub(crate) def: &'a TemplateDef,
    /// Which attempt, from 0; absent where there is no retry.
    pub(crate) number: Option<u32>,
    /// The attempt before.
    pub(crate) last: Option<&'a Node>,
    /// Whether it may run on the host.
    pub(crate) on_host: bool,
    /// Where files are.
    pub(crate) path_of: PathOf<'a>,
}

/// Everything that may be referred to.
#[derive(Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) state: &'a State,
    pub(crate) now: Timestamp,
    /// Seed of random functions: the node's name.
    pub(crate) seed: &'a str,
    pub(crate) inputs: Option<&'a InputValues>,
    pub(crate) inside: Option<Inside<'a>>,
    pub(crate) item: Option<&'a Value>,
    pub(crate) attempt: Option<Attempt<'a>>,
    /// `retries` and `lastRetry` of a retry strategy's expression.
    pub(crate) retry: Option<(u32, Option<&'a Node>)>,
}

impl<'a> Scope<'a> {
    /// What every place of the workflow may refer to.
    pub(crate) const fn of(state: &'a State, now: Timestamp, seed: &'a str) -> Self {
        Self { state, now, seed, inputs: None, inside: None, item: None, attempt: None, retry: None }
    }

    /// Looks a name up.
    pub(crate) fn find(&self, name: &str) -> Found {
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        match first {
            "workflow" => self.workflow(rest),
            "inputs" if self.inputs.is_some() => self.input(rest),
            "outputs" if self.attempt.is_some() => self.output_path(rest),
            "steps" | "tasks" if rest == "name" => Found::Text(names::called(self.seed).into()),
            "steps" | "tasks" if self.inside.is_some() => self.task(rest),
            "item" => self.item.map_or(Found::Unknown, |item| item_of(item, rest)),
            "pod" | "node" => match (self.attempt, rest) {
                (Some(attempt), "name") if first == "pod" => Found::Text(attempt.pod.into()),
                (Some(attempt), "name") => Found::Text(attempt.node.into()),
                _ => Found::Unknown,
            },
            "retries" if rest.is_empty() => match self.retries() {
                Some((number, _)) => Found::Text(number.to_string()),
                None => Found::Unknown,
            },
            "lastRetry" => match self.retries() {
                Some((_, last)) => last_retry(last, rest),
                None => Found::Unknown,
            },
            _ => Found::Unknown,
        }
    }

    /// An artifact by the name in a `from`.
    pub(crate) fn artifact(&self, name: &str) -> Result<Option<ArtifactValue>, String> {
        let parts: Vec<&str> = name.splitn(5, '.').collect();
        let found = match (parts.as_slice(), self.inputs, self.inside) {
            (["inputs", "artifacts", name], Some(inputs), _) => {
                inputs.artifacts.iter().find(|a| a.name == *name).cloned()
            }
            (["workflow", "outputs", "artifacts", name], _, _) => self.state.outputs.artifact(name).cloned(),
            (["steps" | "tasks", task, "outputs", "artifacts", name], _, Some(inside)) => {
                return self.task_artifact(inside, task, name);
            }
            _ => return Err(format!("`{name}` names no artifact")),
        };
        found
            .map(|artifact| artifact.source.is_some().then_some(artifact))
            .ok_or_else(|| format!("there is no artifact `{name}`"))
    }

    fn retries(&self) -> Option<(u32, Option<&'a Node>)> {
        let attempt = self.attempt.and_then(|a| Some((a.number?, a.last)));
        self.retry.or(attempt)
    }

    fn input(&self, rest: &str) -> Found {
        let Some(inputs) = self.inputs else {
            return Found::Unknown;
        };
        if rest == "parameters" {
            let all = inputs.parameters.iter();
            return Found::Text(parameters_json(all.map(|p| (&*p.name, p.value.as_deref()))));
        }
        if let Some(name) = rest.strip_prefix("parameters.") {
            return match inputs.parameters.iter().find(|p| p.name == name) {
                Some(parameter) => parameter.value.clone().map_or(Found::Absent, Found::Text),
                None => Found::Wrong(format!("there is no input parameter `{name}`")),
            };
        }
        let path = rest.strip_prefix("artifacts.").and_then(|rest| rest.strip_suffix(".path"));
        match (path, self.attempt) {
            (Some(name), Some(attempt)) => {
                let declared = &attempt.def.typed.inputs.artifacts;
                let declared = declared.iter().find(|a| a.name == name);
                match declared.and_then(|artifact| artifact.path.as_deref()) {
                    Some(path) => Found::Text((attempt.path_of)(attempt.key, attempt.on_host, path)),
                    None => Found::Wrong(format!("there is no path of input artifact `{name}`")),
                }
            }
            _ => Found::Wrong(format!("`inputs.{rest}` cannot be resolved")),
        }
    }

    fn output_path(&self, rest: &str) -> Found {
        let Some(attempt) = self.attempt else {
            return Found::Unknown;
        };
        let outputs = &attempt.def.typed.outputs;
        let path = match rest.strip_suffix(".path").and_then(|rest| rest.split_once('.')) {
            Some(("parameters", name)) => outputs
                .parameters
                .iter()
                .find(|p| p.name == name)
                .and_then(|p| p.value_from.as_ref()?.path.as_deref()),
            Some(("artifacts", name)) => {
                outputs.artifacts.iter().find(|a| a.name == name).and_then(|a| a.path.as_deref())
            }
            _ => None,
        };
        match path {
            Some(path) => Found::Text((attempt.path_of)(attempt.key, attempt.on_host, path)),
            None => Found::Wrong(format!("`outputs.{rest}` cannot be resolved")),
        }
    }
}

/// `item` or a member of it.
fn item_of(item: &Value, rest: &str) -> Found {
    if rest.is_empty() {
        return Found::Text(item_text(item));
    }
    match item.get(rest) {
        Some(member) => Found::Text(item_text(member)),
        None => Found::Wrong(format!("the item has no member `{rest}`")),
    }
}

fn last_retry(last: Option<&Node>, rest: &str) -> Found {
    let text = match (last, rest) {
        (None, "exitCode" | "duration") => "0".into(),
        (None, "status" | "message") => String::new(),
        (Some(node), "exitCode") => node.outputs.exit_code.clone().unwrap_or_else(|| "-1".into()),
        (Some(node), "status") => node.phase.as_str().into(),
        (Some(node), "message") => node.message.clone(),
        (Some(node), "duration") => seconds_of(node).to_string(),
        _ => return Found::Unknown,
    };
    Found::Text(text)
}

/// How long a node took, in whole seconds.
pub(crate) fn seconds_of(node: &Node) -> i64 {
    node.finished.map_or(0, |finished| finished.as_second() - node.started.as_second())
}

/// A list of parameters as Argo prints it.
pub(crate) fn parameters_json<'p>(parameters: impl Iterator<Item = (&'p str, Option<&'p str>)>) -> String {
    let list: Vec<Value> = parameters
        .map(|(name, value)| match value {
            Some(value) => serde_json::json!({"name": name, "value": value}),
            None => serde_json::json!({ "name": name }),
        })
        .collect();
    Value::Array(list).to_string()
}
