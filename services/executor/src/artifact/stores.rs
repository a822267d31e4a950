//! All stores behind one: a key says which one it belongs to.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use tiphys_catalog::{Catalog, Snapshot};

use super::git;
use super::local::LocalStore;
use super::location::{Location, Place};
use super::secrets::Secrets;
use crate::launcher::{ArtifactStore, Fetched, LaunchError};
use crate::scratch::Scratch;

/// What whoever runs the executor decides about stores.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where `git` and `ssh` are looked for, as in PATH.
    pub path: String,
    /// A place that names no Secret is opened with the identity of the executor's machine or pod. Whoever may write
    /// workflows then may do what that identity may.
    pub own_identity: bool,
    /// Git repositories of this machine may be inputs. For tests.
    pub local_git: bool,
}

/// The executor's own folder, and every store that a location names.
pub struct Stores {
    local: LocalStore,
    scratch: Scratch,
    catalog: Catalog,
    settings: Settings,
    #[cfg(feature = "stores")]
    open: super::open::Open,
}

/// Where things on their way lie, within the folder; it begins with a dot, as no part of a key may.
const SCRATCH: &str = ".passing";

impl Stores {
    /// Opens the folder `root`. Others are opened when they are needed, with the Secrets of `catalog`.
    ///
    /// # Errors
    /// When the folder cannot be created or tidied.
    pub fn open(root: &Path, catalog: Catalog, settings: Settings) -> io::Result<Self> {
        Ok(Self {
            local: LocalStore::open(root)?,
            scratch: Scratch::open(root.join(SCRATCH))?,
            catalog,
            settings,
            #[cfg(feature = "stores")]
            open: super::open::Open::default(),
        })
    }

    fn git(&self) -> git::Rules<'_> {
        git::Rules { path: &self.settings.path, local: self.settings.local_git }
    }
}

/// The place that a key names, if it is not of the folder.
fn place(key: &str) -> Result<Option<Location>, LaunchError> {
    Location::read(key).map_err(LaunchError::Missing)
}

const fn secrets<'a>(location: &'a Location, snapshot: &'a Snapshot) -> Secrets<'a> {
    Secrets { snapshot, namespace: location.namespace.as_str() }
}

#[async_trait]
impl ArtifactStore for Stores {
    async fn put(&self, key: &str, file: PathBuf) -> Result<(u64, String), LaunchError> {
        let Some(location) = place(key)? else {
            return self.local.put(key, file).await;
        };
        let snapshot = self.catalog.snapshot();
        self.put_to(&location, secrets(&location, &snapshot), file).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, LaunchError> {
        if place(key)?.is_none() {
            return self.local.get(key).await;
        }
        let passing = Passing(self.scratch.next());
        let kind = self.fetch(key, passing.0.clone()).await?;
        let read = move || match kind {
            Fetched::File => std::fs::read(&passing.0).map(Bytes::from),
            Fetched::Folder => {
                let packed = Passing(passing.0.with_extension("tgz"));
                tiphys_runner::archive::pack_folder(&passing.0, &packed.0)?;
                std::fs::read(&packed.0).map(Bytes::from)
            }
        };
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        read.map_err(|error| LaunchError::Unavailable(format!("an artifact on its way: {error}")))
    }

    async fn fetch(&self, key: &str, to: PathBuf) -> Result<Fetched, LaunchError> {
        let Some(location) = place(key)? else {
            return self.local.fetch(key, to).await;
        };
        let snapshot = self.catalog.snapshot();
        let secrets = secrets(&location, &snapshot);
        if let Place::Git(place) = &location.place {
            git::fetch(place, secrets, self.git(), &to).await?;
            return Ok(Fetched::Folder);
        }
        self.fetch_from(&location, secrets, to).await
    }

    async fn remove(&self, prefix: &str) -> Result<(), LaunchError> {
        let Some(location) = place(prefix)? else {
            return self.local.remove(prefix).await;
        };
        let snapshot = self.catalog.snapshot();
        self.remove_from(&location, secrets(&location, &snapshot)).await
    }
}

/// Something on its way, removed when it has passed.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        let removed = match self.0.is_dir() {
            true => crate::scratch::remove(&self.0),
            false => crate::scratch::absent(std::fs::remove_file(&self.0)),
        };
        if let Err(error) = removed {
            tracing::warn!(file = %self.0.display(), %error, "what passed cannot be tidied away");
        }
    }
}

#[cfg(feature = "stores")]
impl Stores {
    async fn put_to(
        &self,
        location: &Location,
        secrets: Secrets<'_>,
        file: PathBuf,
    ) -> Result<(u64, String), LaunchError> {
        match &location.place {
            Place::Http(place) => {
                if file.is_dir() {
                    return Err(LaunchError::Missing(
                        "a folder is not sent to a URL: use archive tar or zip".into(),
                    ));
                }
                super::http::Request::new(place, secrets).await?.put(&file).await?;
                let measured = tokio::task::spawn_blocking(move || super::folder::measure(&file)).await;
                let measured = measured.unwrap_or_else(|panic| Err(io::Error::other(panic)));
                measured.map_err(|error| super::remote::local(&error))
            }
            Place::Git(_) => {
                Err(LaunchError::Missing("nothing is stored in a git repository: use s3".into()))
            }
            place => {
                self.open
                    .remote(place, secrets, self.settings.own_identity)
                    .await?
                    .put(place.key(), file)
                    .await
            }
        }
    }

    async fn fetch_from(
        &self,
        location: &Location,
        secrets: Secrets<'_>,
        to: PathBuf,
    ) -> Result<Fetched, LaunchError> {
        match &location.place {
            Place::Http(place) => {
                super::http::Request::new(place, secrets).await?.fetch(&to).await?;
                Ok(Fetched::File)
            }
            place => {
                self.open
                    .remote(place, secrets, self.settings.own_identity)
                    .await?
                    .fetch(place.key(), to)
                    .await
            }
        }
    }

    async fn remove_from(&self, location: &Location, secrets: Secrets<'_>) -> Result<(), LaunchError> {
        match &location.place {
            Place::Http(_) | Place::Git(_) => Ok(()),
            place => {
                self.open.remote(place, secrets, self.settings.own_identity).await?.remove(place.key()).await
            }
        }
    }
}

#[cfg(not(feature = "stores"))]
impl Stores {
    async fn put_to(&self, _: &Location, _: Secrets<'_>, _: PathBuf) -> Result<(u64, String), LaunchError> {
        Err(not_built())
    }

    async fn fetch_from(&self, _: &Location, _: Secrets<'_>, _: PathBuf) -> Result<Fetched, LaunchError> {
        Err(not_built())
    }

    async fn remove_from(&self, _: &Location, _: Secrets<'_>) -> Result<(), LaunchError> {
        Err(not_built())
    }
}

#[cfg(not(feature = "stores"))]
fn not_built() -> LaunchError {
    LaunchError::NotAllowed("this build has no artifact stores: build it with the feature `stores`".into())
}
