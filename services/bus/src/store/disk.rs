//! The store of the embedded adapter: tables in one database, blobs as files beside it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use tracing::warn;

use super::{Batch, Body, Store, StreamChange, StreamNumber, codec};
use crate::error::BusError;
use crate::options::Options;

/// Journals are replayed at start: this bounds how long that takes.
const JOURNALS: u64 = 128 << 20;
const MEMTABLE: u64 = 32 << 20;

/// The tables of format 1.
#[derive(Clone)]
pub(crate) struct Tables {
    database: Database,
    /// Streams, heads, consumers, and the number of the last commit.
    pub(crate) meta: Keyspace,
    /// What is known of each message without reading it.
    pub(crate) index: Keyspace,
    /// The bodies of messages.
    pub(crate) bodies: Keyspace,
    /// Ids of messages that were removed within the duplicate window.
    pub(crate) ids: Keyspace,
}

/// Kinds of keys in [`Tables::meta`].
pub(crate) mod meta {
    /// Number of the last commit.
    pub(crate) const COMMIT: &[u8] = b"c";
    /// Limits, by stream.
    pub(crate) const STREAM: u8 = b's';
    /// Last sequence, by stream.
    pub(crate) const HEAD: u8 = b'h';
    /// Consumers, by stream and name.
    pub(crate) const CONSUMER: u8 = b'p';

    /// A key of this kind.
    pub(crate) fn key(kind: u8, stream: u16, name: &str) -> Vec<u8> {
        let mut key = vec![kind];
        key.extend_from_slice(&stream.to_be_bytes());
        key.extend_from_slice(name.as_bytes());
        key
    }
}

impl Tables {
    /// Opens the database in `folder`, making it if there is none.
    pub(crate) fn open(folder: &Path) -> fjall::Result<Self> {
        let database = Database::builder(folder)
            // One flushes while the other compacts; with one alone, commits would wait for compaction.
            .worker_threads(2)
            .max_journaling_size(JOURNALS)
            .manual_journal_persist(true)
            .open()?;
        let table = |name: &str| {
            let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
            database.keyspace(name, options)
        };
        Ok(Self {
            meta: table("meta")?,
            index: table("index")?,
            bodies: table("bodies")?,
            ids: table("ids")?,
            database,
        })
    }

    fn write(&self, batch: &Batch, number: u64) -> Result<(), BusError> {
        let mut out = self.database.batch().durability(Some(PersistMode::SyncData));
        out.insert(&self.meta, meta::COMMIT, codec::number(number));
        for (&stream, change) in batch {
            self.write_meta(&mut out, stream, change)?;
            for (&sequence, record) in &change.inserts {
                let key = codec::key(stream, sequence);
                out.insert(&self.bodies, key, codec::body(&record.body));
                out.insert(&self.index, key, codec::index(record));
            }
            for &sequence in &change.removes {
                let key = codec::key(stream, sequence);
                out.remove(&self.bodies, key);
                out.remove(&self.index, key);
            }
            for (&sequence, remembered) in &change.remembered {
                let value = codec::remembered(remembered);
                out.insert(&self.ids, codec::key(stream, sequence), value);
            }
            for &sequence in &change.forgotten {
                out.remove(&self.ids, codec::key(stream, sequence));
            }
        }
        out.commit().map_err(unavailable)
    }

    fn write_meta(
        &self,
        out: &mut fjall::OwnedWriteBatch,
        stream: StreamNumber,
        change: &StreamChange,
    ) -> Result<(), BusError> {
        if let Some(config) = &change.config {
            let key = meta::key(meta::STREAM, stream, "");
            out.insert(&self.meta, key, codec::stream(config)?);
        }
        let head = codec::head(change.last, change.stored);
        out.insert(&self.meta, meta::key(meta::HEAD, stream, ""), head);
        for (name, saved) in &change.consumers {
            let key = meta::key(meta::CONSUMER, stream, name);
            match saved {
                Some(saved) => out.insert(&self.meta, key, codec::consumer(saved)?),
                None => out.remove(&self.meta, key),
            }
        }
        Ok(())
    }
}

/// Keeps records in a folder.
pub(crate) struct DiskStore {
    folder: PathBuf,
    options: Options,
    /// `None` once closed. The lock is held for as long as a read takes; commits come from one thread.
    open: RwLock<Option<Open>>,
    commits: AtomicU64,
    blobs_made: AtomicU64,
}

struct Open {
    tables: Tables,
    /// Tells, outside the database, how far commits were acknowledged.
    mark: File,
    /// Keeps other processes out.
    _lock: File,
}

impl DiskStore {
    pub(crate) fn new(
        folder: &Path,
        options: Options,
        tables: Tables,
        commits: u64,
        mark: File,
        lock: File,
    ) -> Self {
        Self {
            folder: folder.into(),
            options,
            open: RwLock::new(Some(Open { tables, mark, _lock: lock })),
            commits: AtomicU64::new(commits),
            blobs_made: AtomicU64::new(0),
        }
    }

    fn with<T>(&self, work: impl FnOnce(&Open) -> Result<T, BusError>) -> Result<T, BusError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.as_ref().map_or(Err(BusError::Closed), work)
    }

    fn blob_path(&self, reference: &str) -> PathBuf {
        let digits = reference.rsplit('-').next().unwrap_or_default();
        let shelf = digits.get(..2).unwrap_or("00");
        self.folder.join("blobs").join(shelf).join(reference)
    }
}

impl Store for DiskStore {
    fn commit(&self, batch: &Batch) -> Result<(), BusError> {
        self.with(|open| {
            let number = self.commits.load(Ordering::Relaxed) + 1;
            open.tables.write(batch, number)?;
            self.commits.store(number, Ordering::Relaxed);
            // Not synced, and it need not be: it only ever tells of what is synced already.
            if let Err(error) = open.mark.write_all_at(&mark(number), 0) {
                warn!(%error, "the mark of acknowledged commits cannot be written");
            }
            Ok(())
        })
    }

    fn room(&self) -> Result<(), BusError> {
        let free = (self.options.free_space)(&self.folder).map_err(unavailable)?;
        if free >= self.options.reserve {
            return Ok(());
        }
        Err(BusError::Full {
            stream: String::new(),
            reason: format!(
                "its disk has {} MiB left, and {} MiB are kept free for acks and upkeep",
                free >> 20,
                self.options.reserve >> 20
            ),
        })
    }

    fn body(&self, stream: StreamNumber, sequence: u64) -> Result<Option<Body>, BusError> {
        self.with(|open| {
            let found = open.tables.bodies.get(codec::key(stream, sequence));
            let value = found.map_err(|error| damaged(&self.folder, sequence, &error))?;
            value.map(|value| codec::read_body(&value)).transpose()
        })
    }

    fn put_blob(&self, reference: &str, content: &Bytes) -> Result<(), BusError> {
        self.with(|_| Ok(()))?;
        let path = self.blob_path(reference);
        let shelf = path.parent().unwrap_or(&self.folder);
        if !path.exists() {
            self.room()?;
            fs::create_dir_all(shelf).map_err(unavailable)?;
            let number = self.blobs_made.fetch_add(1, Ordering::Relaxed);
            let draft = self.folder.join("blobs").join(format!("draft-{number}"));
            let mut file = File::create(&draft).map_err(unavailable)?;
            file.write_all(content)
                .and_then(|()| file.sync_all())
                .and_then(|()| fs::rename(&draft, &path))
                .map_err(unavailable)?;
        }
        // Also for one that was there: whoever put it may not have come so far.
        for folder in [shelf, &self.folder.join("blobs"), &self.folder] {
            sync_folder(folder).map_err(unavailable)?;
        }
        Ok(())
    }

    fn get_blob(&self, reference: &str) -> Result<Option<Bytes>, BusError> {
        self.with(|_| Ok(()))?;
        match fs::read(self.blob_path(reference)) {
            Ok(content) => Ok(Some(content.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }

    fn close(&self) {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        drop(open.take());
    }
}

/// The content of the mark: the number of the last acknowledged commit, and its complement as a check.
pub(crate) fn mark(number: u64) -> [u8; 16] {
    let whole = (u128::from(number) << 64) | u128::from(!number);
    whole.to_be_bytes()
}

/// Undoes [`mark`]; `None` where it was torn.
pub(crate) fn read_mark(content: &[u8]) -> Option<u64> {
    let whole = u128::from_be_bytes(content.try_into().ok()?);
    let number = u64::try_from(whole >> 64).ok()?;
    (mark(number) == content).then_some(number)
}

/// Makes what was created or renamed in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

/// A record that is there and cannot be read.
fn damaged(folder: &Path, sequence: u64, error: &fjall::Error) -> BusError {
    BusError::Unavailable {
        reason: format!(
            "record {sequence} cannot be read: {}; the data folder `{}` is damaged, or its disk does not give it: \
             stop, and restore a copy of the folder",
            tiphys_core::chain(error),
            folder.display()
        ),
    }
}

/// An error of the disk or of the database.
pub(crate) fn unavailable(error: impl std::error::Error + 'static) -> BusError {
    BusError::Unavailable { reason: tiphys_core::chain(&error) }
}
