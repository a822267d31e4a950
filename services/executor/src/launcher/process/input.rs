//! Input artifacts: fetched before the start, placed where the step looks for them.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use tiphys_runner::input::{self, NotPlaced};

use super::folder::Folder;
use super::{ArtifactStore, LaunchError, PodSpec, unavailable};
use crate::launcher::{ArtifactSource, InputArtifact};

/// What the inputs of a step hold, in the order of `PodSpec::inputs`, in a folder that goes when this is dropped.
pub(super) struct Contents {
    folder: PathBuf,
}

impl Drop for Contents {
    fn drop(&mut self) {
        if let Err(error) = crate::scratch::remove(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "fetched inputs cannot be tidied away");
        }
    }
}

/// Fetches all into `folder`, which is new and on the disk of the steps.
pub(super) async fn fetch(
    store: &dyn ArtifactStore,
    pod: &PodSpec,
    folder: PathBuf,
) -> Result<Contents, LaunchError> {
    let contents = Contents { folder };
    let each = contents.folder.join(input::FOLDER);
    if !pod.inputs.is_empty() {
        std::fs::create_dir_all(&each).map_err(|error| unavailable(&error))?;
    }
    for (number, input) in pod.inputs.iter().enumerate() {
        let place = each.join(number.to_string());
        match &input.from {
            ArtifactSource::Raw(text) => {
                let written = File::create(&place).and_then(|mut file| file.write_all(text.as_bytes()));
                written.map_err(|error| unavailable(&error))?;
            }
            ArtifactSource::Stored { key, .. } => match store.fetch(key, place).await {
                Ok(_) => {}
                // The store does not have it, and it need not be there.
                Err(LaunchError::Absent(_)) if input.optional => {}
                Err(error) => return Err(named(input, error)),
            },
        }
    }
    Ok(contents)
}

/// Places all.
pub(super) fn place(folder: &Folder, pod: &PodSpec, contents: &Contents) -> Result<(), LaunchError> {
    let told = pod.inputs.iter().map(|input| input.told(folder.now(&folder.path_of(&input.path))));
    input::place(&contents.folder, &told.collect::<Vec<_>>()).map_err(|refused| match refused {
        NotPlaced::Unfit { .. } => LaunchError::Missing(refused.to_string()),
        NotPlaced::Disk { .. } => LaunchError::Unavailable(refused.to_string()),
    })
}

fn named(input: &InputArtifact, error: LaunchError) -> LaunchError {
    let text = |text| format!("input artifact {}: {text}", input.name);
    match error {
        LaunchError::Missing(why) | LaunchError::Absent(why) => LaunchError::Missing(text(why)),
        LaunchError::NotAllowed(why) => LaunchError::NotAllowed(text(why)),
        LaunchError::Unavailable(why) => LaunchError::Unavailable(text(why)),
    }
}
