//! Builds `tiphys-runner` once more, with the C library in it: it must run in any image, also in one that holds nothing
//! else. It has a target folder of its own, as this build holds the other one's lock.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let services = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("..");
    let runner = services.join("runner");
    for source in ["src", "Cargo.toml"] {
        println!("cargo::rerun-if-changed={}", runner.join(source).display());
    }
    println!("cargo::rerun-if-changed={}", services.join("../Cargo.lock").display());
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let file = out.join("tiphys-runner");
    match build(&runner, &out) {
        Ok(built) => {
            fs::copy(built, &file)?;
        }
        Err(why) => {
            // Everything else works without it, and those who need it say so.
            println!("cargo::warning=no runner for containers: {why}");
            fs::write(&file, [])?;
        }
    }
    println!("cargo::rustc-env=TIPHYS_RUNNER={}", file.display());
    Ok(())
}

fn build(runner: &Path, out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = env::var("TARGET")?;
    let folder = out.join("target");
    let mut cargo = Command::new(env::var("CARGO")?);
    // Flags and wrappers of this build are not meant for that one.
    for name in
        ["CARGO_ENCODED_RUSTFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CARGO_BUILD_TARGET", "CARGO_INCREMENTAL"]
    {
        cargo.env_remove(name);
    }
    let status = cargo
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .env("CARGO_PROFILE_RELEASE_STRIP", "symbols")
        // It is fetched or copied for each pod that needs it: small is quick.
        .env("CARGO_PROFILE_RELEASE_LTO", "fat")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1")
        .args(["build", "--release", "--locked", "--quiet", "--bin", "tiphys-runner", "--features", "tls"])
        .args(["--target", &target])
        .arg("--manifest-path")
        .arg(runner.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&folder)
        .status()?;
    if !status.success() {
        return Err(format!("cargo ended with {status}").into());
    }
    Ok(folder.join(target).join("release/tiphys-runner"))
}
