//! Files that are put into a container before it starts, and taken out after its end, as archives.

use std::io;
use std::path::{Component, Path};

use bytes::Bytes;

use super::{ArtifactStore, LaunchError, PodSpec};
use crate::launcher::ArtifactSource;

/// A file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    /// Path below the place of the upload.
    pub(super) path: String,
    pub(super) mode: u32,
    /// Nothing: a folder.
    pub(super) content: Option<Bytes>,
}

/// Files for one place in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Upload {
    /// A folder that is there.
    pub(super) path: String,
    pub(super) files: Vec<File>,
}

impl File {
    pub(super) fn plain(path: &str, mode: u32, content: impl Into<Bytes>) -> Self {
        Self { path: path.to_owned(), mode, content: Some(content.into()) }
    }

    pub(super) fn folder(path: &str, mode: u32) -> Self {
        Self { path: path.to_owned(), mode, content: None }
    }
}

impl Upload {
    /// As an archive. Folders on the way to a file are made where they are missing, and left as they are where not.
    pub(super) fn archive(&self) -> io::Result<Bytes> {
        let size: usize = self.files.iter().filter_map(|file| file.content.as_ref()).map(Bytes::len).sum();
        let mut archive = tar::Builder::new(Vec::with_capacity(size + 1024 * (self.files.len() + 2)));
        for file in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(file.mode);
            let path = inner(&file.path);
            match &file.content {
                Some(content) => {
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, path, &content[..])?;
                }
                None => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, path, io::empty())?;
                }
            }
        }
        archive.into_inner().map(Bytes::from)
    }
}

/// Contents of the input artifacts, in their order.
pub(super) async fn fetch(
    store: &dyn ArtifactStore,
    pod: &PodSpec,
) -> Result<Vec<Option<Bytes>>, LaunchError> {
    let mut contents = Vec::with_capacity(pod.inputs.len());
    for input in &pod.inputs {
        let named = |why: String| format!("input artifact {}: {why}", input.name);
        contents.push(match &input.from {
            ArtifactSource::Raw(text) => Some(Bytes::copy_from_slice(text.as_bytes())),
            ArtifactSource::Stored { key, .. } => match store.get(key).await {
                Ok(content) => Some(content),
                Err(LaunchError::Absent(_)) if input.optional => None,
                Err(LaunchError::Missing(why) | LaunchError::Absent(why)) => {
                    return Err(LaunchError::Missing(named(why)));
                }
                Err(LaunchError::NotAllowed(why)) => return Err(LaunchError::NotAllowed(named(why))),
                Err(LaunchError::Unavailable(why)) => return Err(LaunchError::Unavailable(named(why))),
            },
        });
    }
    Ok(contents)
}

/// The names of a path, which so leads nowhere else.
fn inner(path: &str) -> std::path::PathBuf {
    let names = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    names.collect()
}
