//! Links in a folder that came from elsewhere.

use std::io;
use std::path::Path;

use super::unpack::{Refused, refuse, stays_inside};

/// Refuses a folder with a link that leads out of it: whoever is given the folder would find there what is not
/// meant for it.
///
/// # Errors
/// Names the link; or when the folder cannot be read.
pub fn check_links(folder: &Path) -> Result<(), Refused> {
    below(folder, Path::new(""))
}

fn below(root: &Path, within: &Path) -> Result<(), Refused> {
    for entry in std::fs::read_dir(root.join(within))? {
        let entry = entry?;
        let path = within.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            below(root, &path)?;
        } else if kind.is_symlink() {
            let target = std::fs::read_link(entry.path())?;
            if !stays_inside(&path, &target) {
                return Err(refuse(&path, "the link leads outside"));
            }
        } else if !kind.is_file() {
            return Err(io::Error::other(format!("{} is no file", path.display())).into());
        }
    }
    Ok(())
}
