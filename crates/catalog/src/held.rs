//! What a workflow names while it is driven: read when it begins, kept until it is let go.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use crate::handle::Catalog;

/// The answer of a [`Reader`]; what is in it is dropped when nobody needs it any more.
pub type Holding = Pin<Box<dyn Future<Output = Option<Box<dyn Any + Send + Sync>>> + Send>>;

/// Brings objects into the catalog that are there only while somebody names them.
pub trait Reader: Send + Sync + std::fmt::Debug {
    /// Reads what a document of this namespace names. When it answers, that is in the catalog, as far as it exists.
    fn hold(&self, namespace: &str, document: &Value) -> Holding;
}

/// Keeps in the catalog what a document names.
#[derive(Debug, Default)]
pub struct Held {
    _kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Catalog {
    /// Has what a document of this namespace names read, and kept until the answer is dropped. At once where nothing is
    /// read on demand.
    pub async fn hold(&self, namespace: &str, document: &Value) -> Held {
        let mut kept = Vec::new();
        for reader in self.readers() {
            kept.extend(reader.hold(namespace, document).await);
        }
        Held { _kept: kept }
    }
}
