//! The `tiphys` binary, built as this bench was.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, ensure};

/// Builds the binary, once, beside this one.
pub(crate) fn tiphys() -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    if let Some(built) = BUILT.get() {
        return Ok(built.clone());
    }
    let own = std::env::current_exe()?;
    let profile = own.parent().context("the bench stands in a folder")?;
    let target = profile.parent().unwrap_or(profile);
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--locked", "--package", "tiphys", "--bin", "tiphys"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(tiphys_tests::root());
    if profile.file_name() == Some("release".as_ref()) {
        cargo.arg("--release");
    }
    ensure!(cargo.status()?.success(), "`tiphys` could not be built");
    let built = profile.join("tiphys");
    ensure!(built.is_file(), "{} is missing", built.display());
    Ok(BUILT.get_or_init(|| built).clone())
}

/// Seconds of processor time that a process has had.
pub(crate) fn processor(pid: u32) -> anyhow::Result<f64> {
    processor_of(&Path::new("/proc").join(pid.to_string()))
}

/// The same of a process or thread, by its folder in /proc.
pub(crate) fn processor_of(folder: &Path) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(folder.join("stat"))?;
    // Behind the name, which may hold anything, are the state and ten numbers, then that of the program and of the kernel.
    let numbers = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
    let ticks = numbers.map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / rustix::param::clock_ticks_per_second() as f64)
}

/// How much memory a process holds, in MiB.
pub(crate) fn resident(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "VmRSS:")
}

/// How much of it is its own, and no page of a file, in MiB.
pub(crate) fn anonymous(pid: u32) -> anyhow::Result<f64> {
    memory(pid, "RssAnon:")
}

fn memory(pid: u32, name: &'static str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    let kib: f64 = number.context(name)?.parse()?;
    Ok(kib / 1024.0)
}
