//! Artifacts through a bucket.

use std::path::Path;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};
use tiphys_servers::docker::run;
use tiphys_servers::{Moto, moto};
use tiphys_tests::server::exchange;
use tiphys_tests::{Server, until};

use crate::pods;

const MANIFESTS: &str = r#"
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {id: test-access-key, secret: test-secret-key}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: artifact-repositories
  annotations: {workflows.argoproj.io/default-artifact-repository: results}
data:
  results: |
    archiveLogs: true
    s3:
      endpoint: AUTHORITY
      bucket: results
      insecure: true
      keyFormat: "{{workflow.name}}/{{pod.name}}"
      accessKeySecret: {name: keys, key: id}
      secretKeySecret: {name: keys, key: secret}
  absent: |
    s3:
      endpoint: AUTHORITY
      bucket: absent
      insecure: true
      accessKeySecret: {name: keys, key: id}
      secretKeySecret: {name: keys, key: secret}
---
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: passing}
spec:
  entrypoint: main
  artifactGC: {strategy: OnWorkflowDeletion}
  templates:
  - name: main
    steps:
    - - {name: make, template: make}
    - - name: take
        template: take
        arguments:
          artifacts:
          - {name: zipped, from: "{{steps.make.outputs.artifacts.zipped}}"}
          - {name: tree, from: "{{steps.make.outputs.artifacts.tree}}"}
          - {name: single, from: "{{steps.make.outputs.artifacts.single}}"}
          - {name: part, from: "{{steps.make.outputs.artifacts.single}}", subPath: sub/b}
          - {name: none, from: "{{steps.make.outputs.artifacts.none}}"}
  - name: make
    script:
      image: busybox
      command: [sh]
      source: |
        echo made
        mkdir -p tree/sub
        echo A >tree/a
        echo B >tree/sub/b
        for place in "{{outputs.artifacts.zipped.path}}" "{{outputs.artifacts.tree.path}}" "{{outputs.artifacts.single.path}}"; do
          cp -r tree "$place"
        done
    outputs:
      artifacts:
      - {name: zipped, path: /out/zipped, archive: {zip: {}}, artifactGC: {strategy: OnWorkflowCompletion}}
      - {name: tree, path: /out/tree, archive: {none: {}}, artifactGC: {strategy: Never}}
      - {name: single, path: /out/single, archive: {tar: {compressionLevel: 9}}, s3: {key: "own/{{workflow.name}}.tgz"}}
      - {name: none, path: /out/none, optional: true}
  - name: take
    inputs:
      artifacts:
      - {name: zipped, path: /in/zipped}
      - {name: tree, path: /in/tree}
      - {name: single, path: /in/single}
      - {name: part, path: /in/part}
      - {name: none, path: /in/none, optional: true}
      - {name: before, path: /in/before, optional: true, s3: {key: nothing/here}}
      - {name: text, path: /in/text, raw: {data: "raw"}}
    script:
      image: busybox
      command: [sh]
      source: |
        exec >"{{outputs.parameters.all.path}}"
        cat "{{inputs.artifacts.zipped.path}}/sub/b" "{{inputs.artifacts.tree.path}}/sub/b"
        cat "{{inputs.artifacts.single.path}}/a" "{{inputs.artifacts.part.path}}" "{{inputs.artifacts.text.path}}"
        test ! -e "{{inputs.artifacts.none.path}}" && test ! -e "{{inputs.artifacts.before.path}}"
    outputs:
      parameters: [{name: all, valueFrom: {path: /out/all}}]
"#;

/// A request as somebody who may do all.
fn ask(moto: &Moto, method: &str, path: &str) -> String {
    let authority = moto.url().trim_start_matches("http://").to_owned();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {authority}\r\nAuthorization: Bearer test\r\nConnection: close\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let answer = exchange(&authority, request.as_bytes()).unwrap();
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.body);
    answer.body
}

/// Keys in the bucket.
fn keys(moto: &Moto) -> Vec<String> {
    let listed = ask(moto, "GET", "/results?list-type=2");
    let parts = listed.split("<Key>").skip(1);
    let mut keys: Vec<String> = parts.map(|part| part.split("</Key>").next().unwrap().to_owned()).collect();
    keys.sort();
    keys
}

fn node<'w>(workflow: &'w Value, name: &str) -> &'w Value {
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    nodes.values().find(|node| node["displayName"] == name).unwrap()
}

/// Takes away the logs below a folder. How many there were.
fn without_logs(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let taken = entries.map(|path| match path.is_dir() && !path.is_symlink() {
        true => without_logs(&path),
        false if path.ends_with("log") => std::fs::remove_file(path).map(|()| 1).unwrap(),
        false => 0,
    });
    taken.sum()
}

#[test]
fn a_workflow_passes_artifacts_through_a_bucket_and_tidies_it() {
    let Some(moto) = moto() else { return };
    ask(&moto, "PUT", "/results");
    let folder = tempfile::tempdir().unwrap();
    let text = MANIFESTS.replace("AUTHORITY", moto.url().trim_start_matches("http://"));
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let mut server = Server::with(folder.path(), &["--launcher", "process"], &[]);
    server.ok(&["submit", "--from", "wftmpl/passing", "--name", "one"]);
    let ended = server.ended(1).remove(0);
    assert_eq!(ended["status"]["phase"], "Succeeded", "{ended:#}");
    let (make, take) = (node(&ended, "make"), node(&ended, "take"));
    assert_eq!(take["outputs"]["parameters"][0]["value"], "B\nB\nA\nB\nraw");
    let folder = |node: &Value| format!("one/{}", node["podName"].as_str().unwrap());
    let (made, taken) = (folder(make), folder(take));
    let mut rest = vec![
        format!("{made}/main.log"),
        format!("{made}/tree/a"),
        format!("{made}/tree/sub/b"),
        format!("{taken}/main.log"),
        "own/one.tgz".to_owned(),
    ];
    rest.sort();
    // The zip went when the workflow was over.
    until("what goes on completion is gone", || (keys(&moto) == rest).then_some(()));
    let place = &make["outputs"]["artifacts"][0]["s3"];
    assert_eq!(place["key"], Value::from(format!("{made}/zipped.zip")));
    assert!(!ended.to_string().contains("test-secret-key"));

    // A machine that has not run the step has no log of its own, and shows the artifact.
    server.kill();
    assert_eq!(without_logs(&server.data().join("steps")), 2);
    server.run();
    assert_eq!(server.ok(&["logs", "one"]).matches("made").count(), 1);

    // The other goes with the workflow, but for the one that stays.
    server.ok(&["delete", "one"]);
    let left = [format!("{made}/tree/a"), format!("{made}/tree/sub/b")];
    until("what goes on deletion is gone", || (keys(&moto) == left).then_some(()));
    let log = server.log();
    assert!(!log.contains("test-secret-key"), "{log}");
}

/// What a step sees of itself: the environment of its own and of what runs it, and files with a key in them.
const LOOKS: &str = r#"echo made
        env
        tr '\0' '\n' </proc/1/environ
        for place in /*; do
          case "$place" in /proc|/sys|/dev) ;; *) grep -rls 'test-[as][ce]c' "$place" | sed 's/^/FOUND /' ;; esac
        done
        sleep 3"#;

/// The manifests where steps are no processes of ours.
fn contained(moto: &Moto) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = MANIFESTS.replace("AUTHORITY", moto.url().trim_start_matches("http://"));
    let text = text.replace("image: busybox", "image: busybox:1").replace("echo made", LOOKS);
    // A folder that the image has.
    let text = text.replace("/out/", "/tmp/");
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    folder
}

fn holds_no_key(what: &str, text: &str) {
    for key in ["test-access-key", "test-secret-key"] {
        assert!(!text.contains(key), "{what} has a key of the store: {text}");
    }
}

/// Both steps ended well, what they passed went through the bucket, and they saw no key to it.
fn passed(server: &Server, moto: &Moto, name: &str) {
    let _ = server.cli(&["wait", name]);
    let ended = server.ended(1).remove(0);
    assert_eq!(ended["status"]["phase"], "Succeeded", "{ended:#}\n{}", server.ok(&["logs", name]));
    assert_eq!(node(&ended, "take")["outputs"]["parameters"][0]["value"], "B\nB\nA\nB\nraw");
    let made = format!("{name}/{}", node(&ended, "make")["podName"].as_str().unwrap());
    let there = keys(moto);
    for key in [format!("{made}/main.log"), format!("{made}/tree/sub/b"), format!("own/{name}.tgz")] {
        assert!(there.contains(&key), "{key}: {there:?}");
    }
    let log = server.ok(&["logs", name]);
    holds_no_key("the environment", &log);
    let found = log.lines().any(|line| line.starts_with("make: FOUND "));
    assert!(log.contains("TIPHYS_NODE_ID=") && !found, "{log}");
    holds_no_key("the workflow", &ended.to_string());
    holds_no_key("the log of the server", &server.log());
}

#[test]
fn pods_pass_artifacts_through_a_bucket_without_its_keys() {
    let Some(cluster) = pods::cluster() else { return };
    let Some(moto) = moto() else { return };
    ask(&moto, "PUT", "/results");
    let server = pods::dev(cluster, "default", contained(&moto).path(), &[]);
    server.ok(&["submit", "--from", "wftmpl/passing", "--name", "in-pods"]);
    passed(&server, &moto, "in-pods");
    let listed = pods::runtime().block_on(async {
        let pods = Api::<Pod>::namespaced(cluster.client().await, "default");
        pods.list(&ListParams::default().labels("workflows.argoproj.io/workflow=in-pods")).await.unwrap()
    });
    assert_eq!(listed.items.len(), 2);
    let text = json!(listed.items).to_string();
    assert!(text.contains("TIPHYS_RUNNER"), "{text}");
    holds_no_key("a pod", &text);
}

#[test]
fn containers_pass_artifacts_through_a_bucket_without_its_keys() {
    let Some(engine) = tiphys_servers::docker() else { return };
    let Some(moto) = moto() else { return };
    engine.import_busybox("busybox:1");
    ask(&moto, "PUT", "/results");
    let host = engine.host();
    let server =
        Server::with(contained(&moto).path(), &["--launcher", "docker"], &[("DOCKER_HOST", host.as_str())]);
    server.ok(&["submit", "--from", "wftmpl/passing", "--name", "in-containers"]);
    let told = until("a container that runs", || {
        let listed = run(&mut engine.docker(&["ps", "--quiet", "--filter", "label=tiphys.dev/workflow-uid"]));
        let ids: Vec<&str> = listed.split_whitespace().collect();
        let told =
            (!ids.is_empty()).then(|| engine.docker(&[&["inspect"], &ids[..]].concat()).output().unwrap())?;
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        told.contains("TIPHYS_NODE_ID=").then_some(told)
    });
    holds_no_key("a container", &told);
    passed(&server, &moto, "in-containers");
}

#[test]
fn a_bucket_that_is_not_there_is_an_error_of_the_step() {
    let Some(moto) = moto() else { return };
    let folder = tempfile::tempdir().unwrap();
    let text = MANIFESTS.replace("AUTHORITY", moto.url().trim_start_matches("http://"));
    let text =
        text.replace("artifactGC: {strategy: OnWorkflowDeletion}", "artifactRepositoryRef: {key: absent}");
    std::fs::write(folder.path().join("all.yaml"), text).unwrap();
    let server = Server::with(folder.path(), &["--launcher", "process"], &[]);
    server.ok(&["submit", "--from", "wftmpl/passing", "--name", "one"]);
    let ended = server.ended(1).remove(0);
    assert_eq!(ended["status"]["phase"], "Failed", "{ended:#}");
    assert_eq!(node(&ended, "make")["phase"], "Error", "{ended:#}");
    let message = node(&ended, "make")["message"].as_str().unwrap();
    assert!(message.contains("bucket absent at") && message.contains("does not exist"), "{message}");
}
