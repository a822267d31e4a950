//! Values on their way: arguments, outputs, artifacts, references to templates elsewhere.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;

use common::{Simulator, catalog, good, workflow};
use serde_json::json;
use tiphys_core::Timestamp;
use tiphys_executor::launcher::{Archive, ArtifactSource, PodResult, PodSpec, StoredArtifact};
use tiphys_executor::node::Phase;
use tiphys_executor::{names, status};

/// Every output is made, and holds its own name.
fn act(pod: &PodSpec, now: Timestamp) -> PodResult {
    let mut result = good(now);
    result.result = pod.capture_result.then(|| "printed".to_owned());
    for parameter in &pod.output_parameters {
        result.parameters.insert(parameter.name.clone(), format!("value of {}", parameter.name));
    }
    for artifact in &pod.output_artifacts {
        result.artifacts.push(StoredArtifact {
            name: artifact.name.clone(),
            key: artifact.key.clone(),
            archive: artifact.archive,
            size: 3,
            sha256: "00".into(),
        });
    }
    result
}

fn with<'a>(templates: &str, others: &[&str]) -> Simulator<'a> {
    let text = format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: w}}
spec:
  entrypoint: main
  templates:
{templates}
"
    );
    let mut simulator = Simulator::new(&workflow(&text), catalog(others), act);
    simulator.run();
    simulator
}

const LIBRARY: &str = "
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: library, annotations: {tiphys.dev/launcher: process}}
spec:
  entrypoint: outer
  arguments: {parameters: [{name: greeting, value: hello}, {name: other, value: '2'}]}
  templates:
  - name: outer
    inputs: {parameters: [{name: greeting, default: none}]}
    steps: [[{name: in, template: inner, arguments: {parameters: [{name: p, value: '{{inputs.parameters.greeting}}'}]}}]]
  - name: inner
    inputs: {parameters: [{name: p}]}
    container: {image: x, command: [echo, '{{inputs.parameters.p}}']}
";

#[test]
fn a_template_elsewhere_resolves_its_own_names_and_is_kept() {
    let main = "
  - name: main
    dag: {tasks: [{name: a, templateRef: {name: library, template: outer}}]}";
    let simulator = with(main, &[LIBRARY]);
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{:?}", simulator.phases());
    let pod = &simulator.started[0];
    assert_eq!(pod.container["command"], json!(["echo", "none"]));
    assert!(pod.process_allowed, "the library says so");
    let inner = simulator.node("w.a[0].in");
    assert_eq!(inner.target.scope, "namespaced/library");
    let object = status::object(&simulator.state);
    let stored = object["status"]["storedTemplates"].as_object().unwrap();
    assert!(stored.contains_key("namespaced/library/outer"));
    assert!(stored.contains_key("namespaced/library/inner"));
    assert_eq!(object["status"]["nodes"][names::node_id("w", "w.a")]["templateRef"]["name"], "library");

    let missing = with(&main.replace("outer", "uoter"), &[LIBRARY]);
    assert_eq!(missing.phase(), Some(Phase::Error));
    assert!(missing.node("w.a").message.contains("did you mean 'outer'"));
}

#[test]
fn a_whole_spec_elsewhere_is_merged() {
    let text = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  workflowTemplateRef: {name: library}
  arguments: {parameters: [{name: greeting, value: bye}]}
";
    let mut simulator = Simulator::new(&workflow(text), catalog(&[LIBRARY]), act);
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
    assert_eq!(simulator.started[0].container["command"], json!(["echo", "bye"]));
    assert!(simulator.started[0].process_allowed);
    assert_eq!(simulator.state.parameters.len(), 2);
}

#[test]
fn artifacts_go_from_step_to_step() {
    let simulator = with(
        "
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: take
        template: take
        arguments: {artifacts: [{name: in, from: '{{steps.make.outputs.artifacts.out}}'}]}
    outputs: {artifacts: [{name: last, from: '{{steps.make.outputs.artifacts.out}}', globalName: g}]}
  - name: make
    script:
      image: x
      command: [sh]
      source: |
        date > /tmp/out.txt; echo '{{outputs.artifacts.out.path}}' /tmp/out.txt.bak
    outputs: {artifacts: [{name: out, path: /tmp/out.txt, archive: {none: {}}}]}
  - name: take
    inputs:
      artifacts: [{name: in, path: /data/in, mode: 0644}, {name: note, path: /note, raw: {data: '{{workflow.name}}'}},
        {name: may, path: /may, optional: true}]
    container: {image: x, command: [cat, /data/in/x, '{{inputs.artifacts.in.path}}']}",
        &[],
    );
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{:?}", simulator.phases());
    let (make, take) = (&simulator.started[0], &simulator.started[1]);
    let place = format!("/steps/{}/tmp/out.txt", make.key);
    let source = format!("date > {place}; echo '{place}' /tmp/out.txt.bak\n");
    assert_eq!(make.script.as_deref(), Some(&*source));
    assert_eq!(make.output_artifacts[0].path, "/tmp/out.txt");
    let key = format!("default/w/{}/out", make.name);
    let stored = ArtifactSource::Stored { key: key.clone(), archive: Archive::None, sub_path: None };
    assert_eq!(take.inputs[0].from, stored);
    assert_eq!(take.inputs[0].mode, Some(0o644));
    assert_eq!(take.inputs[1].from, ArtifactSource::Raw("w".into()));
    assert_eq!(take.inputs.len(), 2);
    let place = format!("/steps/{}/data/in", take.key);
    assert_eq!(take.container["command"], json!(["cat", format!("{place}/x"), place]));
    assert_eq!(simulator.state.outputs.artifact("g").unwrap().source, Some(stored));
    let object = status::object(&simulator.state);
    assert_eq!(object["status"]["outputs"]["artifacts"][0]["s3"]["key"], key);
}

#[test]
fn what_was_skipped_gives_its_default_or_lets_the_consumers_apply() {
    let simulator = with(
        "
  - name: main
    steps:
    - - {name: a, template: with-default, when: 'no == yes'}
      - {name: b, template: without, when: 'no == yes'}
    - - name: use
        template: use
        arguments: {parameters: [{name: x, value: '{{steps.a.outputs.parameters.v}}'},
          {name: why, value: '{{steps.b.outputs.parameters.v}}'},
          {name: z, value: \"{{=steps.b.outputs.parameters.v ?? 'nothing'}}\"}]}
    - - name: fail
        template: use
        arguments: {parameters: [{name: x, value: 'text {{steps.b.outputs.parameters.v}}'}]}
  - name: with-default
    container: {image: x, command: [x]}
    outputs: {parameters: [{name: v, valueFrom: {path: /v, default: producer}}]}
  - name: without
    container: {image: x, command: [x]}
    outputs: {parameters: [{name: v, valueFrom: {path: /v}}]}
  - name: use
    inputs: {parameters: [{name: x}, {name: why, default: consumer}, {name: z, default: z}]}
    container: {image: x, command: ['{{inputs.parameters.x}}', '{{inputs.parameters.why}}', '{{inputs.parameters.z}}']}",
        &[],
    );
    assert_eq!(simulator.started[0].container["command"], json!(["producer", "consumer", "nothing"]));
    assert_eq!(simulator.started.len(), 1);
    let failed = simulator.node("w[2].fail");
    assert_eq!(failed.phase, Phase::Error);
    assert!(failed.message.contains("was skipped"), "{}", failed.message);
}

#[test]
fn exit_hooks_follow_their_step_and_hold_up_the_next() {
    let simulator = with(
        "
  - name: main
    dag:
      tasks:
      - name: a
        template: t
        hooks: {exit: {template: say, arguments: {parameters: [{name: v, value: '{{tasks.a.outputs.parameters.v}}'}]}}}
      - {name: b, template: t, depends: a}
  - name: t
    container: {image: x, command: [x]}
    outputs: {parameters: [{name: v, valueFrom: {path: /v}, globalName: known}]}
  - name: say
    inputs: {parameters: [{name: v}]}
    container: {image: x, command: ['{{inputs.parameters.v}}']}",
        &[],
    );
    assert_eq!(simulator.phase(), Some(Phase::Succeeded));
    let order: Vec<&str> = simulator.started.iter().map(|pod| pod.template.as_str()).collect();
    assert_eq!(order, ["t", "say", "t"]);
    assert_eq!(simulator.started[1].container["command"], json!(["value of v"]));
    assert_eq!(simulator.node("w.a.onExit").phase, Phase::Succeeded);
    let known = simulator.state.outputs.parameter("known").unwrap();
    assert_eq!(known.value.as_deref(), Some("value of v"));
}

#[test]
fn event_text_cannot_change_what_is_asked() {
    let text = "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
  arguments: {parameters: [{name: who, value: \"eve' || true || '{{workflow.uid}}\"}]}
  templates:
  - name: main
    steps: [[{name: a, template: t, when: \"'{{workflow.parameters.who}}' == 'adam'\"}],
      [{name: b, template: t, when: '{{workflow.parameters.who}} == adam'}]]
  - name: t
    container: {image: x, command: [x]}
";
    let mut simulator = Simulator::new(&workflow(text), catalog(&[]), act);
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{:?}", simulator.phases());
    assert!(simulator.started.is_empty());
}

#[test]
fn a_workflow_with_too_many_nodes_ends() {
    let simulator = with(
        "
  - name: main
    steps: [[{name: a, template: inner, withSequence: {count: '200'}}]]
  - name: inner
    steps: [[{name: a, template: wait, withSequence: {count: '200'}}]]
  - name: wait
    suspend: {}",
        &[],
    );
    assert_eq!(simulator.phase(), Some(Phase::Error));
    assert!(simulator.state.message.contains("10000 nodes"));
    assert!(simulator.state.active.is_empty());
}

#[test]
fn a_value_that_looks_like_a_variable_is_not_taken_for_one_when_the_pod_starts() {
    let main = "
  - name: main
    inputs: {parameters: [{name: p, default: 'cost $5, $(SECRET)'}]}
    script:
      image: x
      command: [sh, '$(OWN) {{inputs.parameters.p}}']
      env: [{name: P, value: '{{inputs.parameters.p}}'}]
      source: 'echo $HOME {{inputs.parameters.p}}'";
    let simulator = with(main, &[]);
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{:?}", simulator.phases());
    let pod = &simulator.started[0];
    // `$$` is what Kubernetes, and our runner, turn back into `$`; the author's own `$(OWN)` stays one.
    assert_eq!(pod.container["command"], json!(["sh", "$(OWN) cost $$5, $$(SECRET)"]));
    assert_eq!(pod.container["env"][0]["value"], "cost $$5, $$(SECRET)");
    assert_eq!(pod.script.as_deref(), Some("echo $HOME cost $5, $(SECRET)"));
}
