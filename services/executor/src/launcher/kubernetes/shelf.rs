//! Where what outlives a pod is kept: in the store that all executors share, where its spec names one; else in our own folder.
//! There also what that store does not take: a step does not fail because its log is not wanted there. It is looked for in both.

use std::path::PathBuf;

use bytes::Bytes;
use tiphys_core::PodKey;

use super::Shared;
use super::record::Place;
use super::token::Keys;
use crate::artifact::kept;
use crate::launcher::{Fetched, LaunchError};

/// What is kept of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thing {
    Log,
    /// What was too long for the pod when it was made.
    Parcel,
    /// What was too long for it at its end.
    Report,
}

/// The folder of parcel and report, which go before the log does.
const PASSING: &str = "own";

/// Places of one thing.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    own: String,
    shared: Option<String>,
}

impl Shelf {
    pub(super) fn of(keys: &Keys, pod: &PodKey, folder: Option<&str>, thing: Thing) -> Self {
        let (own, name) = match thing {
            Thing::Log => (keys.log(pod), kept::LOG.to_owned()),
            Thing::Parcel => (keys.place(pod, "parcel"), format!("{PASSING}/parcel")),
            Thing::Report => (keys.place(pod, "report"), format!("{PASSING}/report")),
        };
        Self { own, shared: folder.and_then(|folder| kept::within(folder, &name)) }
    }

    /// Under which key a runner asks for it.
    pub(super) fn asked(&self) -> &str {
        self.shared.as_deref().unwrap_or(&self.own)
    }
}

impl Shared {
    /// Where a thing of a pod is. The pod says which store; only what we wrote there ourselves is believed, as it names Secrets.
    pub(super) fn shelf(&self, pod: &PodKey, place: Option<&Place>, thing: Thing) -> Shelf {
        let keys = Keys::new(&self.config.key);
        let folder = place.and_then(|place| keys.unsealed(pod, place.keeps.as_deref()?));
        Shelf::of(&keys, pod, folder, thing)
    }

    /// Keeps a file. True: in the store that all share.
    pub(super) async fn put(
        &self,
        shelf: &Shelf,
        file: PathBuf,
    ) -> Result<((u64, String), bool), LaunchError> {
        if let Some(shared) = &shelf.shared {
            match self.store.put(shared, file.clone()).await {
                Ok(stored) => return Ok((stored, true)),
                Err(why) => {
                    tracing::warn!(%why, "what outlives a pod is kept on this machine, as its store does not take it");
                }
            }
        }
        self.store.put(&shelf.own, file).await.map(|stored| (stored, false))
    }

    /// Writes what is kept to a file.
    pub(super) async fn fetch(&self, shelf: &Shelf, to: PathBuf) -> Result<Fetched, LaunchError> {
        match (self.store.fetch(&shelf.own, to.clone()).await, &shelf.shared) {
            (Err(LaunchError::Absent(_)), Some(shared)) => self.store.fetch(shared, to).await,
            (own, _) => own,
        }
    }

    /// What is kept, in memory.
    pub(super) async fn content(&self, shelf: &Shelf) -> Result<Bytes, LaunchError> {
        match (self.store.get(&shelf.own).await, &shelf.shared) {
            (Err(LaunchError::Absent(_)), Some(shared)) => self.store.get(shared).await,
            (own, _) => own,
        }
    }

    /// Parcel and report go.
    pub(super) async fn drop_passing(&self, pod: &PodKey, place: &Place) {
        let keys = Keys::new(&self.config.key);
        let own = keys.place(pod, "");
        let folder = place.keeps.as_deref().and_then(|text| keys.unsealed(pod, text));
        let shared = folder.and_then(|folder| kept::within(folder, PASSING));
        for place in [Some(own.trim_end_matches('/').to_owned()), shared].into_iter().flatten() {
            if let Err(why) = self.store.remove(&place).await {
                tracing::warn!(key = %pod, %why, "what was kept for a pod stays in the store");
            }
        }
    }

    /// The log in our own folder goes. The one that all share goes with its workflow's folder.
    pub(super) async fn drop_own_log(&self, pod: &PodKey) -> Result<(), LaunchError> {
        self.store.remove(&Keys::new(&self.config.key).log(pod)).await
    }
}
