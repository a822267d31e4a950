//! What a newcomer meets: where data lies, what is said at the start, hints that can be pasted, and words on what is missing.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;
use tiphys_tests::{Server, binary, counting, until};

const STEPS: &str = "
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: ship}
spec:
  entrypoint: main
  arguments: {parameters: [{name: version, value: '1'}]}
  templates:
    - name: main
      metadata: {annotations: {tiphys.dev/launcher: process}}
      container: {image: busybox, command: [sh, -c, 'echo \"version $VERSION\"'], env: [{name: VERSION, value: '{{workflow.parameters.version}}'}]}
";

/// Ends by itself if what is asked for goes on for ever.
fn soon(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new("timeout");
    command.arg("60").arg(binary()).args(arguments).envs(environment.iter().copied());
    command.stdin(Stdio::null()).output().unwrap()
}

fn written(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn path(file: &tempfile::NamedTempFile) -> &str {
    file.path().to_str().unwrap()
}

#[test]
fn what_could_never_work_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, data) = (folder.path().to_str().unwrap(), folder.path().join("data"));
    let data = data.to_str().unwrap();
    let far = ("DOCKER_HOST", "ssh://me@there");
    for (arguments, environment, words) in [
        (vec!["dev", dir, "--data", data, "--catalog", "kubernetes"], vec![], "leave out --catalog"),
        (vec!["dev", dir, "--data", data, "--port", "0"], vec![far], "DOCKER_HOST=unix:///tmp/docker.sock"),
        (vec!["executor", "--manifests", dir, "--data", data], vec![far], "ssh -L"),
        (vec!["dev", dir, "--data", data, "--docker-host", "/run/docker.sock"], vec![], "unix://PATH"),
    ] {
        let output = soon(&arguments, &environment);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
    assert!(!Path::new(data).exists(), "nothing was made for what was refused");
}

/// `tiphys dev` as it is typed in a folder, without a data folder; killed when it is dropped.
struct Typed {
    child: Child,
    log: PathBuf,
}

impl Typed {
    fn dev(within: &Path, arguments: &[&str], log: PathBuf) -> Self {
        let out = std::fs::File::create(&log).unwrap();
        let child = Command::new(binary())
            .arg("dev")
            .args(arguments)
            .args(["--port", "0"])
            .current_dir(within)
            .env_remove("TIPHYS_DATA")
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn banner(&self) -> String {
        until("the banner", || {
            let text = std::fs::read_to_string(&self.log).unwrap();
            text.contains("Ctrl-C ends").then_some(text)
        })
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn data_lies_beside_the_manifests_and_the_banner_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let manifests = folder.path().join("manifests");
    std::fs::create_dir(&manifests).unwrap();
    std::fs::write(manifests.join("all.yaml"), STEPS).unwrap();
    let data = folder.path().canonicalize().unwrap().join(".tiphys");
    for (within, arguments) in
        [(&*manifests, &["."][..]), (&manifests, &[]), (folder.path(), &["manifests/"])]
    {
        let typed = Typed::dev(within, arguments, folder.path().join("banner"));
        let banner = typed.banner();
        assert!(banner.contains(&format!("  Data       {}\n", data.display())), "{banner}");
        assert!(
            banner.contains("  Steps      processes of this machine where a manifest opts in; no Docker"),
            "{banner}"
        );
        // The command line finds the server from here, so that the hints need no options.
        assert!(banner.contains("tiphys events tail | tiphys list | tiphys status  "), "{banner}");
        let list = Command::new(binary())
            .arg("list")
            .current_dir(within)
            .env_remove("TIPHYS_DATA")
            .output()
            .unwrap();
        assert!(list.status.success(), "{}", String::from_utf8_lossy(&list.stderr));
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let arguments = [manifests.to_str().unwrap(), "--launcher", "process", "-n", "jobs"];
    let typed = Typed::dev(elsewhere.path(), &arguments, folder.path().join("banner"));
    let banner = typed.banner();
    assert!(banner.contains("  Steps      processes of this machine\n"), "{banner}");
    assert!(banner.contains(&format!("tiphys list -n jobs --data {}\n", data.display())), "{banner}");
}

#[test]
fn a_hint_that_was_printed_works_when_it_is_pasted() {
    let server = Server::on(STEPS);
    let file = written(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {name: bad, annotations: {tiphys.dev/launcher: process}}
spec:
  entrypoint: main
  templates: [{name: main, container: {image: busybox, command: [sh, -c, 'echo out of luck; exit 3']}}]
",
    );
    let output = server.cli(&["submit", path(&file), "--wait", "-n", "elsewhere"]);
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    let hint = told.lines().find_map(|line| line.strip_prefix("next: ")).unwrap();
    let (logs, retry) = hint.split_once("    ").unwrap();
    for (pasted, words) in [(logs, "out of luck"), (retry, "workflow bad retried")] {
        let path = format!("{}:{}", binary().parent().unwrap().display(), std::env::var("PATH").unwrap());
        let shell =
            Command::new("sh").args(["-c", pasted]).current_dir("/").env("PATH", path).output().unwrap();
        let printed = String::from_utf8_lossy(&shell.stdout);
        assert!(printed.contains(words), "{pasted}: {printed}{}", String::from_utf8_lossy(&shell.stderr));
    }
}

#[test]
fn what_lint_refuses_is_not_submitted() {
    let server = Server::on(STEPS);
    let workflow = |name: &str, entrypoint: &str| {
        written(&format!(
            "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: {name}, annotations: {{tiphys.dev/launcher: process}}}}
spec:
  entrypoint: {entrypoint}
  nodeSelector: {{disk: ssd}}
  templates:
    - name: main
      container: {{image: busybox, command: ['true']}}
"
        ))
    };
    let (good, wrong) = (workflow("good", "main"), workflow("wrong", "mian"));
    let lint = server.cli(&["lint", path(&wrong), "--short"]);
    let finding = String::from_utf8_lossy(&lint.stdout).into_owned();
    assert!(finding.contains(":5:15") && finding.contains("TIP-MAN-024"), "{finding}");
    let from = ["submit", "--from", "wftmpl/ship"];
    for (arguments, parts) in [
        (vec!["submit", path(&wrong)], vec!["TIP-MAN-024", ":5:15", "did you mean `main`?"]),
        // Of two none is stored.
        (vec!["submit", path(&good), path(&wrong)], vec!["TIP-MAN-024", ":5:15"]),
        (vec!["submit", path(&good), "--entrypoint", "none"], vec!["TIP-MAN-024", "`none`"]),
        (vec!["submit", path(&good), "-p", "a=1"], vec!["TIP-MAN-035", "no parameter `a`", "it takes: none"]),
        ([&from[..], &["-p", "verison=2"]].concat(), vec!["TIP-MAN-035", "did you mean `version`?"]),
    ] {
        let output = server.cli(&arguments);
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {told}");
        for part in parts {
            assert!(told.contains(part), "{arguments:?}: {part}: {told}");
        }
    }
    assert!(server.workflows().is_empty(), "nothing of it is stored");
    // Who speaks to the API gets the findings, too; and Argo's own client may add parameters, as with Argo.
    let bearer = format!("Bearer {}", server.token());
    let post = |workflow: serde_json::Value, parameter: &str| {
        let body = json!({"workflow": workflow, "submitOptions": {"parameters": [parameter]}}).to_string();
        let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        server.send("POST", "/api/v1/workflows/default", &headers, body.as_bytes()).unwrap()
    };
    let of = |name: &str, entrypoint: &str| json!({"metadata": {"name": name}, "spec": {"entrypoint": entrypoint, "templates": [{"name": "main", "suspend": {}}]}});
    let refused = post(of("wrong", "mian"), "a=1");
    assert!(refused.status == 400 && refused.body.contains("TIP-MAN-024"), "{refused:?}");
    assert_eq!(post(of("argo", "main"), "a=1").status, 200);
    // What another entrypoint mends is no error; what processes are not given is told.
    let mended = server.cli(&["submit", path(&wrong), "--entrypoint", "main", "--wait"]);
    let told = String::from_utf8_lossy(&mended.stderr);
    assert!(mended.status.success(), "{told}");
    assert!(told.contains("TIP-MAN-036") && told.contains("nodeSelector"), "{told}");
    let out = server.ok(&[&from[..], &["-p", "version=2", "--log"]].concat());
    assert!(out.contains("version 2"), "{out}");
}

#[test]
fn the_latest_workflow_right_after_a_request_is_the_one_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(counting(&folder.path().join("ledger"), "true").path());
    let mut names = std::collections::BTreeSet::new();
    for n in 1..=5 {
        server.post("in", "e", &json!({"skip": false, "n": n})).unwrap();
        let output = server.cli(&["get", "@latest", "-o", "json"]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{told}");
        let workflow: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let name = workflow["metadata"]["name"].as_str().unwrap();
        assert_eq!(workflow["spec"]["arguments"]["parameters"][0]["value"], n.to_string(), "{told}");
        assert!(told.contains(&format!("@latest is {name}, made ")), "{told}");
        assert!(names.insert(name.to_owned()));
    }
    // Its workflow is made late, and is waited for.
    server.ok(&["trigger", "pause", "s/run"]);
    server.post("in", "e", &json!({"skip": false, "n": 6})).unwrap();
    let asked = Command::new(binary())
        .args(["get", "@latest", "--data"])
        .arg(server.data())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let bearer = format!("Bearer {}", server.token());
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let resumed =
        server.send("POST", "/api/tiphys/v1/triggers/default/s/run/resume", &headers, b"{}").unwrap();
    assert_eq!(resumed.status, 200, "{}", resumed.body);
    let printed = String::from_utf8(asked.wait_with_output().unwrap().stdout).unwrap();
    assert!(printed.contains("number=6"), "{printed}");
    let name = printed.lines().find_map(|line| line.strip_prefix("Name:")).unwrap();
    names.insert(name.trim().to_owned());
    // One that starts none leaves the one before, which is said.
    server.post("in", "e", &json!({"skip": true, "n": 7})).unwrap();
    let output = server.cli(&["watch", "@latest"]);
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let name = told.split("@latest is ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    assert!(names.contains(name), "{told}");
}

#[test]
fn an_engine_that_is_missing_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.yaml"), STEPS).unwrap();
    let server = Server::with(folder.path(), &["--launcher", "docker"], &[]);
    assert!(
        server.log().contains(
            "containers of the Docker engine at unix:///nowhere/docker.sock, which does not answer"
        )
    );
    server.ok(&["submit", "--from", "wftmpl/ship", "--name", "waits"]);
    let why = until("the reason", || {
        let parts = server.json(&["status"])["parts"].clone();
        parts["executor/docker"].as_str().map(str::to_owned)
    });
    for part in ["no Docker engine answers at unix:///nowhere/docker.sock", "start one", "DOCKER_HOST"] {
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(server.json(&["get", "waits"])["status"]["finishedAt"], json!(null));
}

#[test]
fn at_most_so_many_steps_run_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("place");
    std::fs::create_dir_all(place.join("running")).unwrap();
    let manifests = folder.path().join("manifests");
    std::fs::create_dir(&manifests).unwrap();
    let server = Server::with(&manifests, &["--steps", "2"], &[]);
    let script = "mkdir running/$TIPHYS_POD_KEY; ls running | wc -l >> counts; until [ -e go ]; do sleep 0.05; done; \
        rmdir running/$TIPHYS_POD_KEY";
    let file = written(&format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: crowd, annotations: {{tiphys.dev/launcher: process}}}}
spec:
  entrypoint: main
  templates:
    - name: main
      steps: [[{{name: one, template: one, withSequence: {{count: '6'}}}}]]
    - name: one
      container: {{image: busybox, command: [sh, -c, '{}'], workingDir: '{}'}}
",
        script,
        place.display()
    ));
    server.ok(&["submit", path(&file)]);
    let phases = || {
        let nodes = server.json(&["get", "crowd"])["status"]["nodes"].clone();
        let pods = nodes
            .as_object()?
            .values()
            .filter(|node| node["type"] == "Pod")
            .map(|node| node["phase"].clone());
        let mut phases: Vec<String> = pods.map(|phase| phase.as_str().unwrap().to_owned()).collect();
        phases.sort();
        Some(phases)
    };
    let waiting = ["Pending", "Pending", "Pending", "Pending", "Running", "Running"];
    until("two run and four wait", || (phases()? == waiting).then_some(()));
    // Time for a third, if one could.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(phases().unwrap(), waiting);
    std::fs::write(place.join("go"), "").unwrap();
    server.ok(&["wait", "crowd"]);
    let counts = std::fs::read_to_string(place.join("counts")).unwrap();
    let counts: Vec<u32> = counts.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert_eq!(counts.len(), 6);
    assert!(counts.iter().all(|count| (1..=2).contains(count)), "{counts:?}");
}
