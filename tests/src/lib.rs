//! What the tests share: the built binary, a running server, waiting for conditions, servers of others.

pub mod counting;
pub mod local;
pub mod others;
pub mod server;

pub use counting::counting;
pub use local::Local;
pub use server::Server;
pub use tiphys_servers::until;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from).unwrap_or_default()
}

/// The `tiphys` binary, built once per run.
///
/// # Panics
/// When it cannot be built.
#[must_use]
#[expect(clippy::expect_used, reason = "without the binary there is nothing to test")]
pub fn binary() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--locked", "--offline", "--package", "tiphys", "--bin", "tiphys"])
            .current_dir(root())
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the binary could not be built");
        let test = std::env::current_exe().expect("a test has a path");
        // target/debug/deps/e2e-… stands beside target/debug/tiphys.
        let folder = test.ancestors().nth(2).expect("a test stands in a target folder");
        folder.join("tiphys")
    })
}
