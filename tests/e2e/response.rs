//! falco-response: a Falcosidekick alert stops the offender that it names.

use std::process::{Child, Command};

use base64::Engine as _;
use serde_json::Value;
use tiphys_tests::{Server, root, until};

fn decoy() -> Child {
    Command::new("sleep").arg("1000").spawn().unwrap()
}

fn alert(pid: u32) -> Vec<u8> {
    let text = std::fs::read_to_string(root().join("examples/falco-response/alert.json")).unwrap();
    let named = text.replace("\"proc.pid\":0", &format!("\"proc.pid\":{pid}"));
    assert_ne!(text, named, "the alert has a place for the pid");
    named.into_bytes()
}

fn post(server: &Server, body: &[u8]) -> String {
    let headers = [("Content-Type", "application/json; charset=utf-8"), ("User-Agent", "Falcosidekick")];
    let answer = server.send("POST", "/events/default/falco/alert", &headers, body).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{answer:?}");
    answer.header("x-event-id").unwrap().to_owned()
}

#[test]
fn the_offender_is_stopped_and_one_that_is_gone_is_a_success() {
    let server = Server::start(&root().join("examples/falco-response"));
    let mut offender = decoy();
    let body = alert(offender.id());
    post(&server, &body);
    let workflows = server.ended(1);
    assert_eq!(workflows[0]["status"]["phase"], "Succeeded", "{}", server.ok(&["logs", "@latest"]));
    assert!(until("the end of the offender", || offender.try_wait().unwrap()).code().is_none());
    // Once more: a new alert about a process that is gone.
    let again = String::from_utf8(body).unwrap().replace("\"uuid\":\"", "\"uuid\":\"2");
    let id = post(&server, again.as_bytes());
    let workflows = server.ended(2);
    assert!(workflows.iter().all(|w| w["status"]["phase"] == "Succeeded"));
    let story = server.ok(&["events", "get", &id, "--trace"]);
    for part in ["received", "stored", "fired", "Succeeded", "is gone already"] {
        assert!(story.contains(part), "{part} in:\n{story}");
    }
}

#[test]
fn a_process_that_has_the_number_by_now_but_is_another_is_left_alone() {
    let server = Server::start(&root().join("examples/falco-response"));
    let mut innocent = decoy();
    let body = String::from_utf8(alert(innocent.id())).unwrap();
    let body = body.replace("\"proc.name\":\"sleep\"", "\"proc.name\":\"xmrig\"");
    post(&server, body.as_bytes());
    let workflows = server.ended(1);
    assert_eq!(workflows[0]["status"]["phase"], "Succeeded");
    assert!(innocent.try_wait().unwrap().is_none(), "it lives");
    innocent.kill().unwrap();
    innocent.wait().unwrap();
}

#[test]
fn a_container_that_cannot_see_the_offender_says_so_and_fails() {
    let Some(engine) = tiphys_servers::docker::docker() else { return };
    engine.import_busybox("debian:12-slim");
    let server = Server::with(
        &root().join("examples/falco-response"),
        &["--launcher", "docker"],
        &[("DOCKER_HOST", &engine.host())],
    );
    let mut offender = decoy();
    post(&server, &alert(offender.id()));
    let workflows = server.ended(1);
    assert_eq!(workflows[0]["status"]["phase"], "Failed");
    let told = server.ok(&["logs", "@latest"]);
    assert!(told.contains("does not see the processes of the host"), "{told}");
    assert!(told.contains("--launcher process"), "{told}");
    offender.kill().unwrap();
    offender.wait().unwrap();
}

/// The shape of the published demo: legacy keys, the whole event as parameter, a fixed name, an image without command.
const SEED: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: webhook, namespace: argo-events}
spec:
  service: {ports: [{port: 12000, targetPort: 12000}]}
  webhook:
    example: {port: "12000", endpoint: /example, method: POST}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: webhook, namespace: argo-events}
spec:
  template: {serviceAccountName: operate-workflow-sa}
  dependencies:
    - {name: test-dep, eventSourceName: webhook, eventName: example}
  triggers:
    - template:
        name: argo-workflow-trigger
        argoWorkflow:
          group: argoproj.io
          version: v1alpha1
          resource: workflows
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {name: pod-delete-trigger, namespace: argo}
              spec:
                serviceAccountName: falco-pod-delete
                entrypoint: delete-pod
                arguments: {parameters: [{name: falco_event, value: "{}"}]}
                templates:
                  - name: delete-pod
                    metadata: {annotations: {tiphys.dev/launcher: process}}
                    inputs: {parameters: [{name: falco_event}]}
                    container:
                      image: example/pod-delete@sha256:0000000000000000000000000000000000000000000000000000000000000000
                      command: [sh, -c, 'printf %s "$BODY"']
                      env: [{name: BODY, value: "{{inputs.parameters.falco_event}}"}]
          parameters:
            - src: {dependencyName: test-dep}
              dest: spec.arguments.parameters.0.value
"#;

#[test]
fn a_sensor_of_the_published_demo_works_unchanged() {
    let server = Server::on(SEED);
    let alert = r#"{"uuid":"u-1","output":"a \"quoted\" <shell> \u003e","rule":"Terminal shell in container",
        "output_fields":{"evt.time":1795348800123456789,"k8s.pod.name":"web","user.loginuid":-1,"x":null}}"#;
    let headers = [("Content-Type", "application/json; charset=utf-8"), ("Falcon", "true"), ("Stuff", "yes")];
    let path = "/events/argo-events/webhook/example";
    assert_eq!(server.send("POST", path, &headers, alert.as_bytes()).unwrap().status, 200);
    let workflow = until("the workflow", || {
        let list = server.json(&["list", "-n", "argo"]);
        let workflow = list["items"].get(0)?.clone();
        workflow["status"]["finishedAt"].is_string().then_some(workflow)
    });
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    assert_eq!(workflow["metadata"]["name"], "pod-delete-trigger");
    assert_eq!(workflow["metadata"]["labels"]["events.argoproj.io/sensor"], "webhook");
    let printed = server.ok(&["logs", "pod-delete-trigger", "-n", "argo"]);
    let event: Value = serde_json::from_str(printed.split_once(": ").unwrap().1.trim()).unwrap();
    assert_eq!(event["context"]["source"], "webhook");
    assert_eq!(event["context"]["type"], "webhook");
    let data = base64::engine::general_purpose::STANDARD.decode(event["data"].as_str().unwrap()).unwrap();
    let data = String::from_utf8(data).unwrap();
    assert!(data.contains("1795348800123456789"), "{data}");
    let data: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["header"]["Falcon"], serde_json::json!(["true"]));
    assert_eq!(data["body"]["output"], "a \"quoted\" <shell> >");

    // The name is fixed: the second alert is a dead letter that says what to do.
    let second = alert.replace("u-1", "u-2");
    assert_eq!(server.send("POST", path, &headers, second.as_bytes()).unwrap().status, 200);
    let letter = until("the dead letter", || server.json(&["dlq", "list"])["items"].get(0).cloned());
    assert!(letter["reason"].as_str().unwrap().contains("exists already"), "{letter}");
    server.ok(&["delete", "pod-delete-trigger", "-n", "argo"]);
    server.ok(&["dlq", "retry", &letter["sequence"].to_string()]);
    until("the second workflow", || {
        let list = server.json(&["list", "-n", "argo"]);
        (list["items"].get(0)?["status"]["phase"] == "Succeeded").then_some(())
    });
    assert_eq!(server.send("POST", path, &headers, b"{not json").unwrap().status, 400);
}

#[test]
fn the_exact_bytes_of_a_recorded_alert_start_a_workflow() {
    let recorded = root().join("../shared/corpus/falcosidekick/webhook.http");
    let Ok(request) = std::fs::read_to_string(&recorded) else {
        // Recorded requests are not part of this repository; the shape above stands for them.
        return;
    };
    let server = Server::start(&root().join("examples/falco-response"));
    let (_, body) = request.split_once("\n\n").or_else(|| request.split_once("\r\n\r\n")).unwrap();
    let body = body.strip_suffix('\n').unwrap_or(body);
    post(&server, body.as_bytes());
    let workflows = server.ended(1);
    assert_eq!(workflows[0]["status"]["phase"], "Succeeded", "{}", server.ok(&["logs", "@latest"]));
}
