//! Of two processes that may write the objects one is stopped in the middle of a write, and goes on when the other has taken over.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};
use tiphys_servers::flaky::{Fault, Flaky};
use tiphys_servers::{Process, missing, program};
use tiphys_tests::{Local, binary, until};

use super::{Sight, on_host};

#[test]
fn one_that_was_stopped_and_goes_on_overwrites_no_status() {
    if program("nats-server").is_none() {
        return missing("nats-server");
    }
    let Some(kubernetes) = tiphys_servers::kubernetes() else { return };
    let sight = Sight::of(&kubernetes);
    let flaky = Flaky::before(&kubernetes);
    let options = format!("--catalog kubernetes --kubeconfig {}", flaky.kubeconfig().display());
    let folder = tempfile::tempdir().unwrap();
    let manifests = tempfile::tempdir().unwrap();
    let Some(local) = Local::with(manifests.path(), &[("TIPHYS_OPTIONS", &options)]) else { return };

    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    sight.make(&two_steps(&first, &second));
    let running = |progress: &str| {
        until(&format!("it shows {progress}"), || {
            let status = sight.named("one").unwrap()["status"].clone();
            (status["phase"] == "Running" && status["progress"] == progress).then_some(())
        });
    };
    running("0/1");
    // The first step's end is on its way to the object when the process is stopped.
    flaky.inject(1, Fault::Held, |asked| asked.verb == "patch" && asked.resource.starts_with("workflows"));
    std::fs::write(&first, "").unwrap();
    let of_held = || flaky.seen().into_iter().rfind(|asked| asked.verb == "patch" && asked.status == 0);
    until("a write is on its way", of_held);
    local.signal("server", Signal::STOP);

    let mut other = Command::new(binary());
    other.args(["server", "--catalog", "kubernetes", "--kubeconfig"]);
    other.arg(kubernetes.kubeconfig()).arg("--data").arg(folder.path().join("data"));
    other.envs(local.environment("server")).stdout(Stdio::null()).stderr(Stdio::null());
    let _other = Process(other.spawn().unwrap());
    running("1/2");
    std::fs::write(&second, "").unwrap();
    let written = sight.one_over("one");
    assert_eq!(written["status"]["phase"], "Succeeded", "{written:#}");

    let held = flaky.seen().iter().rposition(|asked| asked.verb == "patch" && asked.status == 0).unwrap();
    flaky.let_requests_go();
    until("the write arrives", || (flaky.seen()[held].status != 0).then_some(()));
    assert_eq!(flaky.seen()[held].status, 409, "it is one of before");
    local.signal("server", Signal::CONT);
    // Long enough for it to find out, and to write what it has in mind if it were allowed to.
    for _ in 0..50 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = sight.named("one").unwrap();
        assert_eq!(version(&now), version(&written), "{now:#}");
    }
    until("it answers", || local.send("GET", "/readyz", &[], b"").ok());
    assert_eq!(local.up(), Vec::<String>::new());
}

fn version(object: &Value) -> &str {
    object["metadata"]["resourceVersion"].as_str().unwrap()
}

/// A workflow of two steps, each of which waits for a file.
fn two_steps(first: &std::path::Path, second: &std::path::Path) -> Value {
    let step = |name: &str, file: &std::path::Path| {
        let command = format!("until test -e {}; do sleep 0.1; done", file.display());
        json!({"name": name, "metadata": {"annotations": on_host()},
            "container": {"image": "busybox:1", "command": ["sh", "-c", command]}})
    };
    let steps = json!([[{"name": "a", "template": "a"}], [{"name": "b", "template": "b"}]]);
    json!({"apiVersion": super::ARGO, "kind": "Workflow", "metadata": {"name": "one"},
        "spec": {"entrypoint": "main", "templates": [
            {"name": "main", "steps": steps}, step("a", first), step("b", second)]}})
}
