//! Suspend nodes: they wait for a command, or for a time.

use std::sync::Arc;

use super::Pass;
use crate::definition::TemplateDef;
use crate::journal::Update;
use crate::node::{Node, OutputValues, ParameterValue, Phase};
use crate::scope::Scope;
use crate::substitute;
use crate::time;

impl Pass<'_> {
    pub(super) fn advance_suspend(&mut self, node: &Arc<Node>) {
        let def = match self.resolve(&node.target) {
            Ok(def) => def,
            Err(why) => return self.end(&node.id, Phase::Error, why),
        };
        let duration = def.typed.suspend.as_ref().and_then(|s| s.duration.clone());
        let mut over = self.state.resumed.contains(&node.id);
        if let Some(duration) = duration.filter(|text| !text.is_empty()) {
            let scope =
                Scope { inputs: Some(&node.inputs), ..Scope::of(&self.state, self.context.now, &node.name) };
            let text = substitute::required(&scope, &duration);
            match text.and_then(|text| time::duration(&text)) {
                Ok(duration) => {
                    let until = time::after(node.started, duration);
                    over |= until <= self.context.now;
                    if !over {
                        self.wake_at(until);
                    }
                }
                Err(why) => return self.end(&node.id, Phase::Error, format!("suspend: {why}")),
            }
        }
        if !over {
            return;
        }
        match self.supplied(node, &def) {
            Ok(outputs) => self.update(Update {
                id: node.id.clone(),
                phase: Some(Phase::Succeeded),
                message: Some(String::new()),
                outputs: Some(Arc::new(outputs)),
                ..Update::default()
            }),
            Err(missing) if node.message != missing => {
                self.update(Update { id: node.id.clone(), message: Some(missing), ..Update::default() })
            }
            Err(_) => {}
        }
    }

    /// The values that were given to it.
    fn supplied(&self, node: &Node, def: &TemplateDef) -> Result<OutputValues, String> {
        let mut outputs = OutputValues::default();
        let given = self.state.supplied.get(&node.id);
        for parameter in &def.typed.outputs.parameters {
            let from = parameter.value_from.as_ref();
            let value = given.and_then(|given| given.get(&parameter.name).cloned());
            let value = value
                .or_else(|| from.and_then(|from| from.default.clone()))
                .or_else(|| parameter.value.clone());
            if value.is_none() {
                return Err(format!(
                    "waits for a value of output parameter '{}': set it, then resume again",
                    parameter.name
                ));
            }
            outputs.parameters.push(ParameterValue {
                name: parameter.name.clone(),
                value,
                global_name: parameter.global_name.clone(),
            });
        }
        Ok(outputs)
    }
}
