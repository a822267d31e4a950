//! `kill -9` of an executor that is a process of its own, on NATS: its containers and pods run on, as those of `tiphys dev` do.

use tiphys_tests::Local;

use super::crowd::{Crowd, Stage};
use super::{Told, ended_pods, exited, killed_with, made_once};
use crate::pods;
use crate::rights::Accounts;

/// The services, and the executor's own options. None where no NATS server is.
fn services(accounts: &Accounts<'_>, executor: &str) -> Option<Local> {
    let (nothing, all) = (tempfile::tempdir().unwrap(), accounts.options());
    let environment = [
        ("TIPHYS_LAUNCHER", "kubernetes"),
        ("TIPHYS_OPTIONS", all.as_str()),
        ("TIPHYS_OPTIONS_EXECUTOR", executor),
    ];
    Local::with(nothing.path(), &environment)
}

#[test]
fn containers_outlive_the_executor_and_none_runs_twice() {
    let Some(engine) = tiphys_servers::docker() else { return };
    engine.import_busybox("busybox:1");
    let (crowd, nothing, host) = (Crowd::of(20), tempfile::tempdir().unwrap(), engine.host());
    let environment = [
        ("TIPHYS_LAUNCHER", "docker"),
        ("DOCKER_HOST", host.as_str()),
        ("TIPHYS_OPTIONS_EXECUTOR", "--trust-manifests"),
    ];
    let Some(mut local) = Local::with(nothing.path(), &environment) else { return };
    let mut stage = Stage { server: &mut local, namespace: "default" };
    killed_with(&mut stage, &crowd, &crowd.workflow("busybox:1", false), &|| exited(&engine));
}

#[test]
fn a_hundred_pods_outlive_the_executor_and_none_is_made_twice() {
    let Some(told) = Told::new() else { return };
    let namespace = told.cluster.namespace();
    let accounts = Accounts::of(&told.cluster, &namespace);
    let address = format!("127.0.0.1:{}", tiphys_servers::free_port());
    let executor = format!("--runner-image busybox:1 --pods-reach {address}");
    let Some(mut local) = services(&accounts, &executor) else { return };
    told.outlive(&mut Stage { server: &mut local, namespace: &namespace });
    accounts.were_not_refused(&["executor"]);
}

#[test]
fn real_pods_outlive_the_executor_and_hand_over_what_they_made_to_the_next() {
    let Some(cluster) = pods::cluster() else { return };
    let (crowd, namespace) = (Crowd::of(12), cluster.namespace());
    let accounts = Accounts::of(cluster, &namespace);
    let (host, port) = (cluster.gateway(), tiphys_servers::free_port());
    let executor =
        format!("--host {host} --port {port} --pods-reach {host}:{port} --runner-image {}", pods::RUNNER);
    let Some(mut local) = services(&accounts, &executor) else { return };
    let mut stage = Stage { server: &mut local, namespace: &namespace };
    killed_with(&mut stage, &crowd, &crowd.workflow("busybox:1", false), &|| ended_pods(cluster, &namespace));
    made_once(cluster, &namespace, crowd.count);

    // A script's result, and its log, which another service reads: what the runner has it hands to the executor's own port.
    let folder = tempfile::tempdir().unwrap();
    stage.ok(&["submit", &pods::two_steps(folder.path(), "told", ""), "--wait"]);
    let log = stage.ok(&["logs", "told"]);
    let lines = ["plain: of the container", "told: of the runner", "told: to the other stream"];
    assert_eq!(log.lines().collect::<Vec<_>>(), lines, "{}", local.logs());
    accounts.were_not_refused(&["executor", "server"]);
    let asked = |role: &str, what: &str| accounts.requests(role).iter().any(|r| r.resource == what);
    assert!(asked("server", "pods/log"), "the log of a plain pod comes from the API server");
    assert!(!asked("executor", "pods/exec"), "no stream is opened to a runner that reaches its executor");
}
