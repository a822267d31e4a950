//! What a manifest says of pods beyond their container, and daemons: as the planner hands it to launchers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;

use common::{Simulator, catalog, failed, good, workflow};
use serde_json::{Value, json};
use tiphys_executor::launcher::PodGc;
use tiphys_executor::node::Phase;

fn run<'a>(text: &str) -> Simulator<'a> {
    let mut simulator = Simulator::new(&workflow(text), catalog(&[]), |_, now| good(now));
    simulator.run();
    simulator
}

const OPTIONS: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: one}
spec:
  entrypoint: main
  arguments: {parameters: [{name: zone, value: a}]}
  serviceAccountName: of-workflow
  nodeSelector: {disk: ssd}
  tolerations: [{key: x, operator: Exists}]
  hostAliases: [{ip: 10.0.0.1, hostnames: [one]}]
  podPriorityClassName: low
  dnsPolicy: Default
  imagePullSecrets: [{name: registry}]
  podGC: {strategy: OnPodSuccess}
  podSpecPatch: '{\"terminationGracePeriodSeconds\": 7}'
  volumes:
  - {name: mounted, emptyDir: {}}
  - {name: other, emptyDir: {}}
  volumeClaimTemplates:
  - metadata: {name: work}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
  templates:
  - name: main
    inputs: {parameters: [{name: zone, value: '{{workflow.parameters.zone}}'}]}
    serviceAccountName: of-template
    nodeSelector: {zone: '{{inputs.parameters.zone}}'}
    hostAliases: [{ip: 10.0.0.2, hostnames: [two]}]
    podSpecPatch: |
      containers:
      - name: main
        resources: {limits: {memory: 1Gi}}
    volumes: [{name: own, emptyDir: {}}]
    initContainers: [{name: first, image: x, command: [sh], mirrorVolumeMounts: true}]
    sidecars: [{name: side, image: beside}]
    container:
      image: x
      command: [sh]
      volumeMounts: [{name: mounted, mountPath: /m}, {name: work, mountPath: /w}]
";

#[test]
fn a_template_wins_over_its_workflow_and_lists_of_names_add_up() {
    let simulator = run(OPTIONS);
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{}", simulator.state.message);
    let pod = &simulator.started[0].pod;
    let member = |name: &str| pod.spec.get(name).cloned().unwrap_or(Value::Null);
    assert_eq!(member("serviceAccountName"), "of-template");
    assert_eq!(member("nodeSelector"), json!({"zone": "a"}));
    assert_eq!(member("tolerations")[0]["key"], "x");
    assert_eq!(member("hostAliases")[0]["hostnames"], json!(["one"]));
    assert_eq!(member("hostAliases")[1]["hostnames"], json!(["two"]));
    assert_eq!(member("priorityClassName"), "low");
    assert_eq!(member("dnsPolicy"), "Default");
    assert_eq!(member("imagePullSecrets"), json!([{"name": "registry"}]));
    assert_eq!(pod.gc, PodGc::OnSuccess);
    assert_eq!(pod.patches[0], json!({"terminationGracePeriodSeconds": 7}));
    assert_eq!(pod.patches[1]["containers"][0]["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(pod.sidecars[0]["image"], "beside");
    let mounts = &member("initContainers")[0]["volumeMounts"];
    assert_eq!(mounts[0]["name"], "mounted", "mirrored: {mounts}");
    assert!(member("initContainers")[0].get("mirrorVolumeMounts").is_none());
}

#[test]
fn only_volumes_that_are_used_are_there_and_claims_are_the_workflows() {
    let simulator = run(OPTIONS);
    let pod = &simulator.started[0].pod;
    let volumes = pod.spec["volumes"].as_array().unwrap();
    let names: Vec<&str> = volumes.iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["own", "mounted", "work"]);
    assert_eq!(volumes[2]["persistentVolumeClaim"], json!({"claimName": "one-work"}));
    assert_eq!(pod.claims.len(), 1);
    let missing = OPTIONS.replace("name: mounted, mountPath", "name: nowhere, mountPath");
    let simulator = run(&missing);
    assert_eq!(simulator.phase(), Some(Phase::Error));
    assert!(simulator.state.message.contains("volume 'nowhere' not found"), "{}", simulator.state.message);
}

const DAEMON: &str = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: one}
spec:
  entrypoint: main
  templates:
  - name: main
    steps:
    - - {name: server, template: server}
    - - name: client
        template: client
        arguments: {parameters: [{name: at, value: '{{steps.server.ip}}'}]}
  - name: server
    daemon: true
    container: {image: x, command: [serve]}
  - name: client
    inputs: {parameters: [{name: at}]}
    container: {image: x, command: [ask, '{{inputs.parameters.at}}']}
";

#[test]
fn a_daemon_is_done_once_it_is_ready_and_ends_with_what_it_serves() {
    let simulator = run(DAEMON);
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{}", simulator.state.message);
    assert_eq!(simulator.started[1].container["command"], json!(["ask", "10.0.0.9"]));
    let server = simulator.node("one[0].server");
    assert_eq!(server.phase, Phase::Succeeded);
    assert_eq!(simulator.stopped, vec![simulator.started[0].key.clone()]);
}

#[test]
fn a_daemon_that_ends_by_itself_has_failed() {
    let mut simulator = Simulator::new(&workflow(DAEMON), catalog(&[]), |_, now| good(now));
    let started = simulator.plan(&[]).starts;
    simulator.running.clear();
    simulator.ready.clear();
    simulator.plan(&[common::seen(&started[0], good(simulator.now))]);
    assert_eq!(simulator.node("one[0].server").phase, Phase::Failed);
    let mut simulator = Simulator::new(&workflow(DAEMON), catalog(&[]), |_, now| failed(now, 1));
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Failed));
    assert_eq!(
        simulator.node("one[0].server").phase,
        Phase::Succeeded,
        "it is ended with the steps, not failed"
    );
}
