//! The store of the memory adapter.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::{Batch, Body, Store, StreamNumber};
use crate::error::BusError;

/// Keeps everything in memory, for as long as the bus lives.
#[derive(Debug, Default)]
pub(crate) struct MemoryStore(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    bodies: HashMap<(StreamNumber, u64), Body>,
    blobs: HashMap<String, Bytes>,
}

impl MemoryStore {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn commit(&self, batch: &Batch) -> Result<(), BusError> {
        let mut kept = self.kept();
        for (&stream, change) in batch {
            for (&sequence, record) in &change.inserts {
                kept.bodies.insert((stream, sequence), record.body.clone());
            }
            for &sequence in &change.removes {
                kept.bodies.remove(&(stream, sequence));
            }
        }
        Ok(())
    }

    fn room(&self) -> Result<(), BusError> {
        Ok(())
    }

    fn body(&self, stream: StreamNumber, sequence: u64) -> Result<Option<Body>, BusError> {
        Ok(self.kept().bodies.get(&(stream, sequence)).cloned())
    }

    fn put_blob(&self, reference: &str, content: &Bytes) -> Result<(), BusError> {
        self.kept().blobs.insert(reference.into(), content.clone());
        Ok(())
    }

    fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        Ok(self.kept().blobs.get(reference).cloned())
    }

    fn close(&self) {}
}
