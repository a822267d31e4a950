//! What a command is given and what comes of it.

use std::fs;
use std::process::Command;

use jiff::Timestamp;
use tiphys_runner::{Archive, Exit, Output, Parameter, Verdict};

use crate::support::{Step, variable};

#[test]
fn a_step_that_succeeds() {
    let step = Step::sh("echo one; echo two >&2; printf 'th ree'; exit 0");
    let before = Timestamp::now();
    let exit = step.run();
    assert_eq!((exit.verdict, exit.exit_code), (Verdict::Succeeded, Some(0)));
    assert_eq!(exit.message, "");
    assert_eq!(exit.result.as_deref(), Some("one\nth ree"));
    assert!(before <= exit.started.unwrap() && exit.started.unwrap() <= exit.finished);
    let mut lines = step.lines();
    lines.sort();
    let expected = [("stderr", "two"), ("stdout", "one"), ("stdout", "th ree")];
    assert_eq!(lines, expected.map(|(stream, text)| (stream.into(), text.into())));
}

#[test]
fn exit_codes_and_signals() {
    for (script, code) in [("exit 1", 1), ("exit 42", 42), ("kill -9 $$$$", 137), ("kill -TERM $$$$", 143)] {
        let exit = Step::sh(script).run();
        assert_eq!((exit.verdict, exit.exit_code), (Verdict::Failed, Some(code)), "{script}");
        assert_eq!(exit.message, format!("main: Error (exit code {code})"));
    }
}

#[test]
fn what_cannot_start_is_an_error() {
    let mut step = Step::sh("");
    step.spec.program = "/etc/passwd".into();
    let exit = step.run();
    assert_eq!((exit.verdict, exit.exit_code), (Verdict::Error, None));
    assert!(exit.message.contains("could not start /etc/passwd: Permission denied"), "{}", exit.message);

    let mut step = Step::sh("");
    step.spec.work = "/nonexistent".into();
    assert!(step.run().message.contains("working directory"));

    let mut step = Step::sh("");
    step.spec.environment.push(variable("BIG", Some(&"x".repeat(1 << 20))));
    assert!(step.run().message.contains("as an artifact"));
}

#[test]
fn the_environment_is_what_is_named_and_nothing_else() {
    let mut step = Step::sh("env | sort");
    step.spec.environment.push(variable("NAME", Some("[$(PATH)]")));
    step.spec.environment.push(variable("TOKEN", None));
    step.spec.environment.push(variable("AGAIN", Some("a")));
    step.spec.environment.push(variable("AGAIN", Some("$(AGAIN)b")));
    step.spec.command.push("$(TOKEN)".into());
    let mut runner = step.runner();
    runner.env("TIPHYS_SECRET_TOKEN", "canary-51c1").env("STRAY", "s");
    assert!(runner.status().unwrap().success());
    let result = Exit::read(step.dir.path()).unwrap().result.unwrap();
    let names: Vec<_> =
        result.lines().filter(|line| !line.starts_with("PWD=") && !line.starts_with("_=")).collect();
    assert_eq!(
        names,
        ["AGAIN=ab", "NAME=[/usr/bin:/bin]", "PATH=/usr/bin:/bin", "SHLVL=0", "TOKEN=canary-51c1"]
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
    assert!(runner.env("TIPHYS_SECRET_TOKEN", "canary-51c1").status().unwrap().success());
    assert_eq!(Exit::read(step.dir.path()).unwrap().verdict, Verdict::Succeeded);
    let grep = Command::new("grep").args(["-r", "canary"]).arg(step.dir.path()).output().unwrap();
    assert_eq!(grep.status.code(), Some(1), "{}", String::from_utf8_lossy(&grep.stdout));

    let exit = step_without_secret();
    assert_eq!(exit.verdict, Verdict::Error);
    assert!(exit.message.contains("the secret for TOKEN"), "{}", exit.message);
}

fn step_without_secret() -> Exit {
    let mut step = Step::sh("true");
    step.spec.environment.push(variable("TOKEN", None));
    step.run()
}

#[test]
fn outputs_are_gathered() {
    let mut step =
        Step::sh("printf 'v\\n\\n' > p; mkdir -p tree/sub; echo f > tree/sub/f; echo raw > raw; echo said");
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
    let parameters = vec![parameter("there", "p", None), parameter("not", "nothing", Some("default"))];
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
    let names: Vec<_> = exit.artifacts.iter().map(|a| (a.name.as_str(), a.key.as_str())).collect();
    assert_eq!(names, [("tree", "wf/pod/tree"), ("raw", "wf/pod/raw"), ("main-logs", "wf/pod/main.log")]);
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
    assert!(step.lines().iter().any(|(_, text)| text.ends_with(" is not replaced in scripts")));
}

#[test]
fn an_output_that_is_no_plain_file_ends_the_step_and_does_not_hold_it() {
    let mut step = Step::sh("mkfifo pipe");
    step.spec.parameters.push(Parameter {
        name: "p".into(),
        path: step.path("pipe"),
        shown: "/pipe".into(),
        default: None,
    });
    let exit = step.run();
    assert_eq!(exit.verdict, Verdict::Error);
    assert!(exit.message.contains("output parameter p: open /pipe: it is no plain file"), "{}", exit.message);

    for archive in [Archive::Tar, Archive::None] {
        let mut step = Step::sh("truncate -s 1T holes");
        step.spec.artifacts.push(Output {
            name: "a".into(),
            path: step.path("holes"),
            shown: "/holes".into(),
            key: "k".into(),
            archive,
            optional: false,
        });
        let exit = step.run();
        assert_eq!(exit.verdict, Verdict::Error);
        assert!(exit.message.contains("/holes: it is larger than 10 GiB"), "{}", exit.message);
    }
}
