//! Exit hooks of steps and tasks: run once the node has ended, whatever its end.

use std::sync::Arc;

use serde_json::Value;

use super::Pass;
use super::task::Frame;
use crate::graph::Vertex;
use crate::node::{Node, Phase, Target};
use crate::scope::Scope;
use crate::substitute;

impl Pass<'_> {
    /// Runs the exit hook of a node that ended, and remembers a node whose hook is yet to end.
    pub(super) fn advance_hook(&mut self, frame: &Frame, vertex: &Vertex, node: &Arc<Node>) {
        let hook = vertex.task.hooks.get("exit");
        let plain = vertex.task.on_exit.as_deref().filter(|name| !name.is_empty());
        if (hook.is_none() && plain.is_none()) || !node.phase.completed() {
            return;
        }
        let name = format!("{}.onExit", node.name);
        if let Some(ran) = self.named(&name) {
            self.advance(&ran.id);
            if self.node(&ran.id).is_some_and(|ran| !ran.phase.fulfilled()) {
                self.hooks.insert(node.id.clone());
            }
            return;
        }
        let written = vertex.json.get("hooks").and_then(|hooks| hooks.get("exit"));
        let expression = hook.and_then(|hook| hook.expression.as_deref());
        let target = Target {
            template: hook.map_or(plain.unwrap_or_default(), |h| &h.template).to_owned(),
            reference: hook.and_then(|hook| hook.template_ref.clone()),
            scope: frame.def.scope.clone(),
        };
        let scope = self.scope(frame, &name, None);
        let arguments = written.and_then(|hook| hook.get("arguments"));
        let prepared = is_due(&scope, expression).and_then(|due| match due {
            true => self.given(&scope, arguments.unwrap_or(&Value::Null)).map(Some),
            false => Ok(None),
        });
        let made = match prepared {
            Ok(None) => return,
            Ok(Some(given)) => self.call_exit(name, target, given, Some(frame.node.clone())),
            Err(why) => {
                let making = self.making(frame, &name, target);
                Some(self.stillborn(making, Phase::Error, why))
            }
        };
        match made {
            Some(id) => {
                self.link(std::slice::from_ref(&node.id), &id);
                if self.node(&id).is_some_and(|ran| !ran.phase.fulfilled()) {
                    self.hooks.insert(node.id.clone());
                }
            }
            None => {
                self.hooks.insert(node.id.clone());
            }
        }
    }
}

fn is_due(scope: &Scope<'_>, expression: Option<&str>) -> Result<bool, String> {
    match expression.filter(|text| !text.trim().is_empty()) {
        None => Ok(true),
        Some(text) => match substitute::expression(scope, text) {
            Ok(Value::Bool(due)) => Ok(due),
            Ok(other) => Err(format!("hook expression `{text}` gives {other}, not true or false")),
            Err(error) => Err(error.to_string()),
        },
    }
}
