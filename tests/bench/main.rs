//! How fast it is, against a baseline that is measured in the same run. One JSON line per bench; no gate.

mod act;
mod alerts;
mod docker;
mod drain;
mod durable;
mod effort;
mod eval;
mod hops;
mod ingest;
mod kubernetes;
mod latency;
mod line;
mod load;
mod nats;
mod processor;
mod program;
mod queues;
mod restart;
mod rooms;
mod sink;
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
    drain         the sensor service on 50,000 events that wait on JetStream, per core-second and per second;
                  against a bare client that pulls and acks
    act           sensor and HTTP trigger on 20,000 that wait, to a sink that answers at once, rate and
                  processor time; against a bare client that pulls, posts and acks
    slow          the same with a sink that takes 20 ms
    ingest        webhook to JetStream, rate and p99; against a bare publisher and an empty handler together
    hops          event, and webhook's request, to the trigger's request at 100/s on JetStream;
                  against a bare client's publication to delivery
    durable       webhook on the embedded bus; against the same on JetStream, sync always and default
    docker        a step of `true` in a container, with its workflow's network and with one of its own, until it is removed;
                  against a bare client that creates, starts, waits for and removes one
    pods          workflows of one pod, 300 at once, that a stub kubelet ends at once, per minute, with
                  processor time and memory; against a bare client that creates, watches and marks as many pods
    pod-chain     a workflow of three pods, one after another, in time; from the end of a pod to the next one,
                  p50 and p99; against a bare client that creates, watches and deletes three
    pod-requests  requests to the API server for a workflow of one pod and of three, and of one pod where it is an
                  object, from its audit log; against those of that bare client
    pod-memory    memory of an executor with 10,000 pods that run; against the same process before; and its processor
                  time for each, against the API server's
    executor      memory of `tiphys executor` on NATS before its first workflow; against what of it is its own; its
                  processor time and memory for 300 workflows of one pod at once
    kafka, pubsub, sqs
                  the event source; against a bare client that receives and acks on the same server

Without a name all are run. Servers of others are those that `tests/run` installs (TIPHYS_TEST_TOOLS). --quick runs each once and briefly: to see that they work, not how fast.
A line holds name, ours, baseline, ratio (the median of the rounds), worst (the ratio of the worst
round), unit, aim, and against what. Aims are not judged here. Numbers of a debug build mean nothing.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // Not for people: a bench starts itself so.
    if let [first, delay] = arguments.as_slice()
        && first == sink::ARGUMENT
    {
        return ended(sink::serve(delay));
    }
    if let [first, kubeconfig, folder, workflows] = arguments.as_slice()
        && first == kubernetes::memory::ARGUMENT
    {
        return ended(kubernetes::memory::serve(kubeconfig, folder, workflows));
    }
    let mut effort = Effort::full();
    let mut names = Vec::new();
    for argument in arguments {
        match argument.as_str() {
            "--quick" => effort = Effort::quick(),
            "-h" | "--help" => {
                print!("{HELP}");
                return ExitCode::SUCCESS;
            }
            name => names.push(name.to_owned()),
        }
    }
    ended(run(&names, effort))
}

fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

type Bench = fn(Effort) -> anyhow::Result<()>;

const BENCHES: [(&str, Bench); 21] = [
    ("webhook", webhook::run),
    ("latency", latency::run),
    ("eval", eval::run),
    ("steps", steps::one),
    ("chain", steps::chain),
    ("restart", restart::run),
    ("drain", drain::run),
    ("act", act::fast),
    ("slow", act::slow),
    ("ingest", ingest::run),
    ("hops", hops::run),
    ("durable", durable::run),
    ("docker", docker::run),
    ("pods", kubernetes::pods),
    ("pod-chain", kubernetes::chain),
    ("pod-requests", kubernetes::requests),
    ("pod-memory", kubernetes::memory::run),
    ("executor", kubernetes::role::run),
    ("kafka", queues::kafka),
    ("pubsub", queues::pubsub),
    ("sqs", queues::sqs),
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
