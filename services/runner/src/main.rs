//! The runner as a program of its own: small, so that it starts quickly and fits into any container.

use std::path::Path;
use std::process::exit;

fn main() {
    match std::env::args_os().nth(1) {
        Some(dir) => exit(tiphys_runner::main(Path::new(&dir))),
        None => {
            eprintln!("usage: tiphys-runner DIR");
            exit(2);
        }
    }
}
