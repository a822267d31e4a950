//! Input artifacts: fetched before the start, placed where the step looks for them.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use tiphys_runner::archive::{self, Limits};

use super::folder::Folder;
use super::{ArtifactStore, LaunchError, PodSpec, unavailable};
use crate::launcher::{Archive, ArtifactSource, Fetched, InputArtifact};

/// What the inputs of a step hold, in the order of `PodSpec::inputs`. What was fetched lies in a folder that goes when
/// this is dropped.
pub(super) struct Contents {
    folder: PathBuf,
    each: Vec<Content>,
}

enum Content {
    Text(String),
    Fetched(Fetched, PathBuf),
    /// An optional one that its store does not have.
    Nothing,
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
    let mut contents = Contents { folder, each: Vec::with_capacity(pod.inputs.len()) };
    for (number, input) in pod.inputs.iter().enumerate() {
        contents.each.push(match &input.from {
            ArtifactSource::Raw(text) => Content::Text(text.clone()),
            ArtifactSource::Stored { key, .. } => {
                std::fs::create_dir_all(&contents.folder).map_err(|error| unavailable(&error))?;
                let place = contents.folder.join(number.to_string());
                match store.fetch(key, place.clone()).await {
                    Ok(fetched) => Content::Fetched(fetched, place),
                    Err(LaunchError::Absent(_)) if input.optional => Content::Nothing,
                    Err(error) => return Err(named(input, error)),
                }
            }
        });
    }
    Ok(contents)
}

/// Places all, outer paths first.
pub(super) fn place(folder: &Folder, pod: &PodSpec, contents: &Contents) -> Result<(), LaunchError> {
    let mut inputs: Vec<_> = pod.inputs.iter().zip(&contents.each).enumerate().collect();
    inputs.sort_by_key(|(_, (input, _))| folder.path_of(&input.path));
    for (number, (input, content)) in inputs {
        let scratch = folder.now(&folder.unpack()).join(number.to_string());
        one(folder, input, content, &scratch).map_err(|error| named(input, error))?;
    }
    Ok(())
}

fn one(folder: &Folder, input: &InputArtifact, content: &Content, scratch: &Path) -> Result<(), LaunchError> {
    let disk = |error: io::Error| unavailable(&error);
    let place = folder.now(&folder.path_of(&input.path));
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(disk)?;
    }
    match content {
        Content::Nothing => return Ok(()),
        Content::Text(text) => std::fs::write(&place, text).map_err(disk)?,
        Content::Fetched(kind, file) => {
            let (archive, sub_path) = match &input.from {
                ArtifactSource::Stored { archive, sub_path, .. } => (*archive, sub_path.as_deref()),
                ArtifactSource::Raw(_) => (Archive::None, None),
            };
            let whole = match kind {
                Fetched::Folder => Some(file.clone()),
                Fetched::File if unpacked(file, archive, scratch)? => Some(top(scratch).map_err(disk)?),
                Fetched::File => None,
            };
            let from = match (whole, sub_path) {
                (Some(whole), sub_path) => within(&whole, sub_path)?,
                (None, None) => file.clone(),
                (None, Some(sub_path)) => {
                    let text = format!("it is a single file and has no part {sub_path}");
                    return Err(LaunchError::Missing(text));
                }
            };
            std::fs::rename(from, &place).map_err(disk)?;
        }
    }
    if let Some(mode) = input.mode {
        std::fs::set_permissions(&place, Permissions::from_mode(mode & 0o777)).map_err(disk)?;
    }
    Ok(())
}

/// Unpacks a file into the folder `scratch`, if it is packed: what claims to be and is not is taken as it is, as Argo
/// does.
fn unpacked(file: &Path, archive: Archive, scratch: &Path) -> Result<bool, LaunchError> {
    let disk = |error: io::Error| unavailable(&error);
    let mut content = File::open(file).map_err(disk)?;
    let mut start = Vec::with_capacity(4);
    content.by_ref().take(4).read_to_end(&mut start).map_err(disk)?;
    content.rewind().map_err(disk)?;
    let is_zip = start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06");
    let outcome = match archive {
        Archive::Tar | Archive::TarLevel(_) if start.starts_with(&[0x1f, 0x8b]) => {
            std::fs::create_dir_all(scratch).map_err(disk)?;
            archive::unpack(content, scratch, Limits::default())
        }
        Archive::Zip if is_zip => {
            std::fs::create_dir_all(scratch).map_err(disk)?;
            archive::unzip(content, scratch, Limits::default())
        }
        _ => return Ok(false),
    };
    outcome.map(|()| true).map_err(|refused| LaunchError::Missing(refused.to_string()))
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
        LaunchError::Missing(why) | LaunchError::Absent(why) => LaunchError::Missing(text(why)),
        LaunchError::NotAllowed(why) => LaunchError::NotAllowed(text(why)),
        LaunchError::Unavailable(why) => LaunchError::Unavailable(text(why)),
    }
}
