//! The two ends of a workflow: its entry, and its exit handler with the final word.

use std::sync::Arc;

use serde_json::Value;

use super::Pass;
use super::arguments::Given;
use super::begin::exit_template;
use super::call::{Call, NODES_MAX};
use crate::journal::{Change, Shutdown};
use crate::node::{Node, NodeKind, Phase, Target};
use crate::scope::Scope;

impl Pass<'_> {
    /// Calls the entry template.
    pub(super) fn enter(&mut self) {
        let Some(target) = self.local_target(self.state.entrypoint()) else {
            return self.conclude(Phase::Error, "the spec cannot be compiled".into());
        };
        match self.workflow_arguments() {
            Ok(given) => {
                let name = self.state.submission.name.clone();
                self.call(Call { name, target, given, boundary: None, wants_result: false, exit: false });
            }
            Err(why) => self.conclude(Phase::Error, why),
        }
    }

    /// Runs the exit handler after the entry has ended, then ends the workflow.
    pub(super) fn leave(&mut self, entry: &Arc<Node>) {
        let handler = self.state.definition.as_deref().and_then(exit_template);
        let silent = self.state.shutdown == Some(Shutdown::Terminate);
        let mut exit = None;
        if let Some(handler) = handler.filter(|_| !silent) {
            let name = format!("{}.onExit", self.state.submission.name);
            exit = match self.named(&name) {
                Some(node) => {
                    self.advance(&node.id);
                    self.node(&node.id)
                }
                None => self.call_handler(name, &handler).and_then(|id| self.node(&id)),
            };
            if !exit.as_ref().is_some_and(|node| node.phase.fulfilled()) {
                return;
            }
        }
        if !self.state.active.is_empty() {
            // What was told to stop is yet to end.
            return;
        }
        let outcome = self.state.outcome();
        let (phase, mut message) = match exit {
            Some(node) if outcome == Phase::Succeeded && node.phase.bad() => {
                (node.phase, node.message.clone())
            }
            _ => (outcome, entry.message.clone()),
        };
        if let Some(shutdown) = self.state.shutdown {
            message = match self.state.shutdown_message.as_str() {
                "" => format!("Stopped with strategy '{}'", shutdown.as_str()),
                given => given.to_owned(),
            };
        } else if phase == Phase::Succeeded {
            message.clear();
        }
        self.conclude(phase, message);
    }

    fn call_handler(&mut self, name: String, template: &str) -> Option<String> {
        let target = self.local_target(template)?;
        let given = self.workflow_arguments().unwrap_or_default();
        self.call_exit(name, target, given, None)
    }

    /// Ends a workflow that wants more nodes than it may have: what runs is stopped first.
    pub(super) fn overflown(&mut self) {
        let why = format!("the workflow has more than {NODES_MAX} nodes");
        let active: Vec<String> = self.state.active.iter().cloned().collect();
        let mut running = false;
        for id in active {
            let Some(node) = self.node(&id) else { continue };
            if node.kind == NodeKind::Pod {
                running = true;
                self.stop(&node, &why);
            }
        }
        if running || self.state.is_over() {
            return;
        }
        for id in self.state.active.clone() {
            self.end(&id, Phase::Error, why.clone());
        }
        self.conclude(Phase::Error, why);
    }

    fn conclude(&mut self, phase: Phase, message: String) {
        self.end_daemons(None);
        self.record(Change::Ended { phase, message });
    }

    fn local_target(&self, template: &str) -> Option<Target> {
        let definition = self.state.definition.as_ref()?;
        Some(Target { template: template.to_owned(), reference: None, scope: definition.scope.clone() })
    }

    /// The workflow's own arguments. Their texts are taken as they are: they may come from an event.
    fn workflow_arguments(&self) -> Result<Given, String> {
        let mut given = Given { parameters: self.state.parameters.to_vec(), artifacts: Vec::new() };
        let Some(definition) = &self.state.definition else {
            return Ok(given);
        };
        let written = definition.json.get("arguments").and_then(|a| a.get("artifacts"));
        for artifact in written.and_then(Value::as_array).into_iter().flatten() {
            given.artifacts.push(super::arguments::own_artifact(
                &Scope::of(&self.state, self.context.now, &self.state.submission.name),
                artifact,
            )?);
        }
        Ok(given)
    }
}
