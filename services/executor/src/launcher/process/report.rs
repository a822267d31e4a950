//! From the runner's report to the result of a pod: its artifacts go into the store.

use tiphys_runner::{Exit, Packed, spec};

use super::folder::Folder;
use super::{ArtifactStore, LaunchError, PodResult};
use crate::launcher::StoredArtifact;

/// Stores the artifacts and makes the result. May be done again: the store replaces equal by equal.
pub(super) async fn result(store: &dyn ArtifactStore, folder: &Folder, exit: Exit) -> PodResult {
    let (mut result, packed) = PodResult::reported(exit);
    for packed in packed {
        match one(store, folder, &packed).await {
            Ok(stored) => result.artifacts.extend(stored),
            Err(error) => result.not_stored(&packed, &error),
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
    Ok(Some(StoredArtifact::of(packed, size, sha256)))
}
