//! What a manifest says of pods beyond their container, and daemons: as the planner hands it to launchers.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "pods/collect.rs"]
mod collect;
#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;
#[path = "pods/places.rs"]
#[expect(unreachable_pub, reason = "shared by several tests")]
mod places;
#[path = "pods/table.rs"]
mod table;
#[path = "pods/written.rs"]
mod written;

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

fn resource(manifest: &str, more: &str, value: &str) -> Result<serde_json::Value, String> {
    let indented: String = manifest.lines().map(|line| format!("        {line}\n")).collect();
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1\nkind: Workflow\nmetadata: {{name: r}}\nspec:\n  entrypoint: main\n  \
         serviceAccountName: worker\n  arguments: {{parameters: [{{name: x, value: {}}}]}}\n  templates:\n  - name: main\n    \
         resource:\n      {more}\n      manifest: |\n{indented}",
        json!(value)
    );
    let simulator = run(&text);
    let Some(pod) = simulator.started.first() else {
        return Err(simulator.state.nodes.values().map(|node| node.message.clone()).collect());
    };
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
    let spec = pod.resource.clone().unwrap();
    assert_eq!(spec.service_account, "worker");
    assert_eq!(serde_json::from_value::<tiphys_executor::launcher::PodSpec>(json!(pod)).unwrap(), *pod);
    Ok(json!(spec.manifest)["documents"].clone())
}

#[test]
fn a_value_stays_where_its_tag_stands_in_a_manifest() {
    let name = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: {{workflow.parameters.x}}\n  namespace: shop\n";
    let quoted = name.replace("{{workflow.parameters.x}}", "\"a-{{workflow.parameters.x}}\"");
    for value in
        ["web", "web\n  namespace: kube-system", "web\n---\nkind: Secret", "a: b", "\"", "7", "x # y"]
    {
        let documents = resource(&quoted, "action: delete", value).unwrap();
        assert_eq!(documents.as_array().unwrap().len(), 1, "{value:?}");
        assert_eq!(documents[0]["metadata"]["name"], format!("a-{value}"), "{value:?}");
        assert_eq!(documents[0]["metadata"]["namespace"], "shop", "{value:?}");
        let documents = resource(name, "action: delete", value).unwrap();
        assert_eq!(documents.as_array().unwrap().len(), 1, "{value:?}");
        assert_eq!(documents[0]["metadata"]["namespace"], "shop", "{value:?}");
    }
    let parts = "kind: Deployment\nspec: {replicas: {{workflow.parameters.x}}}\ntext: {{workflow.parameters.x}} of {{workflow.name}}\n";
    let documents = resource(parts, "action: apply", "3").unwrap();
    assert_eq!(documents[0]["spec"]["replicas"], 3);
    assert_eq!(documents[0]["text"], "3 of r");
    let whole =
        resource("{{workflow.parameters.x}}", "action: create", "kind: Pod\nmetadata: {name: one}").unwrap();
    assert_eq!(whole, json!([{"kind": "Pod", "metadata": {"name": "one"}}]));
    let object = resource("kind: Pod\nlabels: {{workflow.parameters.x}}", "action: create", "{\"a\":\"b\"}");
    assert_eq!(object.unwrap()[0]["labels"]["a"], "b");
}

#[test]
fn what_a_resource_template_may_not_say_is_told() {
    let pod = "kind: Pod\n";
    for (manifest, more, said) in [
        (pod, "action: destroy", "must be one of: get, create"),
        (pod, "action: '{{workflow.parameters.x}}'", "resource.action 'v'"),
        (pod, "action: patch\n      mergeStrategy: odd", "mergeStrategy 'odd'"),
        (pod, "action: create\n      flags: [--as=admin]", "--as"),
        (pod, "action: create\n      successCondition: a b", "success condition 'a b' failed to parse"),
        (pod, "action: delete\n      successCondition: a", "not supported for delete action"),
        ("kind: A\n---\nkind: B\n", "action: create", "holds 2 objects"),
        ("", "action: create", "must be specified"),
        ("", "action: delete", "at least one of flags or manifest"),
        ("a: [", "action: create", "resource.manifest: line"),
    ] {
        let told = resource(manifest, more, "v").unwrap_err();
        assert!(told.contains(said), "{more}: {told}");
    }
}
