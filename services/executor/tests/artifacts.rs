//! Where artifacts come from and go to, as the planner decides it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[expect(unreachable_pub, dead_code, reason = "shared by several tests, each using its part")]
mod common;

use std::sync::Arc;

use common::{Simulator, catalog, good, workflow};
use serde_json::{Value, json};
use tiphys_catalog::Snapshot;
use tiphys_core::Timestamp;
use tiphys_executor::launcher::{Archive, ArtifactSource, PodResult, PodSpec, StoredArtifact};
use tiphys_executor::node::Phase;
use tiphys_executor::status;

const REPOSITORIES: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata:
  name: artifact-repositories
  namespace: default
  annotations: {workflows.argoproj.io/default-artifact-repository: one}
data:
  one: |
    archiveLogs: true
    s3:
      endpoint: minio:9000
      bucket: results
      keyFormat: "{{workflow.creationTimestamp.Y}}/{{workflow.parameters.team}}/{{pod.name}}"
      accessKeySecret: {name: keys, key: id}
      secretKeySecret: {name: keys, key: secret}
  two: |
    azure: {endpoint: "https://a.blob.core.windows.net", container: c, accountKeySecret: {name: k, key: k}}
"#;

/// A workflow of one step that makes artifacts and one that takes them.
fn passing(outputs: &str, inputs: &str, more: &str) -> Value {
    workflow(&format!(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: wf, namespace: default}}
spec:
  entrypoint: main
  arguments: {{parameters: [{{name: team, value: red}}]}}
{more}
  templates:
  - name: main
    steps:
    - - {{name: make, template: make}}
    - - name: take
        template: take
        arguments: {{artifacts: [{{name: a, from: '{{{{steps.make.outputs.artifacts.a}}}}'}}]}}
  - name: make
    container: {{image: x}}
    outputs: {{artifacts: [{outputs}]}}
  - name: take
    container: {{image: x}}
    inputs: {{artifacts: [{inputs}]}}
"
    ))
}

fn act(pod: &PodSpec, now: Timestamp) -> PodResult {
    let stored = pod.output_artifacts.iter().map(|artifact| StoredArtifact {
        name: artifact.name.clone(),
        key: artifact.key.clone(),
        archive: artifact.archive,
        size: 1,
        sha256: String::new(),
    });
    PodResult { artifacts: stored.collect(), ..good(now) }
}

fn run<'a>(object: &Value, catalog: Arc<Snapshot>) -> Simulator<'a> {
    let mut simulator = Simulator::new(object, catalog, act);
    simulator.run();
    simulator
}

/// The message of the step that failed.
fn failure(simulator: &Simulator<'_>) -> String {
    let mut nodes = simulator.state.nodes.values();
    let failed = nodes.find(|node| node.phase == Phase::Error && !node.message.starts_with("child"));
    failed.map_or_else(|| simulator.state.message.clone(), |node| node.message.clone())
}

/// A key that is a location, as JSON.
fn location(key: &str) -> Value {
    serde_json::from_str(key).unwrap()
}

#[test]
fn without_a_repository_the_own_folder_is_used() {
    let outputs = "{name: a, path: /a}, {name: b, path: /b, archive: {zip: {}}}, {name: c, path: /c, archive: {none: {}}}, \
         {name: d, path: /d, archive: {tar: {compressionLevel: 9}}}, {name: e, path: /e, s3: {key: 'x/{{workflow.name}}'}}, \
         {name: f, path: /f, archive: {tar: {compressionLevel: -1}}, optional: true}";
    let simulator = run(&passing(outputs, "{name: a, path: /in}", ""), catalog(&[]));
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{}", failure(&simulator));
    let [make, take] = simulator.started.as_slice() else { panic!("{:?}", simulator.started) };
    let keys: Vec<_> =
        make.output_artifacts.iter().map(|a| (a.key.as_str(), a.archive, a.optional)).collect();
    let below = |name: &str| format!("default/wf/{}/{name}", make.name);
    assert_eq!(
        keys,
        [
            (below("a.tgz").as_str(), Archive::Tar, false),
            (below("b.zip").as_str(), Archive::Zip, false),
            (below("c").as_str(), Archive::None, false),
            (below("d.tgz").as_str(), Archive::TarLevel(9), false),
            ("default/x/wf", Archive::Tar, false),
            (below("f.tgz").as_str(), Archive::Tar, true),
        ]
    );
    let stored = ArtifactSource::Stored { key: below("a.tgz"), archive: Archive::Tar, sub_path: None };
    assert_eq!(take.inputs[0].from, stored);
    assert!(!make.archive_logs && make.log_key.is_none());
}

#[test]
fn a_repository_of_the_namespace_gives_store_key_and_logs() {
    let outputs = "{name: a, path: /a}, {name: own, path: /b, s3: {key: 'fixed/{{pod.name}}'}}";
    let object = passing(outputs, "{name: a, path: /in}", "");
    let mut simulator = Simulator::new(&object, catalog(&[REPOSITORIES]), act);
    simulator.plan(&[]);
    // What was found at the beginning stays in force.
    simulator.catalog = catalog(&[]);
    simulator.run();
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{}", failure(&simulator));
    let make = &simulator.started[0];
    let at = location(&make.output_artifacts[0].key);
    assert_eq!(
        at,
        json!({"namespace": "default", "s3": {"endpoint": "minio:9000", "bucket": "results",
            "key": format!("2026/red/{}/a.tgz", make.name),
            "accessKeySecret": {"name": "keys", "key": "id"}, "secretKeySecret": {"name": "keys", "key": "secret"}}})
    );
    let own = location(&make.output_artifacts[1].key);
    assert_eq!(own["s3"]["key"], json!(format!("fixed/{}", make.name)));
    assert!(make.archive_logs);
    let log = location(make.log_key.as_ref().unwrap());
    assert_eq!(log["s3"]["key"], json!(format!("2026/red/{}/main.log", make.name)));
    let ArtifactSource::Stored { key, .. } = &simulator.started[1].inputs[0].from else { panic!() };
    assert_eq!(location(key), at);

    let shown = status::object(&simulator.state);
    let reference = &shown["status"]["artifactRepositoryRef"];
    assert_eq!(
        (&reference["configMap"], &reference["key"]),
        (&json!("artifact-repositories"), &json!("one"))
    );
    let node = &shown["status"]["nodes"][&make.node_id];
    assert_eq!(node["outputs"]["artifacts"][0]["s3"], at["s3"]);
}

#[test]
fn a_workflow_may_name_another_repository() {
    let more = "  artifactRepositoryRef: {key: two}";
    let simulator =
        run(&passing("{name: a, path: /a}", "{name: a, path: /in}", more), catalog(&[REPOSITORIES]));
    let make = &simulator.started[0];
    let at = location(&make.output_artifacts[0].key);
    assert_eq!(at["azure"]["blob"], json!(format!("wf/{}/a.tgz", make.name)));
    let more = "  artifactRepositoryRef: {configMap: mine}";
    let simulator =
        run(&passing("{name: a, path: /a}", "{name: a, path: /in}", more), catalog(&[REPOSITORIES]));
    assert_eq!(simulator.phase(), Some(Phase::Error));
    assert!(
        simulator.state.message.contains("ConfigMap default/mine does not exist"),
        "{}",
        simulator.state.message
    );
}

#[test]
fn a_place_of_its_own_is_taken_as_it_is() {
    let s3 = "s3: {endpoint: 's3.amazonaws.com', bucket: 'b-{{workflow.parameters.team}}', key: k, accessKeySecret: {name: k, key: i}}";
    let outputs = format!(
        "{{name: a, path: /a, {s3}}}, {{name: b, path: /b, s3: {{bucket: other, key: k2}}}}, \
         {{name: c, path: /c, gcs: {{bucket: g}}}}, {{name: d, path: /d, http: {{url: 'https://x/{{{{pod.name}}}}'}}}}"
    );
    let inputs = "{name: a, path: /in}, {name: code, path: /src, git: {repo: 'https://x/r.git', revision: v1, depth: 1}}, \
         {name: page, path: /page, http: {url: 'https://x/{{inputs.artifacts.a.path}}'}}";
    let inputs = inputs.replace("{{inputs.artifacts.a.path}}", "{{workflow.parameters.team}}");
    let simulator = run(&passing(&outputs, &inputs, ""), catalog(&[REPOSITORIES]));
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{}", failure(&simulator));
    let [make, take] = simulator.started.as_slice() else { panic!("{:?}", simulator.started) };
    let at: Vec<_> = make.output_artifacts.iter().map(|artifact| location(&artifact.key)).collect();
    assert_eq!(
        (&at[0]["s3"]["bucket"], &at[0]["s3"]["endpoint"]),
        (&json!("b-red"), &json!("s3.amazonaws.com"))
    );
    // How another bucket is reached is taken from the repository.
    assert_eq!((&at[1]["s3"]["bucket"], &at[1]["s3"]["endpoint"]), (&json!("other"), &json!("minio:9000")));
    assert_eq!(at[2]["gcs"]["key"], json!(format!("2026/red/{}/c.tgz", make.name)));
    assert_eq!(at[3]["http"]["url"], json!(format!("https://x/{}", make.name)));
    let from = |index: usize| match &take.inputs[index].from {
        ArtifactSource::Stored { key, .. } => location(key),
        other => panic!("{other:?}"),
    };
    assert_eq!(from(1)["git"], json!({"repo": "https://x/r.git", "revision": "v1", "depth": 1}));
    assert_eq!(from(2)["http"]["url"], "https://x/red");
}

#[test]
fn a_template_may_have_a_store_of_its_own() {
    let object = workflow(
        "
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: wf, namespace: default}
spec:
  entrypoint: main
  templates:
  - name: main
    archiveLocation: {archiveLogs: true, s3: {endpoint: e, bucket: b, key: 'logs/{{workflow.name}}', accessKeySecret: {name: k, key: i}}}
    container: {image: x}
    outputs: {artifacts: [{name: a, path: /a}]}
",
    );
    let simulator = run(&object, catalog(&[]));
    let pod = &simulator.started[0];
    assert_eq!(location(&pod.output_artifacts[0].key)["s3"]["key"], "logs/wf/a.tgz");
    assert_eq!(location(pod.log_key.as_ref().unwrap())["s3"]["key"], "logs/wf/main.log");
}

#[test]
fn what_cannot_be_is_said_before_a_pod_runs() {
    let catalog = catalog(&[]);
    for (output, why) in [
        ("{name: a, path: /a, oss: {key: k}}", "`oss` is not supported"),
        ("{name: a, path: /a, git: {repo: r}}", "nothing is stored in a git repository"),
        ("{name: a, path: /a, s3: {bucket: b, key: k}}", "s3.endpoint is missing"),
        (
            "{name: a, path: /a, s3: {endpoint: e, bucket: b, key: k, roleARN: r}}",
            "`s3.roleARN` is not supported",
        ),
        ("{name: a, path: /a, archive: {tar: {compressionLevel: 12}}}", "compressionLevel 12"),
    ] {
        let simulator = run(&passing(output, "{name: a, path: /in}", ""), catalog.clone());
        assert_eq!(simulator.phase(), Some(Phase::Failed), "{output}");
        assert!(failure(&simulator).contains(why), "{output}: {}", failure(&simulator));
        assert!(simulator.started.is_empty(), "{output}");
    }
    let more = "  artifactGC: {strategy: Sometimes}";
    let simulator = run(&passing("{name: a, path: /a}", "{name: a, path: /in}", more), catalog);
    assert!(
        simulator.state.message.contains("artifactGC.strategy 'Sometimes'"),
        "{}",
        simulator.state.message
    );
}

#[test]
fn an_optional_input_may_be_absent() {
    let inputs = "{name: a, path: /in}, {name: more, path: /more, optional: true}";
    let simulator = run(&passing("{name: a, path: /a}", inputs, ""), catalog(&[]));
    assert_eq!(simulator.phase(), Some(Phase::Succeeded), "{}", failure(&simulator));
    let names: Vec<_> = simulator.started[1].inputs.iter().map(|input| input.name.as_str()).collect();
    assert_eq!(names, ["a"]);
    let inputs = inputs.replace(", optional: true", "");
    let simulator = run(&passing("{name: a, path: /a}", &inputs, ""), catalog(&[]));
    assert!(failure(&simulator).contains("more was not supplied"), "{}", failure(&simulator));
}
