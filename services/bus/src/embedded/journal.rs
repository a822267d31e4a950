//! Looks at the database's journals before the database does.
//!
//! A commit that a loss of power cut short may lie torn at the end of the newest journal. It was never
//! acknowledged, so it is cut off. The database would cut at any damage, also in the midst of what was
//! acknowledged, and say nothing: here that keeps the folder from opening.

use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tracing::warn;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::BusError;
use crate::store::disk::{sync_folder, unavailable};

/// How the database's folder begins its `version` file where the journals are as known here.
const KNOWN: &[u8] = b"FJL\x03";
/// Ends each commit.
const TRAILER: &[u8] = b"FJL\x03";

const START: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;

const PAGE: usize = 4096;
static ZEROS: [u8; PAGE] = [0; PAGE];

/// Checks all journals in `log`, and cuts a torn commit off the newest; `keep` gets a copy of what is cut.
pub(super) fn check(log: &Path, keep: &Path) -> Result<(), BusError> {
    if !fs::read(log.join("version")).is_ok_and(|version| version.starts_with(KNOWN)) {
        // A new folder, or a format that the database must judge.
        return Ok(());
    }
    let mut journals = journals(log)?;
    let newest = journals.pop();
    for journal in journals {
        let content = read(&journal)?;
        let whole = whole_commits(&content);
        if !is_blank(&content, whole) {
            return Err(damaged(&journal, whole));
        }
    }
    match newest {
        Some(newest) => cut_torn_tail(&newest, keep),
        None => Ok(()),
    }
}

/// The journals, oldest first.
fn journals(log: &Path) -> Result<Vec<PathBuf>, BusError> {
    let mut found = Vec::new();
    for entry in fs::read_dir(log).map_err(unavailable)? {
        let path = entry.map_err(unavailable)?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let Some(number) = number
            && path.extension().is_some_and(|extension| extension == "jnl")
        {
            found.push((number, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn read(journal: &Path) -> Result<Vec<u8>, BusError> {
    let mut content = Vec::new();
    let mut file = File::open(journal).map_err(unavailable)?;
    file.read_to_end(&mut content).map_err(unavailable)?;
    // Space taken in advance holds zeros, and is most of a young journal: it is skipped page by page.
    let blank = content.rchunks(PAGE).take_while(|page| ZEROS.starts_with(page));
    let blank: usize = blank.map(<[u8]>::len).sum();
    content.truncate(content.len() - blank);
    Ok(content)
}

/// Whether nothing but zeros stands from `from` on.
fn is_blank(content: &[u8], from: usize) -> bool {
    let rest = content.get(from..).unwrap_or_default();
    rest.chunks(PAGE).all(|page| ZEROS.starts_with(page))
}

fn cut_torn_tail(journal: &Path, keep: &Path) -> Result<(), BusError> {
    let content = read(journal)?;
    let whole = whole_commits(&content);
    if is_blank(&content, whole) {
        return Ok(());
    }
    // One commit is written at a time: a whole one behind a torn one was acknowledged.
    let later = (whole + 1..content.len()).find(|at| commit(&content, *at).is_some());
    if later.is_some() {
        return Err(damaged(journal, whole));
    }
    let name = journal.file_stem().unwrap_or_default().to_string_lossy();
    let copy = keep.join(format!("torn-{name}-{whole}"));
    fs::write(&copy, content.get(whole..).unwrap_or_default()).map_err(unavailable)?;
    let file = OpenOptions::new().write(true).open(journal).map_err(unavailable)?;
    file.set_len(whole as u64)
        .and_then(|()| file.sync_all())
        .and_then(|()| sync_folder(keep))
        .map_err(unavailable)?;
    warn!(
        journal = %journal.display(), at = whole, bytes = content.len() - whole, copy = %copy.display(),
        "a commit was cut short and never acknowledged; it is cut off"
    );
    Ok(())
}

/// Where the whole commits end, of which each has a greater number than the one before.
fn whole_commits(content: &[u8]) -> usize {
    let (mut at, mut last) = (0, None);
    while let Some(commit) = commit(content, at) {
        if Some(commit.number) <= last {
            break;
        }
        (at, last) = (commit.end, Some(commit.number));
    }
    at
}

/// A whole commit.
struct Commit {
    /// The number that the database gave it.
    number: u64,
    end: usize,
}

/// The commit that begins at `at`, if it is whole.
fn commit(content: &[u8], at: usize) -> Option<Commit> {
    let mut cursor = Cursor { content, at };
    if cursor.byte()? != START {
        return None;
    }
    let count = u32::from_le_bytes(cursor.bytes()?);
    let number = u64::from_le_bytes(cursor.bytes()?);
    let items = cursor.at;
    for _ in 0..count {
        cursor.item()?;
    }
    let written = content.get(items..cursor.at)?;
    if cursor.byte()? != END {
        return None;
    }
    let checksum = u64::from_le_bytes(cursor.bytes()?);
    let trailer = cursor.bytes::<4>()?;
    let end = cursor.at;
    (trailer == TRAILER && checksum == xxh3_64(written)).then_some(Commit { number, end })
}

struct Cursor<'a> {
    content: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn skip(&mut self, count: usize) -> Option<()> {
        self.at = self.at.checked_add(count)?;
        (self.at <= self.content.len()).then_some(())
    }

    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let from = self.at;
        self.skip(N)?;
        self.content.get(from..self.at)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.bytes::<1>().map(|[byte]| byte)
    }

    /// One change: kind and compression, keyspace, length of key and value, length on disk, key, value.
    fn item(&mut self) -> Option<()> {
        match self.byte()? {
            ITEM => {
                self.skip(1 + 1 + 8)?;
                let key = u16::from_le_bytes(self.bytes()?);
                self.skip(4)?;
                let value = u32::from_le_bytes(self.bytes()?);
                self.skip(usize::from(key))?;
                self.skip(usize::try_from(value).ok()?)
            }
            CLEAR => self.skip(8),
            _ => None,
        }
    }
}

fn damaged(journal: &Path, at: usize) -> BusError {
    BusError::Unavailable {
        reason: format!(
            "the journal `{}` is damaged at byte {at}, amid what was acknowledged; nothing was deleted. Restore a \
             copy of the data folder, or move it away to begin with an empty one",
            journal.display()
        ),
    }
}
