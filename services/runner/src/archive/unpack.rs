//! Unpacking, without trust.
//!
//! Nothing leaves the folder, whatever the archive says: names with `..` or a root are refused, and links are
//! made last, so no entry is ever written through one. A link's target may climb only at its beginning and not
//! above the folder, so that following it, and any link behind it, stays inside too.

use std::cell::Cell;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use flate2::read::MultiGzDecoder;
use tar::{Archive, Entry, EntryType};

/// What an archive may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Bytes after decompression.
    pub bytes: u64,
    /// Bytes after decompression per byte before it; small archives are not held to it.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { entries: 100_000, bytes: 10 << 30, ratio: 200 }
    }
}

/// Below this many bytes the ratio does not matter.
pub(super) const SMALL: u64 = 16 << 20;
/// Headers of one entry, long names included, may not be larger: they are held in memory.
const HEADERS: u64 = 1 << 20;

/// Why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It tries something.
    #[error("the archive is not safe to unpack: {name}: {why}")]
    Unsafe {
        /// The entry.
        name: String,
        /// What about it.
        why: &'static str,
    },
    /// It costs too much.
    #[error("the archive is too large: {0}")]
    TooLarge(&'static str),
    /// It cannot be read, or the disk refuses.
    #[error("the archive could not be unpacked: {0}")]
    Io(#[from] io::Error),
}

/// Unpacks a `.tgz` into the folder `into`, which must be new and nobody else's.
///
/// # Errors
/// When the archive is broken, unsafe or too large, or the disk refuses; `into` then holds a part of it.
pub fn unpack(compressed: impl Read, into: &Path, limits: Limits) -> Result<(), Refused> {
    let meter = Rc::new(Meter::new(limits));
    let zip = MultiGzDecoder::new(Counted(compressed, Rc::clone(&meter)));
    let mut archive = Archive::new(Metered(zip, Rc::clone(&meter)));
    let outcome = each_entry(&mut archive, into, limits, &meter);
    match (outcome, meter.exceeded.get()) {
        (Err(_), Some(what)) => Err(Refused::TooLarge(what)),
        (outcome, _) => outcome,
    }
}

fn each_entry(
    archive: &mut Archive<impl Read>,
    into: &Path,
    limits: Limits,
    meter: &Meter,
) -> Result<(), Refused> {
    let mut links = Vec::new();
    let mut entries = archive.entries()?;
    let mut count = 0;
    loop {
        meter.allow(HEADERS);
        let Some(entry) = entries.next() else { break };
        meter.allow(u64::MAX);
        count += 1;
        if count > limits.entries {
            return Err(Refused::TooLarge("it has too many entries"));
        }
        one_entry(entry?, into, &mut links)?;
    }
    make_links(into, links)
}

/// Links are made last, so that nothing is written through one.
pub(super) fn make_links(into: &Path, links: Vec<(PathBuf, PathBuf)>) -> Result<(), Refused> {
    for (path, target) in links {
        parents(into, &path)?;
        let place = into.join(&path);
        match symlink(target, place) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(refuse(&path, "two entries have this name"));
            }
            other => other?,
        }
    }
    Ok(())
}

fn one_entry(
    mut entry: Entry<'_, impl Read>,
    into: &Path,
    links: &mut Vec<(PathBuf, PathBuf)>,
) -> Result<(), Refused> {
    let Some(path) = inside(&entry.path()?)? else {
        return Ok(());
    };
    let mode = entry.header().mode()? & 0o777;
    let place = into.join(&path);
    match entry.header().entry_type() {
        EntryType::Directory => {
            folders(into, &path)?;
            std::fs::set_permissions(&place, Permissions::from_mode(mode | 0o700))?;
        }
        EntryType::Regular | EntryType::Continuous => {
            parents(into, &path)?;
            let mut file = fresh(&place, &path)?;
            if io::copy(&mut entry, &mut file)? != entry.size() {
                return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
            }
            file.set_permissions(Permissions::from_mode(mode | 0o600))?;
        }
        EntryType::Symlink => {
            let target = target(&entry, &path)?;
            if !stays_inside(&path, &target) {
                return Err(refuse(&path, "the link leads outside"));
            }
            links.push((path, target));
        }
        EntryType::Link => {
            let Some(target) = inside(&target(&entry, &path)?)? else {
                return Err(refuse(&path, "the hard link leads nowhere"));
            };
            let from = into.join(target);
            if !from.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
                return Err(refuse(&path, "the hard link names no file of the archive"));
            }
            parents(into, &path)?;
            std::fs::hard_link(from, &place)?;
        }
        EntryType::XGlobalHeader => {}
        _ => return Err(refuse(&path, "only files, folders and links are accepted")),
    }
    Ok(())
}

fn target(entry: &Entry<'_, impl Read>, path: &Path) -> Result<PathBuf, Refused> {
    match entry.link_name()? {
        Some(target) => Ok(target.into_owned()),
        None => Err(refuse(path, "the link has no target")),
    }
}

/// The name below the folder; nothing for the folder itself.
pub(super) fn inside(name: &Path) -> Result<Option<PathBuf>, Refused> {
    let mut path = PathBuf::new();
    for component in name.components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(refuse(name, "the name leads outside")),
        }
    }
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

/// Whether a link at `path` stays within the folder, also when its target passes through other such links.
pub(super) fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    let mut climbing = true;
    for component in target.components() {
        match component {
            Component::Normal(_) => climbing = false,
            Component::CurDir => {}
            Component::ParentDir if climbing && depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    true
}

/// Creates the folders above `path`.
pub(super) fn parents(into: &Path, path: &Path) -> Result<(), Refused> {
    path.parent().map_or(Ok(()), |parent| folders(into, parent))
}

/// Creates the folder `path` and those above it, each a real one.
pub(super) fn folders(into: &Path, path: &Path) -> Result<(), Refused> {
    let mut folder = into.to_path_buf();
    for part in path.components() {
        folder.push(part);
        match DirBuilder::new().mode(0o755).create(&folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                if !folder.symlink_metadata()?.is_dir() {
                    return Err(refuse(path, "a file stands where a folder is needed"));
                }
            }
            other => other?,
        }
    }
    Ok(())
}

/// A new file; an entry of the same name is replaced, as tar does.
pub(super) fn fresh(place: &Path, path: &Path) -> Result<File, Refused> {
    match place.symlink_metadata() {
        Ok(meta) if meta.is_dir() => return Err(refuse(path, "a folder has this name")),
        Ok(_) => std::fs::remove_file(place)?,
        Err(_) => {}
    }
    Ok(OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?)
}

pub(super) fn refuse(name: &Path, why: &'static str) -> Refused {
    Refused::Unsafe { name: name.display().to_string(), why }
}

/// Counts both sides of the decompression.
struct Meter {
    limits: Limits,
    before: Cell<u64>,
    after: Cell<u64>,
    allowance: Cell<u64>,
    exceeded: Cell<Option<&'static str>>,
}

impl Meter {
    const fn new(limits: Limits) -> Self {
        Self {
            limits,
            before: Cell::new(0),
            after: Cell::new(0),
            allowance: Cell::new(HEADERS),
            exceeded: Cell::new(None),
        }
    }

    /// How much may be read until this is called again.
    fn allow(&self, bytes: u64) {
        self.allowance.set(bytes);
    }

    fn charge(&self, bytes: u64) -> io::Result<()> {
        self.after.set(self.after.get().saturating_add(bytes));
        let (after, allowance) = (self.after.get(), self.allowance.get());
        self.allowance.set(allowance.saturating_sub(bytes));
        let exceeded = if bytes > allowance {
            "an entry has too large a header"
        } else if after > self.limits.bytes {
            "it holds too many bytes"
        } else if after > SMALL && after / self.limits.ratio > self.before.get() {
            "it grows too much when it is unpacked"
        } else {
            return Ok(());
        };
        self.exceeded.set(Some(exceeded));
        Err(io::Error::other(exceeded))
    }
}

/// The side before decompression.
struct Counted<R>(R, Rc<Meter>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.before.set(self.1.before.get() + count as u64);
        Ok(count)
    }
}

/// The side after it.
struct Metered<R>(R, Rc<Meter>);

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.charge(count as u64)?;
        Ok(count)
    }
}
