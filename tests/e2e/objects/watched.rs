//! What people see who use kubectl.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

use tiphys_servers::{Kubernetes, Process};
use tiphys_tests::{Server, reaction, until};

use super::{Sight, on_host, template};
use crate::cluster::{ended, post};

/// A workflow whose step waits for a file, and one that fails.
fn workflows(file: &Path) -> String {
    let one = |name: &str, command: &str| {
        format!(
            "---
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: {name}}}
spec:
  entrypoint: main
  templates:
  - name: main
    metadata: {{annotations: {{tiphys.dev/launcher: process}}}}
    container: {{image: 'busybox:1', command: [sh, -c, '{command}']}}
"
        )
    };
    let waits = format!("until test -e {}; do sleep 0.1; done", file.display());
    one("waits", &waits) + &one("fails", "exit 3")
}

const OTHERS: &str = "
---
apiVersion: argoproj.io/v1alpha1
kind: CronWorkflow
metadata: {name: yearly}
spec: {schedules: ['1 1 1 1 *'], workflowSpec: {entrypoint: m, templates: [{name: m, suspend: {}}]}}
---
apiVersion: argoproj.io/v1alpha1
kind: ClusterWorkflowTemplate
metadata: {name: shared}
spec: {templates: [{name: m, suspend: {}}]}
---
apiVersion: argoproj.io/v1alpha1
kind: EventBus
metadata: {name: other}
spec: {nats: {native: {replicas: 3}}}
";

/// Runs `kubectl` in a namespace; what it prints.
fn kubectl(kubernetes: &Kubernetes, namespace: &str, words: &[&str]) -> Option<String> {
    let output = kubernetes.kubectl()?.args(["-n", namespace]).args(words).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "kubectl {words:?}: {out}{err}");
    Some(out.into_owned())
}

/// Follows the workflows of a namespace; what is printed is in the file.
fn follow(mut kubectl: Command, namespace: &str, file: &Path) -> Process {
    kubectl.args(["-n", namespace, "get", "wf", "-w"]).stdin(Stdio::null());
    let printed = File::create(file).unwrap();
    Process(kubectl.stdout(printed.try_clone().unwrap()).stderr(printed).spawn().unwrap())
}

/// The statuses of each workflow in the order in which they were printed, and the last message of each. What is
/// half written is left out.
fn told(printed: &str) -> BTreeMap<&str, (Vec<&str>, String)> {
    let mut all = BTreeMap::<_, (Vec<&str>, String)>::new();
    let whole = printed.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines().skip(1) {
        let mut words = line.split_whitespace();
        let (name, status) = (words.next().unwrap(), words.next());
        let of = all.entry(name).or_default();
        if let Some(status) = status.filter(|status| of.0.last() != Some(status)) {
            of.0.push(status);
        }
        // After the age.
        of.1 = words.skip(1).collect::<Vec<_>>().join(" ");
    }
    all
}

#[test]
fn kubectl_shows_what_users_of_argo_know() {
    let Some(kubernetes) = tiphys_servers::kubernetes() else { return };
    let Some(watching) = kubernetes.kubectl() else { return };
    let sight = Sight::of(&kubernetes);
    let namespace = sight.namespace.as_str();
    let run = |words: &[&str]| kubectl(&kubernetes, namespace, words).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = |name: &str, content: &str| {
        std::fs::write(at(name), content).unwrap();
        at(name).to_str().unwrap().to_owned()
    };
    run(&["create", "secret", "generic", "word", "--from-literal=word=s3cret"]);
    let (source, template) = (reaction("react", "in"), template("busybox:1", on_host()));
    let manifests = format!("{source}---\n{template}\n{OTHERS}");
    run(&["apply", "-f", &text("manifests.yaml", &manifests)]);
    let printed = at("printed");
    let _watching = follow(watching, namespace, &printed);
    let kubeconfig = kubernetes.kubeconfig();
    let own =
        ["--kubeconfig", kubeconfig.to_str().unwrap(), "--catalog", "kubernetes", "--namespace", namespace];
    let nothing = tempfile::tempdir().unwrap();
    let server = Server::with(nothing.path(), &own, &[]);
    run(&["create", "-f", &text("workflows.yaml", &workflows(&at("go")))]);
    let shows = |begins: &str, status: &str| {
        until(&format!("{begins} is {status}"), || {
            let printed = std::fs::read_to_string(&printed).unwrap();
            let all = told(&printed);
            let mut found = all.iter().filter(|(name, _)| name.starts_with(begins));
            found.any(|(_, (statuses, _))| statuses.last() == Some(&status)).then_some(())
        });
    };
    shows("waits", "Running");
    std::fs::write(at("go"), "").unwrap();
    shows("waits", "Succeeded");
    shows("fails", "Failed");
    post(&server, &format!("/events/{namespace}/in/e"), "{}");
    shows("react-", "Succeeded");

    let printed = std::fs::read_to_string(&printed).unwrap();
    eprintln!("kubectl get wf -w printed:\n{printed}");
    let header: Vec<&str> = printed.lines().next().unwrap().split_whitespace().collect();
    assert_eq!(header, ["NAME", "STATUS", "AGE", "MESSAGE"]);
    let all = told(&printed);
    assert_eq!(all["waits"], (vec!["Running", "Succeeded"], String::new()), "{printed}");
    let message = sight.named("fails").unwrap()["status"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("exit code 3"), "{message}");
    assert_eq!(all["fails"].1, message, "{printed}");
    others(&run);
    run(&["delete", "wf", "--all"]);
    ended(&server, namespace, 0);
}

/// The other kinds, by the names that people know.
fn others(run: &dyn Fn(&[&str]) -> String) {
    for (kind, name) in [
        ("cwf", "yearly"),
        ("cronworkflows", "yearly"),
        ("eventsources", "in"),
        ("es", "in"),
        ("sensors", "react"),
        ("sn", "react"),
        ("eventbus", "other"),
        ("eb", "other"),
        ("wftmpl", "react"),
        ("cwft", "shared"),
    ] {
        let printed = run(&["get", kind]);
        let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!((rows[0].first(), rows[0].last()), (Some(&"NAME"), Some(&"AGE")), "{printed}");
        assert_eq!((rows.len(), rows[1][0]), (2, name), "{printed}");
    }
    let names = run(&["get", "wf,cwf", "-o", "name"]);
    for name in ["workflow.argoproj.io/waits", "cronworkflow.argoproj.io/yearly"] {
        assert!(names.contains(name), "{names}");
    }
}
