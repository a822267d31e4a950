//! Each service a process of its own, on a real NATS server.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tiphys_tests::{Local, counting, reaction, root, until};

const ROLES: [&str; 6] = ["bus", "server", "eventsource", "sensor", "trigger", "executor"];

/// Posts event `n` through the API's port, and again until it is answered 200.
fn post(local: &Local, n: usize) {
    until("a 200", || {
        let headers = [("Content-Type", "application/json"), ("X-Id", &format!("native-{n}"))];
        let body = json!({"n": n, "skip": false}).to_string();
        let answer = local.send("POST", "/events/default/in/e", &headers, body.as_bytes()).ok()?;
        (answer.status == 200).then_some(())
    });
}

fn ran(ledger: &std::path::Path) -> Vec<usize> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let mut all: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    all.sort_unstable();
    all
}

fn all_succeeded(local: &Local, count: usize) {
    let workflows = local.ended(count);
    for workflow in &workflows {
        assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    }
}

#[test]
fn every_service_may_be_killed_and_is_revived() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let Some(local) = Local::start(counting(&ledger, "true").path()) else { return };
    post(&local, 0);
    all_succeeded(&local, 1);
    assert_eq!(local.up(), Vec::<String>::new(), "what runs is left alone");
    for (n, role) in ROLES.into_iter().enumerate() {
        local.kill(role);
        assert_eq!(local.up(), [role]);
        post(&local, n + 1);
        all_succeeded(&local, n + 2);
    }
    local.kill("nats");
    assert_eq!(local.up(), ["nats-server"]);
    post(&local, 7);
    all_succeeded(&local, 8);
    assert_eq!(ran(&ledger), (0..8).collect::<Vec<_>>(), "each ran once");
    let row = &local.json(&["status"])["triggers"][0];
    assert_eq!((&row["accepted"], &row["fired"]), (&json!(8), &json!(8)), "{row}");
    until("every part is well", || {
        let parts = local.json(&["status"])["parts"].clone();
        let all = ROLES.map(|role| format!("role/{role}"));
        all.iter().all(|part| parts.get(part).is_some_and(serde_json::Value::is_null)).then_some(())
    });
    let logs = local.ok(&["logs", "@latest"]);
    assert!(logs.contains("main: done 7") || logs.contains("done 7"), "{logs}");
}

#[test]
fn senders_are_answered_while_nats_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let Some(local) = Local::start(counting(&ledger, "true").path()) else { return };
    local.kill("nats");
    let began = Instant::now();
    for n in 0..50 {
        post(&local, n);
    }
    eprintln!("50 answers in {:?} without a bus", began.elapsed());
    let held = until("the spool is told of", || {
        let (_, parts) = local.ready("eventsource")?;
        parts.contains("eventsource/spool: ").then_some(parts)
    });
    assert!(held.contains("events wait"), "{held}");
    // Killed with all of it on its disk alone.
    local.kill("eventsource");
    let started = local.up();
    assert!(started.contains(&"nats-server".to_owned()) && started.contains(&"eventsource".to_owned()));
    all_succeeded(&local, 50);
    assert_eq!(ran(&ledger), (0..50).collect::<Vec<_>>());
    until("the spool is empty", || {
        let (status, parts) = local.ready("eventsource")?;
        (status == 200 && parts.contains("[+] eventsource/spool")).then_some(())
    });
}

#[test]
fn an_event_source_that_starts_while_nats_is_away_answers() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let Some(local) = Local::start(counting(&ledger, "true").path()) else { return };
    local.kill("nats");
    local.kill("eventsource");
    local.up_without_nats("eventsource");
    for n in 0..10 {
        post(&local, n);
    }
    let (status, parts) = local.ready("eventsource").unwrap();
    assert!(status == 200 && parts.contains("[-] bus: "), "it serves, and tells: {parts}");
    assert_eq!(local.up(), ["nats-server"]);
    all_succeeded(&local, 10);
    assert_eq!(ran(&ledger), (0..10).collect::<Vec<_>>());
}

#[test]
fn an_owner_that_was_stopped_and_goes_on_does_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger");
    let Some(local) = Local::start(counting(&ledger, "sleep 0.3").path()) else { return };
    for n in 0..5 {
        post(&local, n);
    }
    until("the first steps run", || (!ran(&ledger).is_empty()).then_some(()));
    let stopped = local.pid("executor");
    local.signal("executor", Signal::STOP);
    for n in 5..20 {
        post(&local, n);
    }
    // Another takes over, from the same steps' folder.
    let mut second = std::process::Command::new(tiphys_tests::binary())
        .args(["executor", "--manifests"])
        .arg(local.manifests())
        .arg("--data")
        .arg(local.data())
        .envs(local.environment("executor"))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    all_succeeded(&local, 20);
    rustix::process::kill_process(stopped, Signal::CONT).unwrap();
    for n in 20..30 {
        post(&local, n);
    }
    all_succeeded(&local, 30);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(ran(&ledger), (0..30).collect::<Vec<_>>(), "each ran once");
    let _ = second.kill();
    let _ = second.wait();
}

#[test]
fn the_falco_example_runs_on_separate_services() {
    let Some(local) = Local::start(&root().join("examples/falco-response")) else { return };
    let mut offender = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
    let alert = std::fs::read_to_string(root().join("examples/falco-response/alert.json")).unwrap();
    let alert = alert.replace("\"proc.pid\":0", &format!("\"proc.pid\":{}", offender.id()));
    let headers = [("Content-Type", "application/json")];
    let answer = local.send("POST", "/events/default/falco/alert", &headers, alert.as_bytes()).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    all_succeeded(&local, 1);
    until("the end of the offender", || offender.try_wait().unwrap());
    let id = answer.header("x-event-id").unwrap().to_owned();
    let story = local.ok(&["events", "get", &id, "--trace"]);
    assert!(story.contains("stopped"), "{story}");
}

/// What comes after an event source and a sensor, which only the API was given too: another trigger, and a template.
const GIVEN: &str = r#"
    - template: {name: nowhere, http: {url: "http://127.0.0.1:1/", method: POST}}
      retryStrategy: {steps: 1}
---
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: given}
spec:
  entrypoint: main
  templates:
    - name: main
      metadata: {annotations: {tiphys.dev/launcher: process}}
      container: {image: busybox, command: [sh, -c, "echo from a step"]}
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: given}
spec:
  schedule: "1 1 1 1 *"
  workflowSpec: {workflowTemplateRef: {name: given}}
"#;

#[test]
fn the_command_line_works_as_with_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let Some(local) = Local::start(folder.path()) else { return };
    let file = folder.path().join("given.yaml");
    std::fs::write(&file, reaction("given", "given") + GIVEN.trim_start_matches('\n')).unwrap();
    let file = file.to_str().unwrap();
    local.ok(&["apply", "-f", file]);
    // What the API was given reaches the process that receives, when it has read it.
    let answer = until("the webhook", || {
        let answer = local.send("POST", "/events/default/given/e", &[], b"{\"a\":1}").ok()?;
        (answer.status == 200).then_some(answer)
    });
    all_succeeded(&local, 1);
    let letter = until("the dead letter", || local.json(&["dlq", "list"])["items"].get(0).cloned());
    local.ok(&["dlq", "retry", &letter["sequence"].to_string()]);
    until("the second letter", || local.json(&["dlq", "list"])["items"].get(1).cloned());
    let event = answer.header("x-event-id").unwrap();
    let story = local.ok(&["events", "get", event, "--trace"]);
    assert!(story.contains("from a step"), "logs of steps are shown: {story}");
    local.ok(&["submit", "--from", "workflowtemplate/given", "--wait"]);
    local.ok(&["cron", "run", "given"]);
    all_succeeded(&local, 3);
    local.ok(&["resubmit", "@latest", "--wait"]);
    local.ok(&["trigger", "pause", "given/run"]);
    local.ok(&["replay", event]);
    until("the firing that waits", || {
        let rows = local.json(&["status"])["triggers"].clone();
        let row = rows.as_array()?.iter().find(|row| row["trigger"] == "run")?.clone();
        (row["inFlight"] == 1).then_some(())
    });
    local.ok(&["trigger", "resume", "given/run"]);
    all_succeeded(&local, 5);
    local.ok(&["delete", "-f", file]);
    until("the end of the webhook", || {
        let answer = local.send("POST", "/events/default/given/e", &[], b"{}").ok()?;
        (answer.status == 404).then_some(())
    });
    assert!(
        !local.logs().contains("Permissions Violation"),
        "each service has what it needs: {}",
        local.logs()
    );
}
