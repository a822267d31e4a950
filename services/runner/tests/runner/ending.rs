//! Stops, deadlines, what is left behind, and who may run a step at all.

use std::fs;
use std::process::Stdio;

use jiff::{Timestamp, ToSpan};
use tiphys_runner::{DONE, Exit, Started, TAKEN, UNUSABLE, Verdict, proc};

use crate::support::{Step, ended, number, runs, until};

/// Runs out of time, but not before the command said `ready`, however slow the machine is.
fn out_of_time(script: &str, grace: u64) -> Exit {
    for wait in [200, 2000, 20_000] {
        let mut step = Step::sh(script);
        step.spec.deadline = Some(Timestamp::now() + wait.milliseconds());
        step.spec.grace = grace;
        let exit = step.run();
        if exit.result.as_ref().is_some_and(|text| text.starts_with("ready")) {
            return exit;
        }
    }
    panic!("the command never began");
}

#[test]
fn a_step_out_of_time_is_ended_gently_and_then_not() {
    let polite = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.01; done";
    let exit = out_of_time(polite, 60_000);
    assert_eq!((exit.verdict, exit.exit_code), (Verdict::Failed, Some(0)));
    assert_eq!(exit.message, "Pod was active on the node longer than the specified deadline");
    assert!(exit.result.unwrap().ends_with("bye"));

    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    assert_eq!(out_of_time(deaf, 100).exit_code, Some(137));
}

#[test]
fn a_step_is_stopped_on_term() {
    for (script, grace, code) in [
        ("echo $$$$ > pid; exec sleep 1000", 60_000, 143),
        ("trap '' TERM; echo $$$$ > pid; while :; do sleep 0.01; done", 100, 137),
    ] {
        let mut step = Step::sh(script);
        step.spec.grace = grace;
        let mut runner = step.runner().spawn().unwrap();
        let pid = until("the step runs", || number(&step.path("pid")));
        let own = rustix::process::Pid::from_child(&runner);
        rustix::process::kill_process(own, rustix::process::Signal::TERM).unwrap();
        assert_eq!(ended(&mut runner), Some(DONE));
        let exit = Exit::read(step.dir.path()).unwrap();
        assert_eq!((exit.verdict, exit.exit_code), (Verdict::Failed, Some(code)));
        assert!(!runs(pid));
    }
}

#[test]
fn a_step_that_was_to_be_stopped_never_begins() {
    let step = Step::sh("echo began");
    fs::write(step.path("stop"), "").unwrap();
    let exit = step.run();
    assert_eq!((exit.verdict, exit.exit_code), (Verdict::Failed, None));
    assert!(!step.path("log").exists());
}

#[test]
fn nothing_outlives_the_command() {
    let script = "sleep 1000 & echo $! > group
        setsid sh -c 'echo $$$$ > session; trap \"\" TERM; while :; do sleep 0.05; done' &
        setsid sh -c '(setsid sleep 1000 & echo $! > orphan) & exit 0'
        while ! test -s session || ! test -s orphan; do sleep 0.01; done; echo done";
    let mut step = Step::sh(script);
    step.spec.grace = 300;
    let exit = step.run();
    assert_eq!((exit.verdict, exit.result.as_deref()), (Verdict::Succeeded, Some("done")));
    for name in ["group", "session", "orphan"] {
        let pid = number(&step.path(name)).unwrap();
        assert!(!runs(pid), "{name} still runs");
    }
}

#[test]
fn two_runners_run_the_command_once() {
    let step = Step::sh("echo x >> count; while ! test -e go; do sleep 0.01; done");
    let mut first = step.runner().spawn().unwrap();
    let started = until("one has the folder", || Started::read(step.dir.path()).unwrap());
    let boot = proc::boot_id().unwrap();
    assert!(started.is_alive(&boot));
    assert!(!started.is_alive("another boot"));
    assert_eq!(step.runner().status().unwrap().code(), Some(TAKEN));
    fs::write(step.path("go"), "").unwrap();
    assert_eq!(ended(&mut first), Some(DONE));
    assert!(!started.is_alive(&boot));
    assert_eq!(step.runner().status().unwrap().code(), Some(TAKEN));
    assert_eq!(fs::read_to_string(step.path("count")).unwrap(), "x\n");
}

#[test]
fn a_folder_that_is_not_whole_is_left_alone() {
    let step = Step::sh("true");
    let mut runner = step.runner();
    fs::write(step.path("spec.json"), "{\"key\":").unwrap();
    assert_eq!(runner.stderr(Stdio::null()).status().unwrap().code(), Some(UNUSABLE));
    assert!(!step.path("started").exists());
}
