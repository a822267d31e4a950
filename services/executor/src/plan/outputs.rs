//! What comes out of steps and DAGs: taken from what their steps and tasks made.

use serde_json::Value;

use super::Pass;
use super::arguments::{by_expression, reference, text_of};
use super::task::Frame;
use crate::node::{OutputValues, ParameterValue};
use crate::substitute;

impl Pass<'_> {
    /// The outputs of steps or a DAG that succeeded.
    pub(super) fn graph_outputs(&self, frame: &Frame) -> Result<OutputValues, String> {
        let declared = &frame.def.typed.outputs;
        let scope = self.scope(frame, &frame.node.name, None);
        let mut outputs = OutputValues::default();
        for parameter in &declared.parameters {
            let told = |why: String| format!("output parameter '{}': {why}", parameter.name);
            let from = parameter.value_from.clone().unwrap_or_default();
            let value = if let Some(reference) = &from.parameter {
                substitute::text(&scope, reference).map_err(told)?
            } else if let Some(expression) = &from.expression {
                let value = substitute::expression(&scope, expression);
                text_of(value.map_err(|error| told(error.to_string()))?)
            } else if let Some(value) = &parameter.value {
                substitute::text(&scope, value).map_err(told)?
            } else {
                None
            };
            outputs.parameters.push(ParameterValue {
                name: parameter.name.clone(),
                value: value.or(from.default),
                global_name: parameter.global_name.clone(),
            });
        }
        let written = frame.def.json.get("outputs").and_then(|o| o.get("artifacts"));
        let written = written.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        for (artifact, _) in declared.artifacts.iter().zip(written) {
            let told = |why: String| format!("output artifact '{}': {why}", artifact.name);
            let mut value = match (&artifact.from, &artifact.from_expression) {
                (Some(from), _) => reference(&scope, from).map_err(told)?,
                (None, Some(expression)) => by_expression(&scope, expression).map_err(told)?,
                (None, None) => continue,
            };
            if value.source.is_none() {
                if artifact.optional == Some(true) {
                    continue;
                }
                return Err(told("what should have made it was skipped or made none".into()));
            }
            value.name.clone_from(&artifact.name);
            value.path = None;
            value.global_name.clone_from(&artifact.global_name);
            outputs.artifacts.push(value);
        }
        Ok(outputs)
    }
}
