//! Each service a process of its own, on NATS, with an account of its own that may do what `deploy/kubernetes` says and no more.

use std::process::{Command, Stdio};

use serde_json::json;
use tiphys_kit::kubernetes::PatchKind;
use tiphys_servers::{missing, program};
use tiphys_tests::{Local, binary, until};

use super::{ARGO, Sight, on_host, template, workflow};
use crate::cluster::ended;

const ROLES: [&str; 6] = ["bus", "server", "eventsource", "sensor", "trigger", "executor"];

#[test]
fn separate_services_read_the_objects_of_a_cluster() {
    if program("nats-server").is_none() {
        return missing("nats-server");
    }
    let Some(kubernetes) = tiphys_servers::kubernetes() else { return };
    let sight = Sight::of(&kubernetes);
    sight.rules();
    let namespace = sight.namespace.as_str();
    for role in ROLES {
        let account = format!("tiphys-{role}");
        sight.account(&account, &[&format!("tiphys-catalog-{role}")]);
        let _ = kubernetes.kubeconfig_of(namespace, &account);
    }
    sight.source();
    sight.make(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "word"}, "stringData": {"word": "s3cret"}}));
    sight.make(&template("busybox:1", on_host()));
    let folder = kubernetes.kubeconfig().parent().unwrap().to_owned();
    let kubeconfig = |role: &str| folder.join(format!("{namespace}.tiphys-{role}.kubeconfig"));
    let options = format!("--catalog kubernetes --kubeconfig {}", kubeconfig("{role}").display());
    let nothing = tempfile::tempdir().unwrap();
    let Some(local) = Local::with(nothing.path(), &[("TIPHYS_OPTIONS", &options)]) else { return };

    // An event makes a workflow, and that has an object.
    let path = format!("/events/{namespace}/in/e");
    let sent = |path: &str| {
        until("a 200", || local.send("POST", path, &[], b"{}").ok().filter(|answer| answer.status == 200))
    };
    sent(&path);
    let reaction = &sight.over(1)[0];
    assert_eq!(reaction["status"]["phase"], "Succeeded", "{reaction:#}\n{}", local.logs());
    assert!(reaction["metadata"]["annotations"]["tiphys.dev/workflow"].is_string());

    // A Workflow object that names a Secret which no template names.
    let own = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own"}, "stringData": {"word": "s3cret"}});
    sight.make(&own);
    let mut object = workflow("object", on_host());
    object["spec"]["templates"] = template("busybox:1", on_host())["spec"]["templates"].clone();
    object["spec"]["templates"][0]["container"]["env"][0]["valueFrom"]["secretKeyRef"]["name"] = json!("own");
    sight.make(&object);
    let live = sight.one_over("object");
    assert_eq!(live["status"]["phase"], "Succeeded", "{live:#}");
    assert!(local.ok(&["logs", "object", "-n", namespace]).contains("the word is known"));

    // What is changed is in force.
    let sources = sight.eyes.objects(ARGO, "EventSource", namespace);
    let change = json!({"spec": {"webhook": {"late": {"endpoint": "/late", "method": "POST"}}}});
    sight.eyes.runtime.block_on(sources.patch("in", "", PatchKind::Merge, &change)).unwrap();
    sent(&format!("/events/{namespace}/in/late"));

    // A second API takes over when the first is gone; what happened in between is not lost.
    let second = folder.join("second");
    let mut other = Command::new(binary())
        .args(["server", "--catalog", "kubernetes", "--kubeconfig"])
        .arg(kubeconfig("server"))
        .arg("--data")
        .arg(&second)
        .envs(local.environment("server"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until("the second API", || second.join("server.json").exists().then_some(()));
    local.kill("server");
    sight.make(&workflow("after", on_host()));
    let live = sight.one_over("after");
    assert_eq!(live["status"]["phase"], "Succeeded", "{live:#}");
    sight.delete("after");
    sight.delete("object");
    assert_eq!(local.up(), ["server"]);
    ended(&local, namespace, 1);
    let logs = local.logs();
    assert!(
        !logs.contains("Permissions Violation") && !logs.contains(" may not "),
        "each has what it needs: {logs}"
    );
    let _ = other.kill();
    let _ = other.wait();
}
