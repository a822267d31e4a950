//! Input artifacts, placed where the step looks for them. In a container the runner does it itself: only there is the
//! step's file system.

use std::fs::{self, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use crate::archive::{self, Limits};
use crate::spec::{Archive, Input};

/// Folder of the contents, each named by its number.
pub const FOLDER: &str = "inputs";

/// Places all, outer paths first. Errors are messages for the user.
pub(crate) fn place(dir: &Path, inputs: &[Input]) -> Result<(), String> {
    let mut inputs: Vec<_> = inputs.iter().enumerate().collect();
    inputs.sort_by_key(|(_, input)| &input.path);
    for (number, input) in inputs {
        let content = dir.join(FOLDER).join(number.to_string());
        if input.optional && !content.exists() {
            continue;
        }
        one(&content, input).map_err(|why| format!("input artifact {}: {why}", input.name))?;
        // It may be large, and is needed no more.
        let _ = fs::remove_file(content);
    }
    Ok(())
}

fn one(content: &Path, input: &Input) -> Result<(), String> {
    let disk = |error: io::Error| format!("{}: {error}", input.path.display());
    let parent = input.path.parent().unwrap_or_else(|| Path::new("/"));
    fs::create_dir_all(parent).map_err(disk)?;
    if content.is_dir() {
        let whole = within(content, input.sub_path.as_deref())?;
        put(&whole, &input.path).map_err(disk)?;
    } else {
        let scratch = parent.join(format!(".tiphys-{}", std::process::id()));
        let placed = file(content, input, &scratch);
        let _ = fs::remove_dir_all(&scratch);
        placed?;
    }
    if let Some(mode) = input.mode {
        fs::set_permissions(&input.path, Permissions::from_mode(mode & 0o777)).map_err(disk)?;
    }
    Ok(())
}

/// Places what came as one file, unpacked if it is packed: what claims to be and is not is taken as it is, as Argo does.
fn file(content: &Path, input: &Input, scratch: &Path) -> Result<(), String> {
    let disk = |error: io::Error| format!("{}: {error}", input.path.display());
    let read = || fs::File::open(content).map_err(|error| format!("its content did not arrive: {error}"));
    let mut start = Vec::with_capacity(64);
    read()?.take(64).read_to_end(&mut start).map_err(disk)?;
    let is_zip = start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06");
    // A folder comes packed also where its artifact is not.
    let archive = if archive::is_folder(&start) { Archive::Tar } else { input.archive };
    let unpacked = match archive {
        Archive::Tar | Archive::TarLevel(_) if start.starts_with(&[0x1f, 0x8b]) => {
            fs::create_dir(scratch).map_err(disk)?;
            archive::unpack(read()?, scratch, Limits::default())
        }
        Archive::Zip if is_zip => {
            fs::create_dir(scratch).map_err(disk)?;
            archive::unzip(read()?, scratch, Limits::default())
        }
        _ => {
            if let Some(sub_path) = &input.sub_path {
                return Err(format!("it is a single file and has no part {sub_path}"));
            }
            let mut place = fs::File::create(&input.path).map_err(disk)?;
            return io::copy(&mut read()?, &mut place).map(|_| ()).map_err(disk);
        }
    };
    unpacked.map_err(|refused| refused.to_string())?;
    let top = within(&top(scratch).map_err(disk)?, input.sub_path.as_deref())?;
    put(&top, &input.path).map_err(disk)
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
fn within(top: &Path, sub_path: Option<&str>) -> Result<PathBuf, String> {
    let mut path = top.to_owned();
    for part in sub_path.into_iter().flat_map(|sub_path| Path::new(sub_path).components()) {
        let missing = || format!("it has no part {}", sub_path.unwrap_or_default());
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
