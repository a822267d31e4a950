//! The runner as a program of its own: small, so that it starts quickly and fits into any container.

use std::ffi::OsString;
use std::path::Path;
use std::process::exit;

use tiphys_runner::{network, pod};

const USAGE: &str =
    "usage: tiphys-runner DIR | install DIR | pod DIR | relay DIR | pause | probe HOST:PORT [PATH]";

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let told = |done: std::io::Result<()>| match done {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("tiphys-runner: {error}");
            tiphys_runner::UNUSABLE
        }
    };
    let code = match arguments.as_slice() {
        [verb] if verb == "pause" => network::pause(),
        [dir] => tiphys_runner::main(Path::new(dir)),
        [verb, dir] if verb == "install" => told(pod::install(Path::new(dir))),
        [verb, dir] if verb == "pod" => pod::main(Path::new(dir)),
        [verb, dir] if verb == "relay" => told(pod::relay(Path::new(dir))),
        [verb, place] if verb == "probe" => network::probe(&place.to_string_lossy(), None),
        [verb, place, path] if verb == "probe" => {
            network::probe(&place.to_string_lossy(), Some(&path.to_string_lossy()))
        }
        _ => {
            eprintln!("{USAGE}");
            2
        }
    };
    exit(code);
}
