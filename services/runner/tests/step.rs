//! Real commands under the real runner.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{Timestamp, ToSpan};
use tiphys_runner::{
    Archive, DONE, Exit, Output, Parameter, Spec, Started, TAKEN, UNUSABLE, Variable, Verdict, log,
    proc,
};

struct Step {
    dir: tempfile::TempDir,
    spec: Spec,
}

impl Step {
    fn sh(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let spec = Spec {
            key: "0123456789abcdef".into(),
            boot: proc::boot_id().unwrap(),
            written: Timestamp::now(),
            program: "/bin/sh".into(),
            command: ["sh", "-c", script].map(String::from).into(),
            script: None,
            work: dir.path().to_path_buf(),
            environment: vec![variable("PATH", Some("/usr/bin:/bin"))],
            parameters: Vec::new(),
            artifacts: Vec::new(),
            log_key: None,
            capture: true,
            log_limit: 1 << 20,
            deadline: None,
            grace: 10_000,
        };
        Self { dir, spec }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn runner(&self) -> Command {
        fs::write(
            self.path("spec.json"),
            serde_json::to_vec(&self.spec).unwrap(),
        )
        .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tiphys-runner"));
        command
            .arg(self.dir.path())
            .env_clear()
            .stdin(Stdio::null());
        command
    }

    fn run(&self) -> Exit {
        assert_eq!(self.runner().status().unwrap().code(), Some(DONE));
        Exit::read(self.dir.path()).unwrap()
    }

    fn lines(&self) -> Vec<(String, String)> {
        let bytes = fs::read(self.path("log")).unwrap();
        let lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        lines
            .map(|line| log::parse(line).unwrap())
            .map(|(_, stream, text)| (stream.name().to_owned(), text))
            .collect()
    }
}

fn variable(name: &str, value: Option<&str>) -> Variable {
    Variable {
        name: name.into(),
        value: value.map(String::from),
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "waited too long: {what}"
        );
        std::thread::yield_now();
    }
}

fn ended(child: &mut Child) -> Option<i32> {
    let status = until("the runner ends", || child.try_wait().unwrap());
    status.code()
}

fn number(path: &Path) -> Option<i32> {
    fs::read_to_string(path)
        .ok()?
        .strip_suffix('\n')?
        .parse()
        .ok()
}

fn runs(pid: i32) -> bool {
    proc::stat(pid).is_some_and(|stat| stat.state != 'Z')
}

#[test]
fn a_step_that_succeeds() {
    let step = Step::sh("echo one; echo two >&2; printf 'th ree'; exit 0");
    let before = Timestamp::now();
    let exit = step.run();
    assert_eq!(
        (exit.verdict, exit.exit_code),
        (Verdict::Succeeded, Some(0))
    );
    assert_eq!(exit.message, "");
    assert_eq!(exit.result.as_deref(), Some("one\nth ree"));
    assert!(before <= exit.started.unwrap() && exit.started.unwrap() <= exit.finished);
    let mut lines = step.lines();
    lines.sort();
    let expected = [("stderr", "two"), ("stdout", "one"), ("stdout", "th ree")];
    assert_eq!(
        lines,
        expected.map(|(stream, text)| (stream.into(), text.into()))
    );
}

#[test]
fn exit_codes_and_signals() {
    for (script, code) in [
        ("exit 1", 1),
        ("exit 42", 42),
        ("kill -9 $$$$", 137),
        ("kill -TERM $$$$", 143),
    ] {
        let exit = Step::sh(script).run();
        assert_eq!(
            (exit.verdict, exit.exit_code),
            (Verdict::Failed, Some(code)),
            "{script}"
        );
        assert_eq!(exit.message, format!("main: Error (exit code {code})"));
    }
}

#[test]
fn what_cannot_start_is_an_error() {
    let mut step = Step::sh("");
    step.spec.program = "/etc/passwd".into();
    let exit = step.run();
    assert_eq!((exit.verdict, exit.exit_code), (Verdict::Error, None));
    assert!(
        exit.message
            .contains("could not start /etc/passwd: Permission denied"),
        "{}",
        exit.message
    );

    let mut step = Step::sh("");
    step.spec.work = "/nonexistent".into();
    assert!(step.run().message.contains("working directory"));

    let mut step = Step::sh("");
    step.spec
        .environment
        .push(variable("BIG", Some(&"x".repeat(1 << 20))));
    assert!(step.run().message.contains("as an artifact"));
}

#[test]
fn the_environment_is_what_is_named_and_nothing_else() {
    let mut step = Step::sh("env | sort");
    step.spec
        .environment
        .push(variable("NAME", Some("[$(PATH)]")));
    step.spec.environment.push(variable("TOKEN", None));
    step.spec.environment.push(variable("AGAIN", Some("a")));
    step.spec
        .environment
        .push(variable("AGAIN", Some("$(AGAIN)b")));
    step.spec.command.push("$(TOKEN)".into());
    let mut runner = step.runner();
    runner
        .env("TIPHYS_SECRET_TOKEN", "canary-51c1")
        .env("STRAY", "s");
    assert!(runner.status().unwrap().success());
    let result = Exit::read(step.dir.path()).unwrap().result.unwrap();
    let names: Vec<_> = result
        .lines()
        .filter(|line| !line.starts_with("PWD=") && !line.starts_with("_="))
        .collect();
    assert_eq!(
        names,
        [
            "AGAIN=ab",
            "NAME=[/usr/bin:/bin]",
            "PATH=/usr/bin:/bin",
            "SHLVL=0",
            "TOKEN=canary-51c1"
        ]
        .into_iter()
        .filter(|line| *line != "SHLVL=0" || result.contains("SHLVL"))
        .collect::<Vec<_>>()
    );
}

#[test]
fn a_secret_is_in_no_file() {
    let mut step = Step::sh("test \"$TOKEN\" = can''ary-51c1 && test \"$0\" = can''ary-51c1");
    step.spec.environment.push(variable("TOKEN", None));
    step.spec.command.push("$(TOKEN)".into());
    let mut runner = step.runner();
    assert!(
        runner
            .env("TIPHYS_SECRET_TOKEN", "canary-51c1")
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(
        Exit::read(step.dir.path()).unwrap().verdict,
        Verdict::Succeeded
    );
    let grep = Command::new("grep")
        .args(["-r", "canary"])
        .arg(step.dir.path())
        .output()
        .unwrap();
    assert_eq!(
        grep.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&grep.stdout)
    );

    let exit = step_without_secret();
    assert_eq!(exit.verdict, Verdict::Error);
    assert!(
        exit.message.contains("the secret for TOKEN"),
        "{}",
        exit.message
    );
}

fn step_without_secret() -> Exit {
    let mut step = Step::sh("true");
    step.spec.environment.push(variable("TOKEN", None));
    step.run()
}

#[test]
fn outputs_are_gathered() {
    let mut step = Step::sh(
        "printf 'v\\n\\n' > p; mkdir -p tree/sub; echo f > tree/sub/f; echo raw > raw; echo said",
    );
    let parameter = |name: &str, file: &str, default: Option<&str>| Parameter {
        name: name.into(),
        path: step.path(file),
        shown: format!("/tmp/{file}"),
        default: default.map(String::from),
    };
    let artifact = |name: &str, file: &str, archive, optional| Output {
        name: name.into(),
        path: step.path(file),
        shown: format!("/tmp/{file}"),
        key: format!("wf/pod/{name}"),
        archive,
        optional,
    };
    let parameters = vec![
        parameter("there", "p", None),
        parameter("not", "nothing", Some("default")),
    ];
    let artifacts = vec![
        artifact("tree", "tree", Archive::Tar, false),
        artifact("raw", "raw", Archive::None, false),
        artifact("absent", "absent", Archive::Tar, true),
    ];
    step.spec.parameters = parameters;
    step.spec.artifacts = artifacts;
    step.spec.log_key = Some("wf/pod/main.log".into());
    let exit = step.run();
    assert_eq!(exit.message, "");
    assert_eq!(exit.parameters["there"], "v\n");
    assert_eq!(exit.parameters["not"], "default");
    let names: Vec<_> = exit
        .artifacts
        .iter()
        .map(|a| (a.name.as_str(), a.key.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("tree", "wf/pod/tree"),
            ("raw", "wf/pod/raw"),
            ("main-logs", "wf/pod/main.log")
        ]
    );
    let content = |name: &str| {
        let packed = exit.artifacts.iter().find(|a| a.name == name).unwrap();
        fs::read(step.path("artifacts").join(&packed.file)).unwrap()
    };
    assert_eq!(content("raw"), b"raw\n");
    assert_eq!(content("main-logs"), b"said\n");
    let into = step.path("into");
    fs::create_dir(&into).unwrap();
    tiphys_runner::archive::unpack(&content("tree")[..], &into, Default::default()).unwrap();
    assert_eq!(fs::read_to_string(into.join("tree/sub/f")).unwrap(), "f\n");
}

#[test]
fn a_missing_output_is_an_error_unless_the_command_failed() {
    for (script, verdict) in [("true", Verdict::Error), ("exit 3", Verdict::Failed)] {
        let mut step = Step::sh(script);
        step.spec.parameters.push(Parameter {
            name: "count".into(),
            path: step.path("nothing"),
            shown: "/tmp/count".into(),
            default: None,
        });
        let exit = step.run();
        assert_eq!(exit.verdict, verdict);
        if verdict == Verdict::Error {
            let expected =
                "wait: Error (exit code 64): output parameter count: open /tmp/count: no such file";
            assert!(exit.message.starts_with(expected), "{}", exit.message);
            assert_eq!(exit.exit_code, Some(0));
        }
    }
    let mut step = Step::sh("head -c 300000 /dev/zero > big; ln -s big p");
    step.spec.parameters.push(Parameter {
        name: "big".into(),
        path: step.path("p"),
        shown: "/p".into(),
        default: Some("never".into()),
    });
    assert!(step.run().message.contains("larger than 256 KiB"));
}

/// Runs out of time, but not before the command said `ready`, however slow the machine is.
fn out_of_time(script: &str, grace: u64) -> Exit {
    for wait in [200, 2000, 20_000] {
        let mut step = Step::sh(script);
        step.spec.deadline = Some(Timestamp::now() + wait.milliseconds());
        step.spec.grace = grace;
        let exit = step.run();
        if exit
            .result
            .as_ref()
            .is_some_and(|text| text.starts_with("ready"))
        {
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
    assert_eq!(
        exit.message,
        "Pod was active on the node longer than the specified deadline"
    );
    assert!(exit.result.unwrap().ends_with("bye"));

    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    assert_eq!(out_of_time(deaf, 100).exit_code, Some(137));
}

#[test]
fn a_step_is_stopped_on_term() {
    for (script, grace, code) in [
        ("echo $$$$ > pid; exec sleep 1000", 60_000, 143),
        (
            "trap '' TERM; echo $$$$ > pid; while :; do sleep 0.01; done",
            100,
            137,
        ),
    ] {
        let mut step = Step::sh(script);
        step.spec.grace = grace;
        let mut runner = step.runner().spawn().unwrap();
        let pid = until("the step runs", || number(&step.path("pid")));
        let own = rustix::process::Pid::from_child(&runner);
        rustix::process::kill_process(own, rustix::process::Signal::TERM).unwrap();
        assert_eq!(ended(&mut runner), Some(DONE));
        let exit = Exit::read(step.dir.path()).unwrap();
        assert_eq!(
            (exit.verdict, exit.exit_code),
            (Verdict::Failed, Some(code))
        );
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
    assert_eq!(
        (exit.verdict, exit.result.as_deref()),
        (Verdict::Succeeded, Some("done"))
    );
    for name in ["group", "session", "orphan"] {
        let pid = number(&step.path(name)).unwrap();
        assert!(!runs(pid), "{name} still runs");
    }
}

#[test]
fn two_runners_run_the_command_once() {
    let step = Step::sh("echo x >> count; while ! test -e go; do sleep 0.01; done");
    let mut first = step.runner().spawn().unwrap();
    let started = until("one has the folder", || {
        Started::read(step.dir.path()).unwrap()
    });
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
    assert_eq!(
        runner.stderr(Stdio::null()).status().unwrap().code(),
        Some(UNUSABLE)
    );
    assert!(!step.path("started").exists());
}

#[test]
fn a_flood_is_cut_and_its_end_is_the_result() {
    let mut step = Step::sh(
        "i=0; while [ $i -lt 20000 ]; do echo \"line $i xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"; i=$((i+1)); done",
    );
    step.spec.log_limit = 10_000;
    let exit = step.run();
    assert!(fs::metadata(step.path("log")).unwrap().len() < 10_200);
    assert!(step.lines().last().unwrap().1.contains("the log is full"));
    let result = exit.result.unwrap();
    assert!(result.contains("line 19999") && result.len() <= 256 * 1024);
}

#[test]
fn the_script_is_the_last_argument() {
    let mut step = Step::sh("");
    let script = step.path("script");
    fs::write(&script, "echo $$ is not replaced in scripts; echo \"$1\"").unwrap();
    step.spec.command = vec!["sh".into(), "-u".into()];
    step.spec.script = Some(script);
    let exit = step.run();
    assert_eq!(exit.exit_code, Some(2));
    assert!(
        step.lines()
            .iter()
            .any(|(_, text)| text.ends_with(" is not replaced in scripts"))
    );
}
