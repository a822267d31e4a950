//! One binary, many roles: `tiphys dev`, the command line, and what steps need.

mod assembly;
mod cli;
mod client;
mod command;
mod data;
mod dev;
mod exit;
mod http;
mod output;
mod role;
mod toolbox;

use clap::Parser as _;

fn main() -> std::process::ExitCode {
    // The runner of a step comes first, and builds nothing that it does not need: one is started for each step.
    let mut words = std::env::args_os().skip(1);
    if let (Some(word), Some(dir)) = (words.next(), words.next())
        && word == "runner"
    {
        std::process::exit(tiphys_runner::main(std::path::Path::new(&dir)));
    }
    // Chosen once for the whole process, so that no dependency can bring a second provider into play.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    exit::code(command::run(cli::Cli::parse()))
}
