//! The same as `.zip`.

use std::fs::{File, Metadata, Permissions};
use std::io::{self, BufReader, BufWriter, Read, Seek};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use zip::result::ZipError;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::pack::{Exactly, too_large};
use super::unpack::{
    Limits, Refused, SMALL, folders, fresh, inside, make_links, parents, refuse, stays_inside,
};
use crate::durable;

/// The target of a link may be no longer.
const LONGEST_TARGET: u64 = 4096;
/// From this size on an entry needs the larger format.
const LARGE: u64 = 0xffff_0000;

/// Packs a file, or a folder with all below it, as `NAME` or `NAME/…` into the file `to`.
///
/// # Errors
/// As [`super::pack`]; also for a name that is not UTF-8, which a zip cannot hold.
pub fn zip(path: &Path, to: &Path) -> io::Result<()> {
    let mut zip = ZipWriter::new(BufWriter::new(durable::create(to)?));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("artifact");
    let mut left = Limits::default().bytes;
    // Only here a link is followed: it is what the manifest names.
    add(&mut zip, path, name, &std::fs::metadata(path)?, &mut left)?;
    let buffer = zip.finish()?;
    buffer.into_inner().map(drop).map_err(io::IntoInnerError::into_error)
}

type Zip = ZipWriter<BufWriter<File>>;

fn add(zip: &mut Zip, path: &Path, name: &str, meta: &Metadata, left: &mut u64) -> io::Result<()> {
    let kind = meta.file_type();
    // Without a time of its own each entry bears 1980-01-01, so that equal content makes equal bytes.
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .unix_permissions(meta.permissions().mode() & 0o777)
        .last_modified_time(zip::DateTime::default())
        .large_file(meta.len() >= LARGE);
    if kind.is_dir() {
        zip.add_directory(name, options)?;
        let mut names = std::fs::read_dir(path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for child in names {
            let below = path.join(&child);
            let child = child.to_str().ok_or_else(|| {
                io::Error::other(format!("the name {} is not UTF-8; use archive tar", below.display()))
            })?;
            add(zip, &below, &format!("{name}/{child}"), &below.symlink_metadata()?, left)?;
        }
    } else if kind.is_symlink() {
        let target = std::fs::read_link(path)?;
        zip.add_symlink(name, target.to_string_lossy(), options)?;
    } else if kind.is_file() {
        *left = left.checked_sub(meta.len()).ok_or_else(too_large)?;
        zip.start_file(name, options)?;
        let mut content = Exactly { file: File::open(path)?, left: meta.len() };
        io::copy(&mut content, zip)?;
    }
    Ok(())
}

/// Unpacks a `.zip` into the folder `into`, which must be new and nobody else's. As safe as [`super::unpack`].
///
/// # Errors
/// When the archive is broken, unsafe or too large, or the disk refuses; `into` then holds a part of it.
pub fn unzip(archive: impl Read + Seek, into: &Path, limits: Limits) -> Result<(), Refused> {
    let mut archive = ZipArchive::new(BufReader::new(archive)).map_err(broken)?;
    if archive.len() as u64 > limits.entries {
        return Err(Refused::TooLarge("it has too many entries"));
    }
    let mut links = Vec::new();
    let mut total = Total { limits, before: 0, after: 0 };
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(broken)?;
        let name = PathBuf::from(entry.name().map_err(broken)?.as_ref());
        let Some(path) = inside(&name)? else { continue };
        let (place, mode) = (into.join(&path), entry.unix_mode());
        if entry.is_dir() {
            folders(into, &path)?;
            std::fs::set_permissions(&place, Permissions::from_mode(mode.unwrap_or(0o755) & 0o777 | 0o700))?;
        } else if entry.is_symlink() {
            let mut target = String::new();
            (&mut entry).take(LONGEST_TARGET).read_to_string(&mut target)?;
            let target = PathBuf::from(target);
            if !stays_inside(&path, &target) {
                return Err(refuse(&path, "the link leads outside"));
            }
            links.push((path, target));
        } else if entry.is_file() {
            parents(into, &path)?;
            let mut file = fresh(&place, &path)?;
            total.before += entry.compressed_size();
            total.copy(&mut entry, &mut file)?;
            file.set_permissions(Permissions::from_mode(mode.unwrap_or(0o644) & 0o777 | 0o600))?;
        } else {
            return Err(refuse(&path, "only files, folders and links are accepted"));
        }
    }
    make_links(into, links)
}

/// What was unpacked so far.
struct Total {
    limits: Limits,
    before: u64,
    after: u64,
}

impl Total {
    /// Copies an entry; its announced size is not believed.
    fn copy(&mut self, from: &mut impl Read, to: &mut File) -> Result<(), Refused> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.after += count as u64;
            if self.after > self.limits.bytes {
                return Err(Refused::TooLarge("it holds too many bytes"));
            }
            if self.after > SMALL && self.after / self.limits.ratio > self.before {
                return Err(Refused::TooLarge("it grows too much when it is unpacked"));
            }
            io::Write::write_all(to, buffer.get(..count).unwrap_or_default())?;
        }
    }
}

fn broken(error: ZipError) -> Refused {
    Refused::Io(error.into())
}
