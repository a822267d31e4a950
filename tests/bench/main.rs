//! How fast it is, against a baseline that is measured in the same run. One JSON line per bench; no gate.

mod effort;
mod eval;
mod latency;
mod line;
mod load;
mod program;
mod restart;
mod stage;
mod steps;
mod unstored;
mod webhook;

use std::process::ExitCode;

use effort::Effort;

const HELP: &str = "\
Measures Tiphys against a baseline, both sides in one run, and prints one JSON line per bench.

    cargo run --release -p tiphys-tests --bin bench [-- [--quick] [NAME…]]

    webhook       events per second through a webhook, durable before 200, 64 connections, 2 KiB;
                  against the same webhook on a bus that stores nothing
    latency       event published to firing delivered, p50 at 100/s;
                  against published to delivered on the same bus
    eval          events decided per core-second, one data filter and two parameters, 2 KiB;
                  against reading the same payload as a serde_json::Value
    steps         workflows of one `true` per second, 32 in flight; against spawning `true` as often
    chain         the same with ten steps, one after another
    restart       from start to ready with 10,000 events and 1,000 ended workflows, in time and memory;
                  against a start on an empty folder

Without a name all are run. --quick runs each once and briefly: to see that they work, not how fast.
A line holds name, ours, baseline, ratio (the median of the rounds), worst (the ratio of the worst
round), unit, aim, and against what. Aims are not judged here. Numbers of a debug build mean nothing.
";

fn main() -> ExitCode {
    let mut effort = Effort::full();
    let mut names = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--quick" => effort = Effort::quick(),
            "-h" | "--help" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            name => names.push(name.to_owned()),
        }
    }
    match run(&names, effort) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

type Bench = fn(Effort) -> anyhow::Result<()>;

const BENCHES: [(&str, Bench); 6] = [
    ("webhook", webhook::run),
    ("latency", latency::run),
    ("eval", eval::run),
    ("steps", steps::one),
    ("chain", steps::chain),
    ("restart", restart::run),
];

fn run(names: &[String], effort: Effort) -> anyhow::Result<()> {
    if let Some(unknown) = names.iter().find(|n| BENCHES.iter().all(|(b, _)| b != n)) {
        anyhow::bail!("there is no bench `{unknown}`; see --help");
    }
    if cfg!(debug_assertions) {
        eprintln!("bench: a debug build; its numbers mean nothing");
    }
    // As in production: counters cost something. The handle is not needed, nobody looks.
    let _metrics = tiphys_kit::metric::install()?;
    let filter = std::env::var("TIPHYS_LOG").unwrap_or_else(|_| "warn".into());
    tiphys_kit::telemetry::install(tiphys_kit::telemetry::LogFormat::Text, "off", &filter, false);
    for (name, bench) in BENCHES {
        if names.is_empty() || names.iter().any(|n| n == name) {
            bench(effort)?;
        }
    }
    Ok(())
}
