//! Somebody who may work in one namespace, and sees nothing of the rest of the cluster.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tiphys_servers::kubernetes::{Part, Setup};
use tiphys_servers::{Fate, Kubernetes, Stub};
use tiphys_tests::{Server, root};

use super::{Sight, documents, template, workflow};
use crate::cluster::{ended, post};

const RBAC: &str = "rbac.authorization.k8s.io";
/// The rights of all services, which `tiphys dev` needs together.
const ALL: [&str; 6] = [
    "tiphys-catalog-bus",
    "tiphys-catalog-server",
    "tiphys-catalog-eventsource",
    "tiphys-catalog-sensor",
    "tiphys-catalog-trigger",
    "tiphys-catalog-executor",
];
/// For pods in one namespace.
const PODS: [&str; 2] = ["tiphys-executor", "tiphys-namespace"];

/// Gives an account of the namespace these rights there, and none elsewhere.
fn bind(sight: &Sight<'_>, account: &str, kind: &str, roles: &[&str]) {
    for role in roles {
        sight.make(&json!({"apiVersion": format!("{RBAC}/v1"), "kind": "RoleBinding",
            "metadata": {"name": format!("{account}-{role}")},
            "roleRef": {"apiGroup": RBAC, "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": sight.namespace}]}));
    }
}

fn account(sight: &Sight<'_>, name: &str) {
    sight.make(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}));
}

/// Makes the Roles of a file in the namespace.
fn roles(sight: &Sight<'_>, file: &str) {
    for object in documents(&root().join("deploy/kubernetes").join(file)) {
        if object["kind"] == "Role" {
            sight.make(&object);
        }
    }
}

/// What an account asked for and was refused: verb, resource and namespace.
fn refused(kubernetes: &Kubernetes, namespace: &str, account: &str) -> BTreeSet<String> {
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let all = kubernetes.requests().into_iter();
    let refused = all.filter(|asked| asked.user == user && asked.status == 403);
    refused.map(|asked| format!("{} {} {}", asked.verb, asked.resource, asked.namespace)).collect()
}

fn set(all: &[&str]) -> BTreeSet<String> {
    all.iter().map(|&one| one.to_owned()).collect()
}

#[test]
fn the_roles_of_a_namespace_are_those_of_the_cluster_without_what_has_no_namespace() {
    let of = |file: &str| documents(&root().join("deploy/kubernetes").join(file));
    let wanted = of("catalog-roles.yaml").into_iter().map(|mut role| {
        role["kind"] = json!("Role");
        for rule in role["rules"].as_array_mut().unwrap() {
            let resources = rule["resources"].as_array_mut().unwrap();
            resources.retain(|resource| resource != "clusterworkflowtemplates");
        }
        role
    });
    let mut own = of("namespaced-roles.yaml");
    let namespace = own.pop().unwrap();
    assert_eq!(own, wanted.collect::<Vec<Value>>());
    assert_eq!(namespace["metadata"]["name"], "tiphys-namespace");
}

#[test]
fn whoever_may_work_in_one_namespace_runs_pods_and_objects_there() {
    let Some(kubernetes) = Setup::new().audited().start() else { return };
    // The stub takes every pod at once.
    kubernetes.kill(Part::Scheduler);
    let _kubelet = Stub::new("stub").binding().start(&kubernetes, |_| Fate::exits(0));
    let mut sight = Sight::of(&kubernetes);
    sight.rules();
    let folder = tempfile::tempdir().unwrap();
    let nothing = tempfile::tempdir().unwrap();

    // Manifests of a folder: pods of the whole cluster may not be seen, so those of the namespace do.
    account(&sight, "pods");
    roles(&sight, "namespaced-roles.yaml");
    bind(&sight, "pods", "Role", &PODS);
    let file = folder.path().join("one.yaml");
    std::fs::write(&file, workflow("one", json!({})).to_string()).unwrap();
    let namespace = sight.namespace.clone();
    let kubeconfig = kubernetes.kubeconfig_of(&namespace, "pods");
    let own = ["--launcher", "kubernetes", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let there = ["--namespace", namespace.as_str()];
    let server = Server::with(nothing.path(), &[&own[..], &there].concat(), &[]);
    server.ok(&[&there[..], &["submit", file.to_str().unwrap(), "--wait"]].concat());
    let one = &ended(&server, &namespace, 1)[0];
    assert_eq!(one["status"]["phase"], "Succeeded", "{one:#}");
    assert_eq!(
        refused(&kubernetes, &namespace, "pods"),
        set(&["get namespaces kube-system"]),
        "it looks once for what it may not see"
    );
    drop(server);

    // Objects: once by Roles of the namespace, and once by ClusterRoles that are bound there.
    for (kind, name) in [("Role", "roles"), ("ClusterRole", "cluster-roles")] {
        account(&sight, name);
        bind(&sight, name, kind, &ALL);
        bind(&sight, name, "Role", &PODS);
        objects_in_one_namespace(&kubernetes, &sight, name);
        // Another namespace, in which nothing is left of this one's.
        sight.move_to(kubernetes.namespace());
        roles(&sight, "executor-role.yaml");
        roles(&sight, "namespaced-roles.yaml");
    }
}

/// A Workflow object and one by a trigger, for an account of the namespace.
fn objects_in_one_namespace(kubernetes: &Kubernetes, sight: &Sight<'_>, account: &str) {
    let (namespace, nothing) = (sight.namespace.as_str(), tempfile::tempdir().unwrap());
    sight.source();
    let mut plain = template("busybox:1", Value::Null);
    plain["spec"]["templates"][0]["metadata"] = json!({});
    plain["spec"]["templates"][0]["container"]["env"] = json!([]);
    sight.make(&plain);
    let kubeconfig = kubernetes.kubeconfig_of(namespace, account);
    let own = ["--catalog", "kubernetes", "--launcher", "kubernetes", "--kubeconfig"];
    let there = [kubeconfig.to_str().unwrap(), "--namespace", namespace];
    let server = Server::with(nothing.path(), &[&own[..], &there].concat(), &[]);
    sight.make(&workflow("object", json!({})));
    post(&server, &format!("/events/{namespace}/in/e"), "{}");
    for live in sight.over(2) {
        assert_eq!(live["status"]["phase"], "Succeeded", "{live:#}\n{}", server.log());
    }
    let told = server.ok(&["status"]);
    assert!(told.contains("clusterworkflowtemplates"), "it says what it may not read: {told}");
    // It looks for more than it may see: which cluster it is, and whether Argo is anywhere.
    let expected = ["get namespaces kube-system", "list clusterworkflowtemplates ", "list deployments "];
    assert_eq!(refused(kubernetes, namespace, account), set(&expected), "{}", server.log());
}
