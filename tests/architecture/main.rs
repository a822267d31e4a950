//! The invariants of ARCHITECTURE.md that a machine can hold: who may depend on whom, how long files and
//! functions are, what is never called.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod dependencies;
mod source;

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate is below the root").to_owned()
}
