//! Input artifacts, placed where the step looks for them. In a container the runner does it itself: only there is the
//! step's file system. For a process its launcher does, before the runner starts.

use std::fs::{self, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::archive::{self, Limits};
use crate::spec::{Archive, Input};

/// Folder of the contents, each named by its number.
pub const FOLDER: &str = "inputs";

/// Why an input cannot be placed.
#[derive(Debug, Error)]
pub enum NotPlaced {
    /// It is not what it should be, however often it is tried.
    #[error("input artifact {name}: {why}")]
    Unfit {
        /// The artifact's name.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The disk refuses.
    #[error("input artifact {name}: {}: {error}", path.display())]
    Disk {
        /// The artifact's name.
        name: String,
        /// Where it belongs.
        path: PathBuf,
        /// What the disk says.
        error: io::Error,
    },
}

/// Why one cannot be placed, before its name is told.
enum Trouble {
    Unfit(String),
    Disk(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Trouble {
    fn of(self, input: &Input) -> NotPlaced {
        let name = input.name.clone();
        match self {
            Self::Unfit(why) => NotPlaced::Unfit { name, why },
            Self::Disk(error) => NotPlaced::Disk { name, path: input.path.clone(), error },
        }
    }
}

/// Places all, outer paths first; their contents lie in the folder [`FOLDER`] of `dir`, and go.
///
/// # Errors
/// When one of them is not what it should be, or the disk refuses.
pub fn place(dir: &Path, inputs: &[Input]) -> Result<(), NotPlaced> {
    let mut inputs: Vec<_> = inputs.iter().enumerate().collect();
    inputs.sort_by_key(|(_, input)| &input.path);
    for (number, input) in inputs {
        let content = dir.join(FOLDER).join(number.to_string());
        if input.optional && !content.exists() {
            continue;
        }
        one(&content, input).map_err(|trouble| trouble.of(input))?;
        // It may be large, and is needed no more.
        let _ = fs::remove_file(content);
    }
    Ok(())
}

fn one(content: &Path, input: &Input) -> Result<(), Trouble> {
    let parent = input.path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(parent)?;
    if content.is_dir() {
        let whole = within(content, input.sub_path.as_deref())?;
        put(&whole, &input.path)?;
    } else {
        let scratch = parent.join(format!(".tiphys-{}", std::process::id()));
        let placed = file(content, input, &scratch);
        let _ = fs::remove_dir_all(&scratch);
        placed?;
    }
    if let Some(mode) = input.mode {
        fs::set_permissions(&input.path, Permissions::from_mode(mode & 0o777))?;
    }
    Ok(())
}

/// Places what came as one file, unpacked if it is packed: what claims to be and is not is taken as it is, as Argo does.
fn file(content: &Path, input: &Input, scratch: &Path) -> Result<(), Trouble> {
    let read = || {
        let missing = |error| Trouble::Unfit(format!("its content did not arrive: {error}"));
        fs::File::open(content).map_err(missing)
    };
    let mut start = Vec::with_capacity(64);
    read()?.take(64).read_to_end(&mut start)?;
    let is_zip = start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06");
    // A folder comes packed also where its artifact is not.
    let archive = if archive::is_folder(&start) { Archive::Tar } else { input.archive };
    let unpacked = match archive {
        Archive::Tar | Archive::TarLevel(_) if start.starts_with(&[0x1f, 0x8b]) => {
            fs::create_dir(scratch)?;
            archive::unpack(read()?, scratch, Limits::default())
        }
        Archive::Zip if is_zip => {
            fs::create_dir(scratch)?;
            archive::unzip(read()?, scratch, Limits::default())
        }
        _ => {
            if let Some(sub_path) = &input.sub_path {
                return Err(Trouble::Unfit(format!("it is a single file and has no part {sub_path}")));
            }
            return Ok(single(content, &input.path)?);
        }
    };
    unpacked.map_err(|refused| Trouble::Unfit(refused.to_string()))?;
    let top = within(&top(scratch)?, input.sub_path.as_deref())?;
    Ok(put(&top, &input.path)?)
}

/// Moves a file to its place. One that somebody else put here is copied, so that the step may write to it.
fn single(content: &Path, place: &Path) -> io::Result<()> {
    let is_own = content.metadata()?.uid() == rustix::process::geteuid().as_raw();
    if is_own && fs::rename(content, place).is_ok() {
        return Ok(());
    }
    io::copy(&mut fs::File::open(content)?, &mut fs::File::create(place)?).map(drop)
}

/// Moves what was unpacked to its place. A folder that is there already, as a volume is, takes the parts.
fn put(top: &Path, place: &Path) -> io::Result<()> {
    if !(place.is_dir() && top.is_dir()) {
        return match fs::rename(top, place) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(top, place),
            other => other,
        };
    }
    for entry in fs::read_dir(top)? {
        let entry = entry?;
        let to = place.join(entry.file_name());
        match fs::rename(entry.path(), &to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy(&entry.path(), &to)?,
            other => other?,
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let meta = from.symlink_metadata()?;
    if meta.is_symlink() {
        return std::os::unix::fs::symlink(fs::read_link(from)?, to);
    }
    if !meta.is_dir() {
        return fs::copy(from, to).map(|_| ());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, meta.permissions())
}

/// An archive with one thing at its top stands for that thing, any other for the folder.
fn top(scratch: &Path) -> io::Result<PathBuf> {
    let mut entries = fs::read_dir(scratch)?;
    match (entries.next(), entries.next()) {
        (Some(only), None) => Ok(only?.path()),
        _ => Ok(scratch.to_owned()),
    }
}

/// A part of an unpacked artifact; links on the way to it are not followed.
fn within(top: &Path, sub_path: Option<&str>) -> Result<PathBuf, Trouble> {
    let mut path = top.to_owned();
    for part in sub_path.into_iter().flat_map(|sub_path| Path::new(sub_path).components()) {
        let missing = || Trouble::Unfit(format!("it has no part {}", sub_path.unwrap_or_default()));
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => continue,
            _ => return Err(missing()),
        }
        match path.symlink_metadata() {
            Ok(meta) if !meta.is_symlink() => {}
            _ => return Err(missing()),
        }
    }
    Ok(path)
}
