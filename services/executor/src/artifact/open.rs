//! Stores that are open: a client keeps its connections, and what it learnt of the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::location::Place;
use super::remote::{Opening, Remote};
use super::secrets::Secrets;
use crate::launcher::LaunchError;

/// So many are kept; more are opened anew.
const MOST: usize = 64;

/// The stores by what they were opened with: who changes a Secret has another.
#[derive(Debug, Default)]
pub(super) struct Open(Mutex<HashMap<String, Arc<Remote>>>);

impl Open {
    pub(super) async fn remote(
        &self,
        place: &Place,
        secrets: Secrets<'_>,
        own_identity: bool,
    ) -> Result<Arc<Remote>, LaunchError> {
        let opening = Opening::new(place, secrets, own_identity)?;
        let key = opening.fingerprint();
        if let Some(open) = self.lock().get(&key) {
            return Ok(open.clone());
        }
        let opened = Arc::new(opening.open().await?);
        let mut all = self.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key, opened.clone());
        Ok(opened)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Remote>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
