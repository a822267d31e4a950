//! What was seen of pods becomes news of nodes.

use std::sync::Arc;

use tiphys_core::Timestamp;

use super::{Observed, Pass, Seen};
use crate::definition::TemplateDef;
use crate::journal::Update;
use crate::launcher::{ArtifactSource, PodResult, PodVerdict};
use crate::node::{ArtifactValue, Node, NodeKind, OutputValues, ParameterValue, Phase};
use crate::time;

impl Pass<'_> {
    /// Takes in what was seen.
    pub(super) fn observe(&mut self, seen: &[Seen]) {
        for one in seen {
            let node = self.node(&one.node);
            let Some(node) = node.filter(|n| !n.phase.fulfilled()) else {
                continue;
            };
            // What a retry by hand left behind is nobody's any more.
            if node.kind != NodeKind::Pod || node.pod.as_ref() != Some(&one.pod) {
                continue;
            }
            match &one.what {
                Observed::Waiting { message } => self.waiting(&node, message),
                Observed::Running { started, ready, address } => {
                    self.running(&node, *started);
                    if *ready && self.is_daemon(&node) {
                        self.serve(&node, address.as_ref());
                    }
                }
                Observed::Ended(result) => self.ended(&node, result),
                Observed::Refused(why) => self.end(&node.id, Phase::Error, why.clone()),
                Observed::NeverStarted => {
                    let why = node.stopping.clone().unwrap_or_default();
                    self.end(&node.id, Phase::Failed, why);
                }
            }
        }
    }

    /// Why a pod does not run yet is shown with its node.
    fn waiting(&mut self, node: &Node, message: &str) {
        if node.phase == Phase::Pending && node.message != message {
            self.update(Update {
                id: node.id.clone(),
                message: Some(message.to_owned()),
                ..Update::default()
            });
        }
    }

    fn running(&mut self, node: &Node, started: Timestamp) {
        if node.phase == Phase::Pending {
            self.update(Update {
                id: node.id.clone(),
                phase: Some(Phase::Running),
                message: (!node.message.is_empty()).then(String::new),
                started: Some(started),
                ..Update::default()
            });
        }
    }

    fn ended(&mut self, node: &Node, result: &PodResult) {
        let phase = match result.verdict {
            PodVerdict::Succeeded => Phase::Succeeded,
            PodVerdict::Failed => Phase::Failed,
            PodVerdict::Error => Phase::Error,
        };
        let (phase, message) = match &node.stopping {
            // Out of time it has failed, also where its program took no notice of TERM and came to an end after it.
            Some(why) if phase.bad() || why == super::limits::DEADLINE => (Phase::Failed, why.clone()),
            None if phase == Phase::Succeeded && self.is_daemon(node) => {
                (Phase::Failed, super::daemon::ENDED.to_owned())
            }
            _ => (phase, result.message.clone()),
        };
        let def = self.resolve(&node.target).ok();
        self.update(Update {
            id: node.id.clone(),
            phase: Some(phase),
            message: Some(message),
            started: result.started,
            finished: Some(result.finished),
            outputs: Some(Arc::new(outputs(def.as_deref(), result))),
            host: result.host.clone(),
            ..Update::default()
        });
    }

    /// A pod that takes too long is told to stop.
    pub(super) fn advance_pod(&mut self, node: &Arc<Node>) {
        let Ok(def) = self.resolve(&node.target) else {
            return;
        };
        let Some(timeout) = def.typed.timeout.as_deref().filter(|t| !t.is_empty()) else {
            return;
        };
        let scope = crate::scope::Scope {
            inputs: Some(&node.inputs),
            ..crate::scope::Scope::of(&self.state, self.context.now, &node.name)
        };
        let limit = crate::substitute::required(&scope, timeout).and_then(|text| time::duration(&text));
        let until = limit.map(|limit| time::after(node.started, limit));
        match until {
            Err(why) => self.stop(node, &format!("template timeout: {why}")),
            Ok(until) if until <= self.context.now => self.stop(node, super::limits::DEADLINE),
            Ok(until) => self.wake_at(until),
        }
    }
}

/// What a pod made, under the names that its template declares.
fn outputs(def: Option<&TemplateDef>, result: &PodResult) -> OutputValues {
    let declared = def.map(|def| &def.typed.outputs);
    let parameters = result.parameters.iter().map(|(name, value)| {
        let known = declared.and_then(|d| d.parameters.iter().find(|p| p.name == *name));
        ParameterValue {
            name: name.clone(),
            value: Some(value.clone()),
            global_name: known.and_then(|p| p.global_name.clone()),
        }
    });
    let artifacts = result.artifacts.iter().map(|stored| {
        let known = declared.and_then(|d| d.artifacts.iter().find(|a| a.name == stored.name));
        ArtifactValue {
            name: stored.name.clone(),
            path: known.and_then(|a| a.path.clone()),
            mode: None,
            source: Some(ArtifactSource::Stored {
                key: stored.key.clone(),
                archive: stored.archive,
                sub_path: None,
            }),
            size: Some(stored.size),
            sha256: Some(stored.sha256.clone()),
            global_name: known.and_then(|a| a.global_name.clone()),
        }
    });
    OutputValues {
        parameters: parameters.collect(),
        artifacts: artifacts.collect(),
        result: result.result.clone(),
        exit_code: result.exit_code.map(|code| code.to_string()),
    }
}
