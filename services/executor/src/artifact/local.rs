//! The executor's own folder.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_runner::durable::sync_folder;

use super::folder::measure;
use crate::launcher::{ArtifactStore, Fetched, LaunchError};
use crate::scratch::Scratch;

/// Artifacts as files below a folder, each at the path its key names.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    unfinished: Scratch,
}

/// Half-written artifacts lie here; it begins with a dot, as no part of a key may.
const UNFINISHED: &str = ".unfinished";

impl LocalStore {
    /// Opens the store in `root`. Several processes of a machine may have it open.
    ///
    /// # Errors
    /// When the folder cannot be created or tidied.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self { root: root.to_owned(), unfinished: Scratch::open(root.join(UNFINISHED))? })
    }

    /// The file of a key, which may not lead outside.
    fn path(&self, key: &str) -> Result<PathBuf, LaunchError> {
        let refused = || {
            let text = format!("{key:?} is no key for an artifact: it must be a plain relative path");
            Err(LaunchError::Missing(text))
        };
        let mut path = self.root.clone();
        let parts = Path::new(key);
        if key.is_empty() || key.contains('\0') {
            return refused();
        }
        for part in parts.components() {
            match part {
                Component::Normal(name) if !name.as_encoded_bytes().starts_with(b".") => {
                    path.push(name);
                }
                _ => return refused(),
            }
        }
        Ok(path)
    }
}

#[async_trait]
impl ArtifactStore for LocalStore {
    async fn put(&self, key: &str, file: PathBuf) -> Result<(u64, String), LaunchError> {
        let place = self.path(key)?;
        let unfinished = self.unfinished.next();
        let root = self.root.clone();
        blocking(key, move || put(&root, &file, &unfinished, &place)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, LaunchError> {
        let (place, scratch) = (self.path(key)?, self.unfinished.next());
        blocking(key, move || get(&place, &scratch)).await
    }

    async fn fetch(&self, key: &str, place: PathBuf) -> Result<Fetched, LaunchError> {
        let kept = self.path(key)?;
        blocking(key, move || fetch(&kept, &place)).await
    }

    async fn remove(&self, prefix: &str) -> Result<(), LaunchError> {
        let place = self.path(prefix)?;
        let removed = move || match place.symlink_metadata() {
            Ok(meta) if meta.is_dir() => std::fs::remove_dir_all(&place),
            Ok(_) => std::fs::remove_file(&place),
            Err(error) => Err(error),
        };
        match blocking(prefix, removed).await {
            Err(LaunchError::Absent(_)) => Ok(()),
            other => other,
        }
    }
}

/// A file as it is; a folder packed, by way of `scratch`.
fn get(place: &Path, scratch: &Path) -> io::Result<Bytes> {
    if !place.is_dir() {
        return std::fs::read(place).map(Bytes::from);
    }
    let packed = tiphys_runner::archive::pack_folder(place, scratch).and_then(|()| std::fs::read(scratch));
    crate::scratch::absent(std::fs::remove_file(scratch))?;
    packed.map(Bytes::from)
}

/// A copy, as whoever asked may write to it.
fn fetch(kept: &Path, place: &Path) -> io::Result<Fetched> {
    if kept.is_dir() {
        tiphys_runner::archive::copy(kept, place)?;
        return Ok(Fetched::Folder);
    }
    let mut from = File::open(kept)?;
    io::copy(&mut from, &mut File::create_new(place)?)?;
    Ok(Fetched::File)
}

fn put(root: &Path, file: &Path, unfinished: &Path, place: &Path) -> io::Result<(u64, String)> {
    if file.is_dir() {
        return put_folder(root, file, unfinished, place);
    }
    // A link is as good as a copy: what has been packed is not written to again.
    if std::fs::hard_link(file, unfinished).is_err() {
        std::fs::copy(file, unfinished)?;
    }
    let measured = measure(unfinished)?;
    File::open(unfinished)?.sync_all()?;
    let folder = place.parent().unwrap_or(root);
    create_folders(root, folder)?;
    std::fs::rename(unfinished, place)?;
    // Renaming a file over another link to itself does nothing, so the name may still be there.
    crate::scratch::absent(std::fs::remove_file(unfinished))?;
    sync_folder(folder)?;
    Ok(measured)
}

/// A folder is moved into place as a whole; what was there before is gone for a moment.
fn put_folder(root: &Path, from: &Path, unfinished: &Path, place: &Path) -> io::Result<(u64, String)> {
    tiphys_runner::archive::copy(from, unfinished)?;
    let measured = measure(unfinished)?;
    let folder = place.parent().unwrap_or(root);
    create_folders(root, folder)?;
    match place.symlink_metadata() {
        Ok(meta) if meta.is_dir() => crate::scratch::remove(place)?,
        Ok(_) => std::fs::remove_file(place)?,
        Err(_) => {}
    }
    std::fs::rename(unfinished, place)?;
    sync_folder(folder)?;
    Ok(measured)
}

/// Creates the folders below `root` down to `folder`; each new name is durable.
fn create_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() || folder == root {
        return Ok(());
    }
    let above = folder.parent().unwrap_or(root);
    create_folders(root, above)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(above),
    }
}

async fn blocking<T: Send + 'static>(
    key: &str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, LaunchError> {
    let outcome = tokio::task::spawn_blocking(work).await;
    match outcome.unwrap_or_else(|panic| Err(io::Error::other(panic))) {
        Ok(value) => Ok(value),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(LaunchError::Absent(format!("artifact {key} is not in the store")))
        }
        Err(error) => Err(LaunchError::Unavailable(format!("artifact {key}: {error}"))),
    }
}

#[cfg(test)]
mod tests;
