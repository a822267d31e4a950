//! From the runner's report to the result of a pod: its artifacts go into the store.

use tiphys_runner::{Exit, Packed, Verdict, spec};

use super::folder::Folder;
use super::{ArtifactStore, LaunchError, PodResult};
use crate::launcher::{PodVerdict, StoredArtifact};

/// Stores the artifacts and makes the result. May be done again: the store replaces equal by equal.
pub(super) async fn result(store: &dyn ArtifactStore, folder: &Folder, exit: Exit) -> PodResult {
    let mut result = PodResult {
        started: exit.started,
        finished: exit.finished,
        exit_code: exit.exit_code,
        verdict: match exit.verdict {
            Verdict::Succeeded => PodVerdict::Succeeded,
            Verdict::Failed => PodVerdict::Failed,
            Verdict::Error => PodVerdict::Error,
        },
        message: exit.message,
        result: exit.result,
        parameters: exit.parameters,
        artifacts: Vec::with_capacity(exit.artifacts.len()),
        host: None,
    };
    for packed in exit.artifacts {
        match one(store, folder, &packed).await {
            Ok(Some(stored)) => result.artifacts.push(stored),
            Ok(None) => {}
            Err(error) if result.verdict == PodVerdict::Succeeded => {
                result.verdict = PodVerdict::Error;
                result.message = format!(
                    "wait: Error (exit code 64): output artifact {} was not stored: {error}",
                    packed.name
                );
            }
            Err(error) => {
                tracing::warn!(key = %folder.key, artifact = packed.name, %error, "not stored")
            }
        }
    }
    result
}

/// None: the folder was tidied, so that it was stored before.
async fn one(
    store: &dyn ArtifactStore,
    folder: &Folder,
    packed: &Packed,
) -> Result<Option<StoredArtifact>, LaunchError> {
    let artifacts = folder.file(spec::ARTIFACTS);
    if !artifacts.exists() {
        return Ok(None);
    }
    let (size, sha256) = store.put(&packed.key, artifacts.join(&packed.file)).await?;
    Ok(Some(StoredArtifact {
        name: packed.name.clone(),
        key: packed.key.clone(),
        archive: packed.archive,
        size,
        sha256,
    }))
}
