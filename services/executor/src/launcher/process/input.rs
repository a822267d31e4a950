//! Input artifacts: fetched before the start, placed where the step looks for them.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use tiphys_runner::archive::{self, Limits};

use super::folder::Folder;
use super::{ArtifactStore, LaunchError, PodSpec, unavailable};
use crate::launcher::{Archive, ArtifactSource, InputArtifact};

/// Contents in the order of `PodSpec::inputs`.
pub(super) async fn fetch(store: &dyn ArtifactStore, pod: &PodSpec) -> Result<Vec<Bytes>, LaunchError> {
    let mut contents = Vec::with_capacity(pod.inputs.len());
    for input in &pod.inputs {
        contents.push(match &input.from {
            ArtifactSource::Raw(text) => Bytes::copy_from_slice(text.as_bytes()),
            ArtifactSource::Stored { key, .. } => {
                store.get(key).await.map_err(|error| named(input, error))?
            }
        });
    }
    Ok(contents)
}

/// Places all, outer paths first.
pub(super) fn place(folder: &Folder, pod: &PodSpec, contents: &[Bytes]) -> Result<(), LaunchError> {
    let mut inputs: Vec<_> = pod.inputs.iter().zip(contents).enumerate().collect();
    inputs.sort_by_key(|(_, (input, _))| folder.path_of(&input.path));
    for (number, (input, content)) in inputs {
        let scratch = folder.now(&folder.unpack()).join(number.to_string());
        one(folder, input, content, &scratch).map_err(|error| named(input, error))?;
    }
    Ok(())
}

fn one(folder: &Folder, input: &InputArtifact, content: &[u8], scratch: &Path) -> Result<(), LaunchError> {
    let disk = |error: io::Error| unavailable(&error);
    let place = folder.now(&folder.path_of(&input.path));
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(disk)?;
    }
    let (packed, sub_path) = match &input.from {
        ArtifactSource::Raw(_) => (false, None),
        // As Argo does: what claims to be packed but is not is taken as it is.
        ArtifactSource::Stored { archive, sub_path, .. } => {
            (*archive == Archive::Tar && content.starts_with(&[0x1f, 0x8b]), sub_path.as_deref())
        }
    };
    if packed {
        std::fs::create_dir_all(scratch).map_err(disk)?;
        archive::unpack(content, scratch, Limits::default())
            .map_err(|refused| LaunchError::Missing(refused.to_string()))?;
        let top = within(&top(scratch).map_err(disk)?, sub_path)?;
        std::fs::rename(top, &place).map_err(disk)?;
    } else if let Some(sub_path) = sub_path {
        let text = format!("it is a single file and has no part {sub_path}");
        return Err(LaunchError::Missing(text));
    } else {
        std::fs::write(&place, content).map_err(disk)?;
    }
    if let Some(mode) = input.mode {
        std::fs::set_permissions(&place, Permissions::from_mode(mode & 0o777)).map_err(disk)?;
    }
    Ok(())
}

/// An archive with one thing at its top stands for that thing, any other for the folder.
fn top(scratch: &Path) -> io::Result<PathBuf> {
    let mut entries = std::fs::read_dir(scratch)?;
    match (entries.next(), entries.next()) {
        (Some(only), None) => Ok(only?.path()),
        _ => Ok(scratch.to_owned()),
    }
}

/// A part of an unpacked artifact; links on the way to it are not followed.
fn within(top: &Path, sub_path: Option<&str>) -> Result<PathBuf, LaunchError> {
    let mut path = top.to_owned();
    for part in sub_path.into_iter().flat_map(|sub_path| Path::new(sub_path).components()) {
        let missing = || LaunchError::Missing(format!("it has no part {}", sub_path.unwrap_or_default()));
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => continue,
            _ => return Err(missing()),
        }
        match path.symlink_metadata() {
            Ok(meta) if !meta.is_symlink() => {}
            _ => return Err(missing()),
        }
    }
    Ok(path)
}

fn named(input: &InputArtifact, error: LaunchError) -> LaunchError {
    let text = |text| format!("input artifact {}: {text}", input.name);
    match error {
        LaunchError::Missing(why) => LaunchError::Missing(text(why)),
        LaunchError::NotAllowed(why) => LaunchError::NotAllowed(text(why)),
        LaunchError::Unavailable(why) => LaunchError::Unavailable(text(why)),
    }
}
