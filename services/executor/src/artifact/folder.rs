//! Folders of files, as stores of objects see them: a list of names with contents.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tiphys_runner::archive::Limits;

/// One file of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Relative to the folder, with slashes.
    pub(super) name: String,
    /// The file.
    pub(super) path: PathBuf,
}

/// The plain files below a folder, in order. Links and what is no file are left out.
pub(super) fn files(folder: &Path) -> io::Result<Vec<Entry>> {
    let mut found = Vec::new();
    add(folder, "", &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn add(folder: &Path, within: &str, found: &mut Vec<Entry>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        let name = entry.file_name();
        let name = name.to_str().ok_or_else(|| {
            io::Error::other(format!("the name {} is not UTF-8; use an archive", entry.path().display()))
        })?;
        let name = if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") };
        if kind.is_dir() {
            add(&entry.path(), &name, found)?;
        } else if kind.is_file() {
            if found.len() as u64 >= Limits::default().entries {
                return Err(io::Error::other("the folder has too many files; use an archive"));
            }
            found.push(Entry { name, path: entry.path() });
        }
    }
    Ok(())
}

/// Bytes and SHA-256 of a file, or of a folder: there the digest is that of the list `SHA-256  NAME`.
pub(super) fn measure(path: &Path) -> io::Result<(u64, String)> {
    if !path.is_dir() {
        return measure_file(&mut File::open(path)?);
    }
    let mut total = Total::default();
    for entry in files(path)? {
        let (size, sum) = measure_file(&mut File::open(&entry.path)?)?;
        total.add(&entry.name, size, &sum);
    }
    Ok(total.finish())
}

/// Adds up the files of a folder.
#[derive(Default)]
pub(super) struct Total {
    size: u64,
    hash: Sha256,
}

impl Total {
    pub(super) fn add(&mut self, name: &str, size: u64, sha256: &str) {
        self.size += size;
        self.hash.update(format!("{sha256}  {name}\n"));
    }

    pub(super) fn finish(self) -> (u64, String) {
        (self.size, hex::encode(self.hash.finalize()))
    }
}

pub(super) fn measure_file(content: &mut File) -> io::Result<(u64, String)> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 128 * 1024];
    let mut size = 0;
    loop {
        let count = content.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, hex::encode(hash.finalize())));
        }
        size += count as u64;
        hash.update(buffer.get(..count).unwrap_or_default());
    }
}
