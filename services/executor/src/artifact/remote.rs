//! Buckets of S3, Google Cloud Storage and Azure.

mod open;

use std::path::{Component, Path as FilePath, PathBuf};
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, GetResult, ObjectStore, ObjectStoreExt, WriteMultipart};
use tiphys_runner::archive::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::folder::{self, Entry};
use crate::launcher::{Fetched, LaunchError};

pub(super) use open::Opening;

/// A file up to this size is sent in one request.
const SMALL: u64 = 16 << 20;
/// A part of a larger one, at least.
const PART: u64 = 8 << 20;
/// A store takes so many parts.
const PARTS: u64 = 9000;
/// Parts on their way at once; with [`PART`] this bounds the memory of an upload.
const AT_ONCE: usize = 4;
/// Files of a folder on their way at once.
const FILES: usize = 8;

/// A bucket or container that is open.
#[derive(Debug)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    /// As it is called in messages.
    shown: String,
    /// What its owner should look at when it refuses.
    opened_by: String,
}

impl Remote {
    fn path(key: &str) -> Result<Path, LaunchError> {
        let path = Path::parse(key.trim_matches('/')).ok().filter(|path| !path.as_ref().is_empty());
        path.ok_or_else(|| {
            LaunchError::Missing(format!("{key:?} is no key for an artifact: it must be a plain path"))
        })
    }

    /// A failure in words for whoever wrote the workflow.
    fn told(&self, key: &str, error: &Error) -> LaunchError {
        let (shown, opened_by) = (&self.shown, &self.opened_by);
        LaunchError::Missing(match error {
            Error::NotFound { .. } => format!("artifact {key} is not in {shown}, or {shown} does not exist"),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                format!("{shown} refuses access to {key}: check {opened_by}, and what it may do there")
            }
            other => format!("{shown} cannot be used for {key}: {}", deepest(other)),
        })
    }

    /// Stores a file, or a folder file by file.
    pub(super) async fn put(&self, key: &str, file: PathBuf) -> Result<(u64, String), LaunchError> {
        if !file.is_dir() {
            return self.put_file(Self::path(key)?, file).await;
        }
        let listed = tokio::task::spawn_blocking(move || folder::files(&file)).await;
        let listed = listed.map_err(|panic| local(&panic))?.map_err(|error| local(&error))?;
        let prefix = key.trim_end_matches('/');
        let sent = listed.into_iter().map(|entry| self.put_entry(prefix, entry).boxed());
        let mut total = folder::Total::default();
        let mut sent = futures::stream::iter(sent).buffered(FILES);
        while let Some((name, size, sum)) = sent.try_next().await? {
            total.add(&name, size, &sum);
        }
        Ok(total.finish())
    }

    async fn put_entry(&self, prefix: &str, entry: Entry) -> Result<(String, u64, String), LaunchError> {
        let path = Self::path(&format!("{prefix}/{}", entry.name))?;
        let (size, sum) = self.put_file(path, entry.path).await?;
        Ok((entry.name, size, sum))
    }

    async fn put_file(&self, path: Path, file: PathBuf) -> Result<(u64, String), LaunchError> {
        let measured = file.clone();
        let measured = tokio::task::spawn_blocking(move || folder::measure(&measured)).await;
        let (size, sum) = measured.map_err(|panic| local(&panic))?.map_err(|error| local(&error))?;
        let sent = if size <= SMALL {
            let content = tokio::fs::read(&file).await.map_err(|error| local(&error))?;
            self.store.put(&path, content.into()).await.map(drop)
        } else {
            self.put_parts(&path, &file, size).await?
        };
        sent.map_err(|error| self.told(path.as_ref(), &error))?;
        Ok((size, sum))
    }

    /// The outer error is the disk's, the inner the store's.
    async fn put_parts(
        &self,
        path: &Path,
        file: &FilePath,
        size: u64,
    ) -> Result<Result<(), Error>, LaunchError> {
        let part = usize::try_from(PART.max(size / PARTS + 1)).map_err(|error| local(&error))?;
        let mut content = tokio::fs::File::open(file).await.map_err(|error| local(&error))?;
        let upload = match self.store.put_multipart(path).await {
            Ok(upload) => upload,
            Err(error) => return Ok(Err(error)),
        };
        let mut upload = WriteMultipart::new_with_chunk_size(upload, part);
        loop {
            if let Err(error) = upload.wait_for_capacity(AT_ONCE).await {
                let _ = upload.abort().await;
                return Ok(Err(error));
            }
            let mut bytes = Vec::with_capacity(part);
            match (&mut content).take(part as u64).read_to_end(&mut bytes).await {
                Ok(0) => return Ok(upload.finish().await.map(drop)),
                Ok(_) => upload.put(bytes.into()),
                Err(error) => {
                    let _ = upload.abort().await;
                    return Err(local(&error));
                }
            }
        }
    }

    /// Writes what lies at a key, or below it, to `place`.
    pub(super) async fn fetch(&self, key: &str, place: PathBuf) -> Result<Fetched, LaunchError> {
        let path = Self::path(key)?;
        let mut left = Limits::default().bytes;
        match self.store.get(&path).await {
            Ok(found) => {
                self.write(&path, found, &place, &mut left).await?;
                Ok(Fetched::File)
            }
            Err(Error::NotFound { .. }) => self.fetch_folder(&path, &place, &mut left).await,
            Err(error) => Err(self.told(key, &error)),
        }
    }

    async fn fetch_folder(
        &self,
        prefix: &Path,
        place: &FilePath,
        left: &mut u64,
    ) -> Result<Fetched, LaunchError> {
        let mut listed = self.store.list(Some(prefix));
        let mut count = 0;
        while let Some(object) = listed.next().await {
            let object = object.map_err(|error| self.told(prefix.as_ref(), &error))?;
            count += 1;
            if count > Limits::default().entries {
                return Err(LaunchError::Missing(format!("{}/{prefix} has too many files", self.shown)));
            }
            let name = object.location.as_ref().strip_prefix(prefix.as_ref()).unwrap_or_default();
            let name = FilePath::new(name.trim_start_matches('/'));
            if !name.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(LaunchError::Missing(format!("{} is no name for a file", object.location)));
            }
            let file = place.join(name);
            let folder = file.parent().unwrap_or(place);
            tokio::fs::create_dir_all(folder).await.map_err(|error| local(&error))?;
            let found = self.store.get(&object.location).await;
            let found = found.map_err(|error| self.told(object.location.as_ref(), &error))?;
            self.write(&object.location, found, &file, left).await?;
        }
        if count == 0 {
            let (key, shown) = (prefix.as_ref(), &self.shown);
            return Err(LaunchError::Absent(format!("artifact {key} is not in {shown}")));
        }
        Ok(Fetched::Folder)
    }

    async fn write(
        &self,
        key: &Path,
        found: GetResult,
        file: &FilePath,
        left: &mut u64,
    ) -> Result<(), LaunchError> {
        let mut content = found.into_stream();
        let mut file = tokio::fs::File::create_new(file).await.map_err(|error| local(&error))?;
        while let Some(part) = content.next().await {
            let part = part.map_err(|error| self.told(key.as_ref(), &error))?;
            *left = left.checked_sub(part.len() as u64).ok_or_else(|| too_large(key.as_ref()))?;
            file.write_all(&part).await.map_err(|error| local(&error))?;
        }
        file.flush().await.map_err(|error| local(&error))
    }

    /// Removes a key and all below it. What is not there is as good as removed.
    pub(super) async fn remove(&self, key: &str) -> Result<(), LaunchError> {
        let path = Self::path(key)?;
        let below = self.store.list(Some(&path)).map_ok(|object| object.location);
        let all = futures::stream::once(futures::future::ok(path)).chain(below).boxed();
        let mut removed = self.store.delete_stream(all);
        while let Some(one) = removed.next().await {
            match one {
                Ok(_) | Err(Error::NotFound { .. }) => {}
                Err(error) => return Err(self.told(key, &error)),
            }
        }
        Ok(())
    }
}

pub(super) fn too_large(key: &str) -> LaunchError {
    let limit = Limits::default().bytes >> 30;
    LaunchError::Missing(format!("artifact {key} is larger than {limit} GiB"))
}

/// A failure of this machine.
pub(super) fn local(error: &dyn std::error::Error) -> LaunchError {
    LaunchError::Unavailable(format!("an artifact on its way: {error}"))
}

/// The innermost reason: those around it name the store again, and how often it was asked.
fn deepest(error: &Error) -> String {
    let mut reason: &dyn std::error::Error = error;
    while let Some(inner) = reason.source() {
        reason = inner;
    }
    reason.to_string()
}
