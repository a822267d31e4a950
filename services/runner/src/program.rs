//! Where a program is, looked up in a container as a shell would.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What execvp takes where there is no PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The file of a program. Errors are messages for the user.
pub(crate) fn find(name: &Path, path: Option<&str>, work: &Path) -> Result<PathBuf, String> {
    let runnable = |path: &Path| {
        path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    if name.as_os_str().as_encoded_bytes().contains(&b'/') {
        let place = work.join(name);
        return if runnable(&place) {
            Ok(place)
        } else {
            Err(format!("there is no program {} in the image", name.display()))
        };
    }
    let path = path.filter(|path| !path.is_empty()).unwrap_or(PATH);
    let mut places = path.split(':').map(|folder| work.join(folder).join(name));
    places
        .find(|place| runnable(place))
        .ok_or_else(|| format!("program {} is not in the image (PATH is {path})", name.display()))
}
