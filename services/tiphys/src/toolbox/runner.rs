//! Writes the runner for containers, for an image of one's own that holds it.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::exit::{Code, Failure};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file; there must be none yet
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let runner = tiphys_payload::runner().ok_or_else(|| {
        let why = "this tiphys was built without a static runner: its machine had no static C library";
        Failure::new(Code::Failed, why.to_owned())
    })?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(&args.file)?;
        file.write_all(runner)
    };
    write().with_context(|| format!("{}", args.file.display()))?;
    Ok(())
}
