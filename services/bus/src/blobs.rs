//! Blobs are named by what they hold, so that storing one twice stores it once, and a damaged one is
//! noticed.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::error::BusError;
use crate::store::Store;

const PREFIX: &str = "sha256-";

/// The reference of a content.
pub(crate) fn reference(content: &[u8]) -> String {
    format!("{PREFIX}{}", hex::encode(Sha256::digest(content)))
}

/// The digits of a reference.
pub(crate) fn digest(reference: &str) -> Result<&str, BusError> {
    let digits = reference.strip_prefix(PREFIX).unwrap_or_default();
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(BusError::Invalid { reason: format!("`{reference}` refers to no blob") });
    }
    Ok(digits)
}

/// Stores a blob.
pub(crate) async fn put(store: Arc<dyn Store>, content: Bytes) -> Result<String, BusError> {
    blocking(move || {
        let reference = reference(&content);
        store.put_blob(&reference, &content)?;
        Ok(reference)
    })
    .await
}

/// Reads a blob, and checks it.
pub(crate) async fn get(store: Arc<dyn Store>, reference: &str) -> Result<Option<Bytes>, BusError> {
    digest(reference)?;
    let wanted = reference.to_owned();
    blocking(move || match store.get_blob(&wanted)? {
        Some(content) if self::reference(&content) != wanted => {
            Err(BusError::Unavailable { reason: format!("the blob `{wanted}` is damaged") })
        }
        found => Ok(found),
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BusError> + Send + 'static,
) -> Result<T, BusError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| BusError::Unavailable { reason: format!("a blob could not be handled: {error}") })?
}
