//! What the command line and manifests say of containers and pods, and what is done where they say nothing.

use std::path::Path;

use serde_json::{Value, json};
use tiphys_servers::{Docker, Fate, Process, Stub};
use tiphys_tests::{Server, root, until};

use crate::pods;

/// A step that tells what it may do, and one that asks for more.
const LOOKS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: looks}
spec:
  entrypoint: main
  templates:
  - name: main
    script:
      image: busybox:1
      command: [sh]
      source: |
        touch /no 2>/dev/null || echo read-only
        grep -E '^(CapEff|NoNewPrivs)' /proc/self/status | tr -d '\t'
  - name: asks
    container: {image: 'busybox:1', command: ['true'], securityContext: {privileged: true}}
"#;

/// What such a step says where everything was taken from it.
const RESTRICTED: [&str; 3] = ["read-only", "CapEff:0000000000000000", "NoNewPrivs:1"];

/// `tiphys dev` where an engine answers, with these arguments.
fn dev(engine: &Docker, manifests: &Path, arguments: &[&str]) -> Server {
    Server::with(manifests, arguments, &[("DOCKER_HOST", &engine.host())])
}

/// Has the engine write down, from now on, the names of the containers that it starts.
fn follow(engine: &Docker, file: &Path) -> Process {
    let words = ["events", "--filter", "event=start", "--format", "{{.Actor.Attributes.name}}"];
    let mut command = engine.docker(&words);
    Process(command.stdout(std::fs::File::create(file).unwrap()).spawn().unwrap())
}

/// A workflow of a template once it has ended.
fn ended(server: &Server, namespace: &str, template: &str, more: &[&str]) -> Value {
    let from = format!("workflowtemplate/{template}");
    let submit = [&["--namespace", namespace, "submit", "--from", &from, "--wait"][..], more].concat();
    let _ = server.cli(&submit);
    server.json(&["--namespace", namespace, "get", "@latest"])
}

/// What its steps wrote, without their names.
fn lines(server: &Server, namespace: &str) -> Vec<String> {
    let log = server.ok(&["--namespace", namespace, "logs", "@latest"]);
    log.lines().map(|line| line.split_once(": ").map_or(line, |(_, text)| text).to_owned()).collect()
}

#[test]
fn an_image_that_is_named_is_run_where_an_engine_answers() {
    let Some(engine) = tiphys_servers::docker() else { return };
    engine.import_busybox("busybox:1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("started");
    let _following = follow(&engine, &file);
    // As the README says it: nothing is said of where steps run.
    let server = dev(&engine, &root().join("examples/basics"), &[]);
    let workflow = ended(&server, "default", "in-containers", &[]);
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    let log = server.ok(&["logs", "@latest"]);
    assert!(log.contains("read: "), "{log}");
    until("two steps and what their network belongs to were started", || {
        let names = std::fs::read_to_string(&file).unwrap();
        (names.lines().filter(|name| name.starts_with("tiphys-")).count() >= 3).then_some(())
    });
    assert_eq!(server.json(&["status"])["parts"].get("executor/docker"), Some(&Value::Null));
}

#[test]
fn one_argument_restricts_containers() {
    let Some(engine) = tiphys_servers::docker() else { return };
    engine.import_busybox("busybox:1");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("looks.yaml"), LOOKS).unwrap();
    let server = dev(&engine, folder.path(), &["--restricted", "--trust-manifests"]);
    let workflow = ended(&server, "default", "looks", &[]);
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    assert_eq!(lines(&server, "default"), RESTRICTED);
    let asks = ended(&server, "default", "looks", &["--entrypoint", "asks"]);
    assert_eq!(asks["status"]["phase"], "Error", "{asks:#}");
    assert!(asks.to_string().contains("`--trust-manifests` and without `--restricted`"), "{asks:#}");
}

#[test]
fn one_argument_restricts_pods() {
    let Some(cluster) = pods::cluster() else { return };
    let (namespace, folder) = (cluster.namespace(), tempfile::tempdir().unwrap());
    let text = LOOKS.replace("metadata: {", &format!("metadata: {{namespace: {namespace}, "));
    std::fs::write(folder.path().join("looks.yaml"), text).unwrap();
    let server = pods::dev(cluster, &namespace, folder.path(), &["--restricted"]);
    let workflow = ended(&server, &namespace, "looks", &[]);
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    assert_eq!(lines(&server, &namespace), RESTRICTED);
    let asks = ended(&server, &namespace, "looks", &["--entrypoint", "asks"]);
    assert_eq!(asks["status"]["phase"], "Error", "{asks:#}");
    assert!(asks.to_string().contains("privileged"), "{asks:#}");
}

#[test]
fn another_attempt_goes_to_another_node() {
    let Some(cluster) = tiphys_servers::kubernetes() else { return };
    let nodes = ["one", "two"].map(|name| Stub::new(name).start(&cluster, |_| Fate::exits(1)));
    let (namespace, folder) = (cluster.namespace(), tempfile::tempdir().unwrap());
    let step = json!({"name": "main", "container": {"image": "busybox:1", "command": ["false"]},
        "retryStrategy": {"limit": 1, "retryPolicy": "Always", "affinity": {"nodeAntiAffinity": {}}}});
    let template = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "WorkflowTemplate",
        "metadata": {"name": "fails", "namespace": namespace},
        "spec": {"entrypoint": "main", "templates": [step]}});
    std::fs::write(folder.path().join("fails.yaml"), template.to_string()).unwrap();
    let server = pods::dev(&cluster, &namespace, folder.path(), &[]);
    let workflow = ended(&server, &namespace, "fails", &[]);
    assert_eq!(workflow["status"]["phase"], "Failed", "{workflow:#}");
    let all = workflow["status"]["nodes"].as_object().unwrap();
    let pods = all.values().filter(|node| node["type"] == "Pod");
    let mut hosts: Vec<&str> = pods.map(|node| node["hostNodeName"].as_str().unwrap()).collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["one", "two"], "{workflow:#}");
    let taken: Vec<usize> = nodes.iter().map(|node| node.taken().len()).collect();
    assert_eq!(taken, [1, 1]);
}
