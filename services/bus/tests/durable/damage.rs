//! Damage: what a loss of power may do to the last commit is mended; what it cannot have done keeps the
//! folder closed. Nothing is lost in silence, and nothing appears that nobody wrote.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tiphys_bus::{BusError, Publish};

use crate::{open, texts, try_open};

/// A folder as a crash leaves it: with the messages `1` to `5`, and how long its journal was before the
/// last of them was written.
struct Crashed {
    folder: TempDir,
    before_last: usize,
    /// The mark as it stood when the last message was not yet acknowledged.
    old_mark: Vec<u8>,
}

async fn crashed() -> Crashed {
    let live = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let bus = open(live.path()).await;
    for text in ["1", "2", "3", "4"] {
        // Long enough that a commit has pages of its own.
        bus.publish(Publish::new("t.a", long(text))).await.unwrap();
    }
    let before_last = journal_of(live.path()).1.len();
    let old_mark = fs::read(live.path().join("mark")).unwrap();
    bus.publish(Publish::new("t.a", long("5"))).await.unwrap();
    // As it lies on the disk, while the bus is still up.
    copy(live.path(), folder.path());
    bus.close().await;
    Crashed { folder, before_last, old_mark }
}

fn long(text: &str) -> String {
    text.repeat(3000)
}

fn expected(count: usize) -> Vec<String> {
    ["1", "2", "3", "4", "5"].iter().take(count).map(|t| long(t)).collect()
}

/// The newest journal and what is written in it.
fn journal_of(folder: &Path) -> (PathBuf, Vec<u8>) {
    let files = fs::read_dir(folder.join("log")).unwrap();
    let journals =
        files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "jnl"));
    let newest = journals.max().unwrap();
    let mut content = fs::read(&newest).unwrap();
    let written = content.iter().rposition(|byte| *byte != 0).unwrap();
    content.truncate(written + 1);
    (newest, content)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

impl Crashed {
    /// A copy whose journal is what `change` makes of it.
    fn with(&self, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        copy(self.folder.path(), folder.path());
        let (path, mut content) = journal_of(folder.path());
        change(&mut content);
        fs::write(path, content).unwrap();
        folder
    }

    /// The same, as if the last message had never been acknowledged.
    fn unacknowledged(&self, change: impl FnOnce(&mut Vec<u8>)) -> TempDir {
        let folder = self.with(change);
        fs::write(folder.path().join("mark"), &self.old_mark).unwrap();
        folder
    }
}

/// The folder opens with so many messages, takes another, and has it after the next start.
async fn opens_with(folder: &Path, count: usize) {
    let bus = open(folder).await;
    assert_eq!(texts(&*bus).await, expected(count));
    bus.publish(Publish::new("t.a", "next")).await.unwrap();
    bus.close().await;
    let bus = open(folder).await;
    let mut all = expected(count);
    all.push("next".into());
    assert_eq!(texts(&*bus).await, all);
    bus.close().await;
}

fn refuses(folder: &Path, says: &str) {
    let refused = try_open(folder).err().unwrap();
    assert!(matches!(refused, BusError::Unavailable { .. }), "{refused}");
    assert!(refused.to_string().contains(says), "{refused}");
}

#[tokio::test]
async fn a_crash_leaves_all() {
    let crashed = crashed().await;
    opens_with(crashed.with(|_| {}).path(), 5).await;
}

#[tokio::test]
async fn a_torn_commit_goes_and_nothing_else() {
    let crashed = crashed().await;
    let start = crashed.before_last;
    let end = journal_of(crashed.folder.path()).1.len();
    // Cut short anywhere.
    for cut in [start + 1, start + 13, start + 14, start + 40, start + 200, end - 5, end - 1] {
        let folder = crashed.unacknowledged(|journal| journal.truncate(cut));
        opens_with(folder.path(), 4).await;
    }
    // A page of it never came to the disk, though later ones did.
    for hole in [start..start + 10, start + 20..start + 60, end - 60..end - 12] {
        let folder = crashed.unacknowledged(|journal| journal[hole].fill(0));
        opens_with(folder.path(), 4).await;
    }
    // Half a commit, and behind it what stood on the disk before.
    let folder = crashed.with(|journal| {
        let half = journal[start..start + 100].to_vec();
        journal.extend(half);
        journal.extend([0x5A; 300]);
    });
    opens_with(folder.path(), 5).await;
    let torn = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name());
    let torn = torn.filter(|name| name.to_string_lossy().starts_with("torn-"));
    assert_eq!(torn.count(), 1, "what is cut is kept aside");
}

#[tokio::test]
async fn an_acknowledged_commit_is_missed() {
    let crashed = crashed().await;
    let start = crashed.before_last;
    let folder = crashed.with(|journal| journal.truncate(start + 50));
    refuses(folder.path(), "commit 6 was acknowledged, and only 5 are there");
    // The operator's word.
    fs::remove_file(folder.path().join("mark")).unwrap();
    opens_with(folder.path(), 4).await;
    let folder = crashed.with(|journal| journal.truncate(start));
    refuses(folder.path(), "acknowledged");
    let folder = crashed.with(|journal| journal[start + 50] ^= 1);
    refuses(folder.path(), "acknowledged");
}

#[tokio::test]
async fn damage_in_the_midst_keeps_the_folder_closed() {
    let crashed = crashed().await;
    let start = crashed.before_last;
    for at in [start / 2, start - 30, 5] {
        let folder = crashed.with(|journal| journal[at] ^= 0x10);
        let before = journal_of(folder.path()).1;
        refuses(folder.path(), "is damaged at byte");
        assert_eq!(journal_of(folder.path()).1, before, "nothing is thrown away");
    }
}

/// A database that cannot be read closes the folder, says what to do, and is left as it is. Where the damage is in
/// what nobody reads any more, all is there.
#[tokio::test]
async fn a_damaged_database_keeps_the_folder_closed() {
    let crashed = crashed().await;
    let mut refused = 0;
    for file in files(&crashed.folder.path().join("log/keyspaces")) {
        let folder = crashed.with(|_| {});
        let copied = folder.path().join(file.strip_prefix(crashed.folder.path()).unwrap());
        let mut content = fs::read(&copied).unwrap();
        let middle = content.len() / 2;
        content[middle] ^= 0x10;
        fs::write(&copied, &content).unwrap();
        if let Ok(bus) = try_open(folder.path()) {
            assert_eq!(texts(&*bus).await, expected(5), "{}", file.display());
            bus.close().await;
            continue;
        }
        refused += 1;
        refuses(folder.path(), "move it away to begin with an empty one");
        refuses(folder.path(), &folder.path().display().to_string());
        assert_eq!(fs::read(&copied).unwrap(), content, "nothing is thrown away");
    }
    assert!(refused > 3, "the newest version of each table is checked when it is opened");
}

/// The files in a folder and in those below it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_change_of_journals_loses_nothing() {
    let live = tempfile::tempdir().unwrap();
    let bus = open(live.path()).await;
    // A journal changes by its size on disk: what could be compressed would not fill it.
    let mut noise = 1u64;
    let mebibyte = Vec::from_iter((0..1 << 20).map(|_| {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.to_be_bytes()[0]
    }));
    let first = journal_of(live.path()).0;
    let messages = (0..80).map(|number| {
        let message = Publish::new("t.a", mebibyte.clone());
        bus.publish(message.id(number.to_string()))
    });
    for outcome in futures::future::join_all(messages).await {
        outcome.unwrap();
    }
    assert_ne!(journal_of(live.path()).0, first, "the database began no other journal");
    bus.close().await;
    let bus = open(live.path()).await;
    assert_eq!(bus.info("T").await.unwrap().messages, 80);
    for message in bus.read("T", "", 0, 100).await.unwrap() {
        assert_eq!(message.payload, mebibyte);
    }
    let again = bus.publish(Publish::new("t.a", "x").id("7")).await.unwrap();
    assert_eq!((again.sequence, again.duplicate), (8, true));
    bus.close().await;
}
