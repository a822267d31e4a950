//! The scope as a tree, for expressions.

use serde_json::{Map, Value, json};

use super::{Found, Scope};
use crate::names::item_text;

impl Scope<'_> {
    /// Everything that may be referred to, nested.
    pub(crate) fn environment(&self) -> Value {
        let mut all = Map::new();
        all.insert("workflow".into(), self.workflow_object());
        if let Some(inputs) = self.inputs {
            let parameters: Map<String, Value> =
                (inputs.parameters.iter()).map(|p| (p.name.clone(), json!(p.value))).collect();
            let artifacts: Map<String, Value> = (inputs.artifacts.iter())
                .map(|artifact| {
                    let mut object = json!(artifact);
                    let path = self.find(&format!("inputs.artifacts.{}.path", artifact.name));
                    if let Found::Text(path) = path {
                        object["path"] = json!(path);
                    }
                    (artifact.name.clone(), object)
                })
                .collect();
            let inputs = json!({"parameters": parameters, "artifacts": artifacts});
            all.insert("inputs".into(), inputs);
        }
        if let Some(inside) = self.inside {
            let tasks: Map<String, Value> = (inside.def.graph.iter())
                .flat_map(|graph| &graph.vertices)
                .filter_map(|vertex| Some((vertex.name.clone(), self.task_object(inside, vertex)?)))
                .collect();
            all.insert("steps".into(), Value::Object(tasks.clone()));
            all.insert("tasks".into(), Value::Object(tasks));
        }
        if let Some(item) = self.item {
            let item = match item {
                Value::Object(members) => Value::Object(
                    members.iter().map(|(key, member)| (key.clone(), json!(item_text(member)))).collect(),
                ),
                other => json!(item_text(other)),
            };
            all.insert("item".into(), item);
        }
        if let Some(attempt) = self.attempt {
            all.insert("pod".into(), json!({"name": attempt.pod}));
            all.insert("node".into(), json!({"name": attempt.node}));
        }
        if let Found::Text(number) = self.find("retries") {
            all.insert("retries".into(), json!(number));
            let members = ["exitCode", "status", "duration", "message"];
            let last: Map<String, Value> = members
                .into_iter()
                .filter_map(|member| match self.find(&format!("lastRetry.{member}")) {
                    Found::Text(text) => Some((member.to_owned(), json!(text))),
                    _ => None,
                })
                .collect();
            all.insert("lastRetry".into(), Value::Object(last));
        }
        Value::Object(all)
    }

    fn workflow_object(&self) -> Value {
        let names = [
            "name",
            "namespace",
            "uid",
            "serviceAccountName",
            "mainEntrypoint",
            "priority",
            "duration",
            "status",
            "failures",
            "creationTimestamp",
            "scheduledTime",
        ];
        let mut workflow: Map<String, Value> = names
            .into_iter()
            .filter_map(|name| match self.find(&format!("workflow.{name}")) {
                Found::Text(text) => Some((name.to_owned(), json!(text))),
                _ => None,
            })
            .collect();
        let mut parameters: Map<String, Value> =
            (self.state.parameters.iter()).map(|p| (p.name.clone(), json!(p.value))).collect();
        if let Found::Text(all) = self.find("workflow.parameters.json") {
            parameters.entry("json").or_insert(json!(all));
        }
        let outputs: Map<String, Value> =
            (self.state.outputs.parameters.iter()).map(|p| (p.name.clone(), json!(p.value))).collect();
        workflow.insert("parameters".into(), Value::Object(parameters));
        workflow.insert("labels".into(), Value::Object(self.state.all_labels()));
        workflow.insert("annotations".into(), Value::Object(self.state.all_annotations()));
        workflow.insert("outputs".into(), json!({"parameters": outputs}));
        Value::Object(workflow)
    }
}
