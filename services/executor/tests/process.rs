//! The process launcher with real processes. The runner is this test program, started again.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "process/artifact.rs"]
mod artifact;
#[path = "process/life.rs"]
mod life;
#[path = "process/recovery.rs"]
mod recovery;
#[path = "process/shared.rs"]
mod shared;
#[path = "process/step.rs"]
mod step;
#[path = "process/support.rs"]
mod support;

/// Not a test: what the launcher spawns as runner. The folder is the last argument.
#[test]
fn be_the_runner() {
    let dir = std::env::args().next_back().unwrap();
    if dir.starts_with('/') && std::env::args().any(|argument| argument == "be_the_runner") {
        std::process::exit(tiphys_runner::main(std::path::Path::new(&dir)));
    }
}
