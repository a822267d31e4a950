//! Compiles the contracts, without protoc.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = ["proto/generic.proto", "proto/trigger.proto"];
    let contracts = protox::compile(files, ["proto"])?;
    tonic_prost_build::configure().bytes(".").compile_fds(contracts)?;
    Ok(())
}
