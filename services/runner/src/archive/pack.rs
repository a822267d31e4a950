//! Packing: sorted, without owners and times, so that equal content makes equal bytes.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use super::Limits;
use crate::durable;

/// The time each entry bears, 2000-01-01: GNU tar warns of earlier ones.
const TIME: u64 = 946_684_800;

/// Packs a file, or a folder with all below it, as `NAME` or `NAME/…` into the file `to`.
///
/// Links are kept as links; sockets, pipes and devices are left out.
///
/// # Errors
/// When something cannot be read, changes meanwhile, or the disk refuses; and when it is more than anybody would
/// unpack again: a file with holes may claim to be larger than any disk.
pub fn pack(path: &Path, to: &Path) -> io::Result<()> {
    pack_with(path, to, Compression::default(), None)
}

/// By this comment in its head a `.tgz` is known that stands for a folder whose artifact is not packed.
const FOLDER: &str = "tiphys folder";

/// Packs a folder that is to be a folder again at the other end, whatever its artifact says of archives.
///
/// # Errors
/// As [`pack`].
pub fn pack_folder(path: &Path, to: &Path) -> io::Result<()> {
    pack_with(path, to, Compression::default(), Some(FOLDER))
}

/// Whether what begins so was made by [`pack_folder`].
#[must_use]
pub fn is_folder(start: &[u8]) -> bool {
    // RFC 1952: two bytes of magic, the method, the flags (bit 4: a comment), six bytes, and here nothing before it.
    let comment = match start {
        [0x1f, 0x8b, 8, 0x10, _, _, _, _, _, _, comment @ ..] => comment,
        _ => return false,
    };
    comment.strip_prefix(FOLDER.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
}

/// The same with a level of gzip, 0 (none) to 9 (smallest); what is above counts as 9.
///
/// # Errors
/// As [`pack`].
pub fn pack_at(path: &Path, to: &Path, level: u32) -> io::Result<()> {
    pack_with(path, to, Compression::new(level.min(9)), None)
}

fn pack_with(path: &Path, to: &Path, level: Compression, comment: Option<&str>) -> io::Result<()> {
    let head = comment.map_or_else(GzBuilder::new, |comment| GzBuilder::new().comment(comment));
    let zip = head.write(BufWriter::new(durable::create(to)?), level);
    let mut tar = Builder::new(zip);
    let name = path.file_name().unwrap_or("artifact".as_ref());
    // Only here a link is followed: it is what the manifest names.
    let mut left = Limits::default().bytes;
    add(&mut tar, path, Path::new(name), &std::fs::metadata(path)?, &mut left)?;
    let buffer = tar.into_inner()?.finish()?;
    buffer.into_inner().map(drop).map_err(io::IntoInnerError::into_error)
}

type Tar = Builder<GzEncoder<BufWriter<File>>>;

fn add(tar: &mut Tar, path: &Path, name: &Path, meta: &Metadata, left: &mut u64) -> io::Result<()> {
    let kind = meta.file_type();
    if kind.is_dir() {
        tar.append_data(&mut header(EntryType::Directory, meta, 0), name, io::empty())?;
        let mut names = std::fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for child in names {
            let below = path.join(&child);
            add(tar, &below, &name.join(&child), &below.symlink_metadata()?, left)?;
        }
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path)?;
        tar.append_link(&mut header(EntryType::Symlink, meta, 0), name, target)?;
    } else if kind.is_file() {
        *left = left.checked_sub(meta.len()).ok_or_else(too_large)?;
        let mut content = Exactly { file: File::open(path)?, left: meta.len() };
        tar.append_data(&mut header(EntryType::Regular, meta, meta.len()), name, &mut content)?;
    }
    Ok(())
}

/// What is said of content beyond the limit.
pub(crate) fn too_large() -> io::Error {
    let limit = Limits::default().bytes >> 30;
    io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit} GiB"))
}

fn header(kind: EntryType, meta: &Metadata, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(meta.permissions().mode() & 0o777);
    header.set_mtime(TIME);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header
}

/// As much of a file as its header announced; an archive with less would be broken.
pub(super) struct Exactly {
    pub(super) file: File,
    pub(super) left: u64,
}

impl Read for Exactly {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = Read::by_ref(&mut self.file).take(self.left).read(buffer)?;
        if count == 0 && self.left > 0 && !buffer.is_empty() {
            return Err(io::Error::other("the file became shorter while it was packed"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}
