//! Which of a workflow's artifacts are to be removed when: `artifactGC`, of the workflow and of each artifact.

use serde_json::Value;

use super::location::{Location, Place};
use crate::definition::Definition;
use crate::journal::State;
use crate::launcher::ArtifactSource;
use crate::node::NodeKind;

/// When artifacts are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Once the workflow is over.
    Completion,
    /// When it is deleted.
    Deletion,
    /// Not by us.
    Never,
}

impl Strategy {
    /// Reads `artifactGC`. `None`: it names no strategy.
    fn of(written: Option<&Value>) -> Result<Option<Self>, String> {
        let strategy = written.and_then(|written| written.get("strategy")).and_then(Value::as_str);
        match strategy.unwrap_or_default() {
            "" => Ok(None),
            "OnWorkflowCompletion" => Ok(Some(Self::Completion)),
            "OnWorkflowDeletion" => Ok(Some(Self::Deletion)),
            "Never" => Ok(Some(Self::Never)),
            other => Err(format!(
                "artifactGC.strategy '{other}' is none of OnWorkflowCompletion, OnWorkflowDeletion and Never"
            )),
        }
    }
}

/// Looks at the strategies of a spec before the workflow begins.
///
/// # Errors
/// Names the first that is none.
pub(crate) fn check(definition: &Definition) -> Result<(), String> {
    Strategy::of(definition.spec.artifact_gc.as_ref())?;
    for name in definition.names() {
        let Some(def) = definition.local(name) else { continue };
        for artifact in &def.typed.outputs.artifacts {
            Strategy::of(artifact.artifact_gc.as_ref())
                .map_err(|why| format!("output artifact '{}' of template '{name}': {why}", artifact.name))?;
        }
    }
    Ok(())
}

/// Keys of what the workflow stored and is to be removed now. On deletion also what should have gone before and did not.
pub(crate) fn doomed(state: &State, now: Strategy) -> Vec<String> {
    let Some(definition) = &state.definition else { return Vec::new() };
    let whole = Strategy::of(definition.spec.artifact_gc.as_ref()).ok().flatten();
    // Removed twice, it might be what another workflow stored there since.
    let was_collected = state.collected.as_ref().is_some_and(String::is_empty);
    let is_due = |strategy: Strategy| match now {
        Strategy::Deletion if strategy == Strategy::Completion => !was_collected,
        now => strategy == now && now != Strategy::Never,
    };
    let mut keys = Vec::new();
    for node in state.nodes.values().filter(|node| node.kind == NodeKind::Pod) {
        let (scope, name) = node.target.place();
        let def = state.template(&scope, &name);
        for artifact in &node.outputs.artifacts {
            let Some(ArtifactSource::Stored { key, .. }) = &artifact.source else { continue };
            let declared = def.as_ref().map(|def| &def.typed.outputs.artifacts);
            let declared = declared.and_then(|all| all.iter().find(|one| one.name == artifact.name));
            let own = declared.and_then(|one| Strategy::of(one.artifact_gc.as_ref()).ok().flatten());
            let is_due = own.or(whole).is_some_and(is_due);
            if is_due && is_removable(key) && !keys.contains(key) {
                keys.push(key.clone());
            }
        }
    }
    keys
}

/// What was sent to a URL cannot be taken back.
fn is_removable(key: &str) -> bool {
    !matches!(Location::read(key), Ok(Some(Location { place: Place::Http(_) | Place::Git(_), .. })))
}

/// Whether something is to be removed that was not, now that the workflow is over.
pub(crate) fn is_pending(state: &State) -> bool {
    state.is_over() && state.collected.is_none() && !doomed(state, Strategy::Completion).is_empty()
}

/// Whether the workflow may go even if its artifacts cannot.
pub(crate) fn is_forced(state: &State) -> bool {
    let gc = state.definition.as_ref().and_then(|definition| definition.spec.artifact_gc.as_ref());
    gc.and_then(|gc| gc.get("forceFinalizerRemoval")).and_then(Value::as_bool) == Some(true)
}
