//! Tests of the checks across objects.

use super::*;
use crate::{LoadOptions, diagnostic, load};

/// `code line message` of each finding of these codes; of all where none is given.
fn findings(text: &str, codes: &[&str]) -> Vec<String> {
    let loaded = load::load("a.yaml", text, &LoadOptions::default());
    assert!(!loaded.has_errors(), "{:?}", loaded.diagnostics);
    let objects: Vec<_> = loaded.objects.into_iter().map(Arc::new).collect();
    check(&objects)
        .iter()
        .filter(|finding| codes.is_empty() || codes.contains(&finding.code.as_str()))
        .map(|f| format!("{}:{} {} {}; {}", f.line, f.column, f.code, f.message, f.help))
        .collect()
}

const SOURCE: &str = "apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: hooks}
spec:
  webhook:
    alerts: {port: '12000', endpoint: /alerts, method: POST, authSecret: {name: s, key: k}}
    tickets: {port: 12000, endpoint: alerts/, method: POST}
  amqp:
    queue: {url: x, exchangeName: z}
---
";

#[test]
fn what_a_sensor_names_must_exist() {
    let sensor = "apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: s}
spec:
  dependencies:
  - {name: alert, eventSourceName: hooks, eventName: alertz}
  - {name: queue, eventSourceName: hook, eventName: x}
  - {name: queue, eventSourceName: hooks, eventName: queue}
  triggers:
  - template:
      name: one
      conditions: (alert && que-ue) || !queue
      http:
        url: http://x
        payload:
        - {src: {dependencyName: alrt, dataKey: body}, dest: a}
    parameters:
    - {src: {dependencyName: alert, value: x}, dest: http.url}
  - template:
      name: two
      slack: {channel: x}
";
    let found = findings(&format!("{SOURCE}{sensor}"), &[]);
    assert_eq!(
        found,
        [
            "7:5 TIP-MAN-029 webhook `tickets` takes requests from anybody who reaches it; set `authSecret` (a bearer \
             token), or `auth` with the sender's signature",
            "7:28 TIP-MAN-028 port 12000 with endpoint /alerts is claimed by default/hooks/alerts already; change one \
             of them, or use the address /events/default/hooks/tickets on the main port",
            "8:3 TIP-MAN-101 the event source kind `amqp` is valid, and not run yet: no event comes from it; remove \
             it, or run this one elsewhere for now",
            "16:54 TIP-MAN-021 EventSource `hooks` has no event `alertz`; did you mean `alerts`?",
            "17:36 TIP-MAN-020 there is no EventSource `hook` in namespace default; did you mean `hooks`?",
            "18:12 TIP-MAN-031 two dependencies are named `queue`; rename one of them",
            "22:19 TIP-MAN-022 no dependency of the Sensor is named `que-ue`; did you mean `queue`?",
            "26:34 TIP-MAN-023 no dependency of the Sensor is named `alrt`; did you mean `alert`?",
            "31:7 TIP-MAN-159 the trigger kind `slack` is valid, and not run yet: its firings become dead letters; \
             remove it, or run this one elsewhere for now",
        ]
    );
}

#[test]
fn templates_that_are_named_must_exist() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: shared}
spec:
  templates:
  - {name: scan, container: {image: x, command: [scan]}}
---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: mian
  onExit: main
  hooks: {exit: {template: gone}}
  templates:
  - name: main
    steps:
    - - {name: a, template: main2}
      - {name: b, templateRef: {name: shared, template: scn}}
      - {name: c, templateRef: {name: shard, template: x}}
      - {name: d, template: '{{inputs.parameters.which}}'}
    - - name: e
        inline:
          dag:
            tasks:
            - {name: f, template: nowhere}
  - {name: main2, suspend: {}}
  - {name: main2, suspend: {}}
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: c}
spec:
  schedule: '0 1 * * *'
  workflowSpec:
    entrypoint: scan
    workflowTemplateRef: {name: shared}
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: d}
spec:
  schedule: '0 1 * * *'
  workflowSpec:
    entrypoint: anything
    workflowTemplateRef: {name: other, clusterScope: true}
";
    let found = findings(text, &["TIP-MAN-024", "TIP-MAN-025", "TIP-MAN-031"]);
    assert_eq!(
        found,
        [
            "12:15 TIP-MAN-024 there is no template `mian` here; did you mean `main`?",
            "14:28 TIP-MAN-024 there is no template `gone` here; add it, or correct the name",
            "19:57 TIP-MAN-024 WorkflowTemplate `shared` has no template `scn`; did you mean `scan`?",
            "20:39 TIP-MAN-025 there is no WorkflowTemplate `shard` among the objects given; did you mean `shared`?",
            "26:35 TIP-MAN-024 there is no template `nowhere` here; add it, or correct the name",
            "28:12 TIP-MAN-031 two templates are named `main2`; rename one of them",
            "46:33 TIP-MAN-025 there is no ClusterWorkflowTemplate `other` among the objects given; add it, or \
             correct the name",
        ]
    );
}

#[test]
fn tags_must_name_something() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: w}
spec:
  entrypoint: main
  templates:
  - name: main
    inputs: {parameters: [{name: table}]}
    steps:
    - - {name: first, template: leaf, arguments: {parameters: [{name: x, value: '{{input.parameters.table}}'}]}}
    - - {name: second, template: leaf, when: '{{steps.frist.outputs.result}} == 1', arguments: {parameters: [{name: x, value: '{{inputs.parameters.tables}} {{item.a}} {{= steps.x }} {{ .Go }} {{jinja}} {{workflow.name}}'}]}}
  - name: leaf
    container: {image: x, command: [echo], args: ['{{inputs.parameters.x}}']}
";
    let found = findings(text, &["TIP-MAN-026"]);
    let lines: Vec<_> =
        found.iter().map(|line| line.split_once("TIP-MAN-026 ").map_or("", |(_, rest)| rest)).collect();
    assert_eq!(
        lines,
        [
            "`{{input.parameters.table}}` names nothing: there is no `input` to take a value from; did you mean \
             `inputs`?",
            "`{{steps.frist.outputs.result}}` names nothing: there is no step `frist` here; did you mean `first`?",
            "`{{inputs.parameters.tables}}` names nothing: there is no input parameter `tables` here; did you mean \
             `table`?",
            "`{{jinja}}` names nothing: there is no `jinja` to take a value from; it stays as it is; if that is meant, \
             nothing needs to be done",
            "`{{inputs.parameters.x}}` names nothing: there is no input parameter `x` here; declare it, or correct \
             the name",
        ]
    );
}

#[test]
fn text_from_outside_is_no_command() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: w}
spec:
  templates:
  - name: a
    inputs: {parameters: [{name: x}]}
    script:
      image: x
      command: [sh]
      source: |
        echo {{inputs.parameters.x}}
  - name: b
    container: {image: x, command: [/bin/bash, -ec], args: ['echo {{workflow.parameters.y}}', '{{workflow.name}}']}
  - name: c
    container: {image: x, command: [sh], args: [-c, 'echo {{=sprig.upper(inputs.parameters.x)}}']}
    inputs: {parameters: [{name: x}]}
  - name: good
    inputs: {parameters: [{name: x}]}
    script:
      image: x
      command: [sh]
      env: [{name: X, value: '{{inputs.parameters.x}}'}]
      source: echo \"$X\" {{workflow.name}}
  - name: plain
    inputs: {parameters: [{name: x}]}
    container: {image: x, command: [grep, -c], args: ['{{inputs.parameters.x}}']}
";
    let found = findings(text, &["TIP-MAN-027"]);
    let places: Vec<_> = found.iter().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(places, ["12:9", "14:61", "16:53"]);
}

#[test]
fn what_a_trigger_submits_is_checked_too() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: s}
spec:
  dependencies: [{name: a, eventSourceName: '*', eventName: '*'}]
  triggers:
  - template:
      name: t
      argoWorkflow:
        operation: submit
        source:
          resource:
            apiVersion: argoproj.io/v1alpha1
            kind: Workflow
            metadata: {generateName: w-}
            spec:
              entrypoint: mian
              synchronization: {mutexes: [{name: m}]}
              templates:
              - name: main
                memoize: {key: k}
                daemon: false
                container: {image: x}
";
    let found = findings(text, &[]);
    let short: Vec<_> = found.iter().map(|line| line.get(..17).unwrap_or_default()).collect();
    assert_eq!(short, ["17:27 TIP-MAN-024", "18:15 TIP-MAN-191", "21:17 TIP-MAN-180"]);
}

#[test]
fn foreign_buses_are_mapped() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {name: default}
spec:
  nats:
    native: {replicas: 3}
---
apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {name: other}
spec:
  jetstream: {version: latest}
";
    let found = findings(text, &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("6:5 TIP-MAN-030 NATS streaming is retired"));
}

#[test]
fn strict_refuses_what_would_surprise() {
    let loaded = load::load("a.yaml", SOURCE, &LoadOptions::default());
    let objects: Vec<_> = loaded.objects.into_iter().map(Arc::new).collect();
    let mut found = check(&objects);
    assert!(!found.iter().any(crate::Diagnostic::is_error));
    diagnostic::strict(&mut found);
    let errors: Vec<_> = found.iter().filter(|d| d.is_error()).map(|d| d.code.as_str()).collect();
    assert_eq!(errors, ["TIP-MAN-028", "TIP-MAN-101"]);
}
