//! The command line against a running server.

use std::io::Write as _;

use tiphys_tests::{Server, until};

const TEMPLATE: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: steps}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: nobody}]}
  templates:
    - name: main
      steps:
        - - {name: greet, template: greet}
    - name: greet
      metadata: {annotations: {tiphys.dev/launcher: process}}
      container:
        image: busybox
        command: [sh, -c, 'echo "hello $WHO"']
        env: [{name: WHO, value: "{{workflow.parameters.who}}"}]
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: daily}
spec:
  schedule: "01 06 * * *"
  timezone: Etc/GMT
  workflowSpec: {workflowTemplateRef: {name: steps}}
"#;

/// A workflow of one step that runs `script`.
fn workflow(name: &str, script: &str, more: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    write!(
        file,
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{{name}, annotations: {{tiphys.dev/launcher: process}}}}
spec:
  entrypoint: main
{more}
  templates:
    - name: main
      container: {{image: busybox, command: [sh, -c], args: ['{script}']}}
"
    )
    .unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[test]
fn submit_watch_logs_get_list_delete() {
    let server = Server::on(TEMPLATE);
    let out =
        server.ok(&["submit", "--from", "wftmpl/steps", "-p", "who=tiphys", "--name", "one", "--watch"]);
    assert!(out.contains("greet") && out.contains("Succeeded"), "{out}");
    let logs = server.ok(&["logs", "one"]);
    assert_eq!(logs, "greet: hello tiphys\n");
    let one = server.json(&["get", "one"]);
    assert_eq!(one["apiVersion"], "argoproj.io/v1alpha1");
    assert_eq!(one["kind"], "Workflow");
    assert_eq!(one["status"]["phase"], "Succeeded");
    let nodes = one["status"]["nodes"].as_object().unwrap();
    let greet = nodes.values().find(|node| node["displayName"] == "greet").unwrap();
    assert_eq!((&greet["name"], &greet["type"]), (&"one[0].greet".into(), &"Pod".into()));
    assert_eq!(server.ok(&["list", "-o", "name"]), "workflow/one\n");
    assert!(server.ok(&["get", "@latest"]).contains("Status:     Succeeded"));
    assert!(server.ok(&["get", "one", "-o", "yaml"]).contains("phase: Succeeded"));
    server.ok(&["resubmit", "one", "--wait"]);
    assert_eq!(server.workflows().len(), 2);
    server.ok(&["delete", "one"]);
    until("the deletion", || (server.cli(&["get", "one"]).status.code() == Some(4)).then_some(()));
}

#[test]
fn a_failed_step_shows_its_last_lines_at_once_and_can_be_retried() {
    let server = Server::on(TEMPLATE);
    let flag = tempfile::tempdir().unwrap();
    let flag = flag.path().join("flag");
    let script = format!("echo looking for the flag; test -e {}", flag.display());
    let file = workflow("name: flaky", &script, "");
    let output = server.cli(&["submit", path(&file), "--watch"]);
    assert_eq!(output.status.code(), Some(1));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("looking for the flag") && printed.contains("exit code 1"), "{printed}");
    std::fs::create_dir_all(flag.parent().unwrap()).unwrap();
    std::fs::write(&flag, "").unwrap();
    server.ok(&["retry", "flaky"]);
    server.ok(&["wait", "flaky"]);
}

#[test]
fn suspend_resume_stop_terminate() {
    let server = Server::on(TEMPLATE);
    let file = workflow("name: held", "true", "  suspend: true");
    server.ok(&["submit", path(&file)]);
    let timeout = server.cli(&["wait", "held", "--timeout", "1s"]);
    assert_eq!(timeout.status.code(), Some(8));
    server.ok(&["resume", "held"]);
    server.ok(&["wait", "held"]);
    for verb in ["stop", "terminate"] {
        let file = workflow(&format!("name: long-{verb}"), "sleep 1000", "");
        server.ok(&["submit", path(&file)]);
        let name = format!("long-{verb}");
        until("the step runs", || {
            let nodes = server.json(&["get", &name])["status"]["nodes"].clone();
            nodes.as_object()?.values().any(|node| node["phase"] == "Running").then_some(())
        });
        server.ok(&[verb, &name]);
        let ended = server.cli(&["wait", &name]);
        assert_eq!(ended.status.code(), Some(1), "{}", String::from_utf8_lossy(&ended.stdout));
        assert_eq!(server.cli(&[verb, &name]).status.code(), Some(5), "it has ended");
    }
}

#[test]
fn a_step_that_did_not_opt_in_never_runs_on_the_host() {
    let server = Server::on(TEMPLATE);
    let file = workflow("name: foreign", "echo ran", "");
    let text = std::fs::read_to_string(file.path()).unwrap();
    let foreign = text.replace(", annotations: {tiphys.dev/launcher: process}", "");
    std::fs::write(file.path(), foreign).unwrap();
    let output = server.cli(&["submit", path(&file), "--wait"]);
    assert_eq!(output.status.code(), Some(1));
    let workflow = server.json(&["get", "foreign"]);
    let text = workflow.to_string();
    assert!(text.contains("tiphys.dev/launcher"), "it says what to do: {text}");
    assert_eq!(server.ok(&["logs", "foreign"]), "");
}

#[test]
fn cron_list_next_run() {
    let server = Server::on(TEMPLATE);
    assert!(server.ok(&["cron", "list"]).contains("01 06 * * *"));
    let next = server.ok(&["cron", "next", "daily", "-c", "3"]);
    assert_eq!(next.lines().count(), 3);
    assert!(next.lines().all(|line| line.contains("T06:01:00")), "{next}");
    let out = server.ok(&["cron", "run", "daily", "--wait"]);
    assert!(out.contains("daily-"), "{out}");
    let workflow = &server.workflows()[0];
    assert_eq!(workflow["metadata"]["labels"]["workflows.argoproj.io/cron-workflow"], "daily");
}

#[test]
fn exit_codes() {
    let server = Server::on(TEMPLATE);
    let broken = workflow("name: broken", "true", "");
    std::fs::write(broken.path(), "kind: [").unwrap();
    let typo = workflow("name: typo", "true", "  entrypont: x");
    for (arguments, code) in [
        (vec!["get", "none"], 4),
        (vec!["no-such-verb"], 2),
        (vec!["submit", path(&broken)], 3),
        (vec!["lint", path(&broken)], 3),
        (vec!["lint", path(&typo)], 0),
        (vec!["lint", "--strict", path(&typo)], 3),
        (vec!["submit", "--from", "wftmpl/none"], 4),
    ] {
        let output = server.cli(&arguments);
        assert_eq!(
            output.status.code(),
            Some(code),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let lint = server.cli(&["lint", path(&typo)]);
    let printed = String::from_utf8_lossy(&lint.stdout);
    assert!(
        printed.contains("entrypoint") && printed.contains(":6:"),
        "the near word and the line: {printed}"
    );
    server.ok(&["submit", "--from", "wftmpl/steps", "--name", "taken"]);
    assert_eq!(server.cli(&["submit", "--from", "wftmpl/steps", "--name", "taken"]).status.code(), Some(5));
    assert!(server.ok(&["completion", "bash"]).contains("tiphys"));
    let nobody = std::process::Command::new(tiphys_tests::binary())
        .args(["list", "--server", "http://127.0.0.1:9"])
        .output()
        .unwrap();
    assert_eq!(nobody.status.code(), Some(7));
}

#[test]
fn what_is_not_there_is_refused_and_said() {
    let server = Server::on(TEMPLATE);
    let held = workflow("name: held", "true", "  suspend: true");
    server.ok(&["submit", path(&held)]);
    let schedule = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(schedule.path(), TEMPLATE.replace("01 06 * * *", "99 06 * * *")).unwrap();
    for (arguments, code, words) in [
        (vec!["trigger", "pause", "none/none"], 4, "none"),
        (vec!["resume", "held", "--node-field-selector", "displayName=none"], 5, "displayName=none"),
        (vec!["list", "--status", "nope"], 2, "Succeeded"),
        (vec!["events", "get", ""], 2, "events list"),
        (vec!["submit", "--from", "wftmpl/steps", "-l", "a=b\nc"], 3, "label"),
        (vec!["lint", path(&schedule)], 3, "1 errors"),
        (vec!["apply", path(&schedule)], 3, "99 06"),
    ] {
        let output = server.cli(&arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    let shadowed = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(shadowed.path(), TEMPLATE).unwrap();
    let applied = server.cli(&["apply", path(&shadowed)]);
    let told = String::from_utf8_lossy(&applied.stderr);
    assert!(applied.status.success() && told.contains("all.yaml") && told.contains("is used"), "{told}");
    let headers = [("Authorization", "Bearer wrong")];
    let refused = server.send("GET", "/api/tiphys/v1/status", &headers, b"").unwrap();
    assert!(refused.status == 401 && refused.body.contains("is wrong"), "{}", refused.body);
}
