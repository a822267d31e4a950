//! Files that are put into a container before it starts, and taken out after its end, as archives.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::{ArtifactStore, LaunchError, PodSpec, blocking};
use crate::launcher::{ArtifactSource, Fetched};
use crate::scratch::Scratch;

/// What is at a path.
#[derive(Debug, Clone)]
pub(super) enum Content {
    Folder,
    Bytes(Bytes),
    /// What may be large.
    OnDisk(Arc<Temporary>),
}

/// A file or folder that goes when nobody needs it.
#[derive(Debug)]
pub(super) struct Temporary(pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let removed = if self.0.is_dir() { fs::remove_dir_all(&self.0) } else { fs::remove_file(&self.0) };
        if let Err(error) = crate::scratch::absent(removed) {
            tracing::warn!(file = %self.0.display(), %error, "a temporary file cannot be tidied away");
        }
    }
}

/// A file or folder.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Path below the place of the upload.
    pub(super) path: String,
    pub(super) mode: u32,
    pub(super) content: Content,
}

/// Files for one place in a container.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    /// A folder that is there.
    pub(super) path: String,
    pub(super) files: Vec<File>,
}

/// An archive.
pub(super) enum Packed {
    InMemory(Bytes),
    OnDisk(Temporary),
}

impl File {
    pub(super) fn plain(path: &str, mode: u32, content: impl Into<Bytes>) -> Self {
        Self { path: path.to_owned(), mode, content: Content::Bytes(content.into()) }
    }

    pub(super) fn folder(path: &str, mode: u32) -> Self {
        Self { path: path.to_owned(), mode, content: Content::Folder }
    }
}

impl Upload {
    /// As an archive: in memory, unless a part is on the disk. Folders on the way to a file are made where they are
    /// missing, and left as they are where not.
    pub(super) fn pack(&self, scratch: &Scratch) -> io::Result<Packed> {
        if self.files.iter().any(|file| matches!(file.content, Content::OnDisk(_))) {
            let place = Temporary(scratch.next());
            self.write(fs::File::create_new(&place.0)?)?;
            return Ok(Packed::OnDisk(place));
        }
        self.write(Vec::new()).map(|archive| Packed::InMemory(archive.into()))
    }

    pub(super) fn write<W: io::Write>(&self, to: W) -> io::Result<W> {
        let mut archive = tar::Builder::new(to);
        for file in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(file.mode);
            let path = inner(&file.path);
            match &file.content {
                Content::Bytes(content) => {
                    header.set_size(content.len() as u64);
                    archive.append_data(&mut header, path, &content[..])?;
                }
                Content::OnDisk(place) => {
                    let content = fs::File::open(&place.0)?;
                    header.set_size(content.metadata()?.len());
                    archive.append_data(&mut header, path, content)?;
                }
                Content::Folder => {
                    header.set_entry_type(tar::EntryType::Directory);
                    header.set_size(0);
                    archive.append_data(&mut header, path, io::empty())?;
                }
            }
        }
        archive.into_inner()
    }
}

/// The input artifacts in their order; nothing for one that may be absent and is.
pub(super) async fn fetch(
    store: &dyn ArtifactStore,
    scratch: &Scratch,
    pod: &PodSpec,
) -> Result<Vec<Option<Content>>, LaunchError> {
    let mut contents = Vec::with_capacity(pod.inputs.len());
    for input in &pod.inputs {
        let named = |why: String| format!("input artifact {}: {why}", input.name);
        contents.push(match &input.from {
            ArtifactSource::Raw(text) => Some(Content::Bytes(Bytes::copy_from_slice(text.as_bytes()))),
            ArtifactSource::Stored { key, .. } => match one(store, scratch, key).await {
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

async fn one(store: &dyn ArtifactStore, scratch: &Scratch, key: &str) -> Result<Content, LaunchError> {
    let place = Temporary(scratch.next());
    let content = match store.fetch(key, place.0.clone()).await? {
        Fetched::File => place,
        Fetched::Folder => {
            let packed = Temporary(scratch.next());
            let packing = packed.0.clone();
            blocking(move || tiphys_runner::archive::pack_folder(&place.0, &packing)).await?;
            packed
        }
    };
    Ok(Content::OnDisk(Arc::new(content)))
}

/// Unpacks what an engine says is at a path: a file, or a folder with files and folders. Anything else is left out.
pub(super) fn unpack(archive: impl io::Read, to: &Path) -> io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries()? {
        let mut entry = entry?;
        // The first name is that of what was asked for.
        let below: PathBuf = entry.path()?.components().skip(1).collect();
        if !below.components().all(|part| matches!(part, Component::Normal(_))) {
            continue;
        }
        let place = if below.as_os_str().is_empty() { to.to_owned() } else { to.join(below) };
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            fs::create_dir_all(&place)?;
        } else if kind.is_file() {
            io::copy(&mut entry, &mut fs::File::create_new(&place)?)?;
        }
    }
    Ok(())
}

/// The names of a path, which so leads nowhere else.
fn inner(path: &str) -> PathBuf {
    let names = Path::new(path).components().filter(|part| matches!(part, Component::Normal(_)));
    names.collect()
}
