//! A directory of manifests, read now and whenever something in it changes.

mod scan;
mod wake;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tiphys_kit::{CancellationToken, Health};
use tiphys_manifest::{Diagnostic, Object, diagnostic};
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::change::{Change, between};
use crate::error::CatalogError;
use crate::handle::Feeder;
use scan::Scan;
use wake::Watch;

/// Editors write a file in several steps; after the first sign of a change so long nothing is read.
const SETTLE: Duration = Duration::from_millis(100);
/// A save that is under way leaves an empty file for a moment; then it is looked at again after this. Also the pace
/// where the system tells of no change.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Some file systems tell of no change. So often is looked without being told.
const LOOK_ANYWAY: Duration = Duration::from_secs(10);
/// The name under which readiness is told.
const PART: &str = "catalog-directory";

/// A directory that feeds the catalog.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    scan: Scan,
    feeder: Feeder,
    health: Health,
    check: Check,
    objects: Vec<Arc<Object>>,
    /// What the check said of them.
    checked: Vec<Diagnostic>,
    diagnostics: Vec<Diagnostic>,
}

/// What more can be said of objects than that they can be read. It does not keep them from being used.
pub type Check = fn(&[Arc<Object>]) -> Vec<Diagnostic>;

impl Directory {
    /// Reads the directory for the first time. When this returns, its objects are in the catalog.
    ///
    /// # Errors
    /// Fails when there is no such directory. A bad file is a diagnostic, not a failure.
    pub async fn open(
        root: impl Into<PathBuf>,
        namespace: &str,
        feeder: Feeder,
        health: Health,
    ) -> Result<Self, CatalogError> {
        Self::open_checked(root, namespace, |_| Vec::new(), feeder, health).await
    }

    /// The same with a check, whose findings are logged and kept as those of the files are.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_checked(
        root: impl Into<PathBuf>,
        namespace: &str,
        check: Check,
        feeder: Feeder,
        health: Health,
    ) -> Result<Self, CatalogError> {
        let root = root.into();
        health.expect(PART);
        let mut directory = Self {
            scan: Scan::new(root.clone(), namespace),
            root,
            feeder,
            health,
            check,
            objects: Vec::new(),
            checked: Vec::new(),
            diagnostics: Vec::new(),
        };
        directory.look().await?;
        Ok(directory)
    }

    /// Follows the directory until `stop`. Each change is logged, and sent to `changes` where there is room. A
    /// directory that vanishes is waited for; its objects stay in force.
    ///
    /// # Errors
    /// Fails when a reader of files panics.
    pub async fn watch(
        mut self,
        changes: Option<mpsc::Sender<Change>>,
        stop: CancellationToken,
    ) -> Result<(), CatalogError> {
        // One place: a wake-up carries no data, so a second one adds nothing to a first that waits.
        let (wake, mut woken) = mpsc::channel::<()>(1);
        let mut watch = Watch::new(self.root.clone(), wake);
        // What changed between the first look and the watch would else be seen late.
        let mut wait = SETTLE;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(()) = woken.recv() => {
                    tokio::time::sleep(SETTLE).await;
                    while woken.try_recv().is_ok() {}
                }
                () = tokio::time::sleep(wait) => {}
            }
            // Before the look: what changes after it is told.
            let told = watch.begin();
            match self.look().await {
                Ok((found, unsettled)) => {
                    wait = if told && !unsettled { LOOK_ANYWAY } else { LOOK_AGAIN };
                    for change in found {
                        if let Some(changes) = &changes {
                            let _ = changes.try_send(change);
                        }
                    }
                }
                // The scan went with its reader.
                Err(failure @ CatalogError::Reader(_)) => return Err(failure),
                Err(failure) => {
                    wait = LOOK_AGAIN;
                    self.health.failing(PART, tiphys_core::chain(&failure));
                    watch.end();
                }
            }
        }
    }

    /// Reads what changed, and tells the catalog. Also says whether a file seems to be half written.
    async fn look(&mut self) -> Result<(Vec<Change>, bool), CatalogError> {
        let mut scan = std::mem::take(&mut self.scan);
        let (scan, outcome) = tokio::task::spawn_blocking(move || {
            let outcome = scan.look();
            (scan, outcome)
        })
        .await
        .map_err(|failure| CatalogError::Reader(failure.to_string()))?;
        self.scan = scan;
        outcome.map_err(|source| CatalogError::Directory { path: self.root.clone(), source })?;
        let (objects, mut diagnostics) = self.scan.result();
        let found = between(&self.objects, &objects);
        // Also where an object only moved within its file: a finding has a place.
        let same = objects.len() == self.objects.len()
            && objects.iter().zip(&self.objects).all(|(new, old)| Arc::ptr_eq(new, old));
        if !same {
            self.checked = (self.check)(&objects);
        }
        diagnostics.extend(self.checked.iter().cloned());
        for change in &found {
            info!(file = change.file, "{change}");
        }
        for finding in diagnostics.iter().filter(|d| !self.diagnostics.contains(d)) {
            let text = diagnostic::short(finding);
            if finding.is_error() {
                error!("{text}");
            } else {
                warn!("{text}");
            }
        }
        self.feeder.replace(objects.clone(), diagnostics.clone());
        (self.objects, self.diagnostics) = (objects, diagnostics);
        self.health.ready(PART);
        Ok((found, self.scan.unsettled()))
    }

    /// The directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }
}

#[cfg(test)]
mod tests;
