//! Each service as the account that `deploy/kubernetes` gives it: pods, objects acted on as somebody else, logs. A kubelet that
//! runs nothing ends the pods, so this holds wherever an API server runs.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tiphys_servers::kubernetes::{Part, Setup};
use tiphys_servers::{Fate, Stub, missing, program};
use tiphys_tests::{Local, until};

use super::{ARGO, Sight};
use crate::cluster::ended;
use crate::rights::{Accounts, ROLES};

/// A Sensor that makes a ConfigMap and a workflow; the workflow has a pod and makes a ConfigMap.
const MANIFESTS: &str = r#"
apiVersion: argoproj.io/v1alpha1
kind: EventSource
metadata: {name: in}
spec:
  webhook: {e: {endpoint: /in, method: POST}}
---
apiVersion: argoproj.io/v1alpha1
kind: WorkflowTemplate
metadata: {name: both}
spec:
  entrypoint: main
  serviceAccountName: falco-pod-delete
  templates:
    - name: main
      steps: [[{name: pod, template: pod}], [{name: object, template: object}]]
    - name: pod
      serviceAccountName: default
      container: {image: 'busybox:1', command: ['true']}
    - name: object
      resource:
        action: create
        manifest: |
          apiVersion: v1
          kind: ConfigMap
          metadata: {name: by-template}
---
apiVersion: argoproj.io/v1alpha1
kind: Sensor
metadata: {name: react}
spec:
  template: {serviceAccountName: falco-pod-delete}
  dependencies: [{name: dep, eventSourceName: in, eventName: e}]
  triggers:
    - template:
        name: object
        k8s:
          operation: create
          source:
            resource: {apiVersion: v1, kind: ConfigMap, metadata: {name: by-trigger}}
    - template:
        name: run
        argoWorkflow:
          operation: submit
          source:
            resource:
              apiVersion: argoproj.io/v1alpha1
              kind: Workflow
              metadata: {name: both}
              spec: {workflowTemplateRef: {name: both}}
"#;

/// Who changes the objects.
fn actor(sight: &Sight<'_>) {
    let (name, rbac) = ("falco-pod-delete", "rbac.authorization.k8s.io");
    sight.make(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}));
    let rules = json!([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create", "get"]}]);
    sight.make(&json!({"apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": {"name": name}, "rules": rules}));
    sight.make(
        &json!({"apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": sight.namespace}]}),
    );
}

/// The rights are no more than what they are for.
fn no_more(accounts: &Accounts<'_>, namespace: &str) {
    for (role, verb, resource, may) in [
        ("executor", "create", "pods", true),
        ("executor", "list", "secrets", false),
        // The runner is laid down in them.
        ("executor", "create", "configmaps", true),
        ("executor", "list", "configmaps", false),
        ("executor", "update", "configmaps", false),
        ("executor", "create", "serviceaccounts/token", false),
        ("trigger", "create", "serviceaccounts/token", false),
        ("trigger", "create", "pods", false),
        ("trigger", "create", "configmaps", false),
        ("server", "get", "pods/log", true),
        ("server", "create", "pods", false),
        ("server", "delete", "pods", false),
        ("server", "create", "pods/exec", false),
        ("sensor", "list", "pods", false),
        ("eventsource", "list", "pods", false),
        ("bus", "list", "pods", false),
    ] {
        assert_eq!(accounts.may(role, verb, resource, namespace), may, "{role}: {verb} {resource}");
    }
    for role in ["executor", "server"] {
        assert!(!accounts.may(role, "get", "pods/log", "default"), "{role} has no workflows there");
    }
}

#[test]
fn each_service_does_its_work_by_the_rights_that_its_account_is_given() {
    if program("nats-server").is_none() {
        return missing("nats-server");
    }
    let Some(kubernetes) = Setup::new().audited().start() else { return };
    kubernetes.kill(Part::Scheduler);
    let _kubelet = Stub::new("stub").binding().start(&kubernetes, |_: &Pod| Fate::exits(0));
    let sight = Sight::of(&kubernetes);
    let namespace = sight.namespace.as_str();
    let accounts = Accounts::of(&kubernetes, namespace);
    actor(&sight);
    for object in tiphys_manifest::load::values(MANIFESTS).unwrap() {
        sight.make(&object);
    }
    let named = format!(
        "{} --catalog kubernetes --service-accounts {namespace}/falco-pod-delete",
        accounts.options()
    );
    let nothing = tempfile::tempdir().unwrap();
    let options = [("TIPHYS_LAUNCHER", "kubernetes"), ("TIPHYS_OPTIONS", named.as_str())];
    let Some(local) = Local::with(nothing.path(), &options) else { return };

    let path = format!("/events/{namespace}/in/e");
    until("a 200", || local.send("POST", &path, &[], b"{}").ok().filter(|answer| answer.status == 200));
    let live = sight.one_over("both");
    assert_eq!(live["status"]["phase"], "Succeeded", "{live:#}\n{}", local.logs());
    for name in ["by-template", "by-trigger"] {
        until(name, || sight.eyes.get("ConfigMap", namespace, name));
    }
    // The stub has no log; that it was asked for is what the right is for.
    let _ = local.cli(&["logs", "both", "-n", namespace]);
    let asked = |role: &str, what: &str| {
        let requests = accounts.requests(role);
        requests.iter().any(|request| request.resource == what && request.status != 403)
    };
    until("the log is asked for", || asked("server", "pods/log").then_some(()));
    for role in ["trigger", "executor"] {
        assert!(asked(role, "serviceaccounts/token"), "{role} acts as somebody else");
    }
    sight.delete("both");
    ended(&local, namespace, 0);
    accounts.were_not_refused(&ROLES);
    assert!(!local.logs().contains(" may not "), "{}", local.logs());
    no_more(&accounts, namespace);

    // A right that is missing is told where somebody looks, and all else goes on.
    assert_eq!(part(&local), Some(Value::Null));
    accounts.unbind("tiphys-server");
    local.kill("server");
    assert_eq!(local.up(), ["server"]);
    let why = until("it is told", || part(&local)?.as_str().map(str::to_owned));
    assert!(why.contains("namespace kube-system"), "{why}");
    sight.make(&json!({"apiVersion": ARGO, "kind": "Workflow", "metadata": {"name": "more"},
        "spec": {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "busybox:1", "command": ["true"]}}]}}));
    assert_eq!(sight.one_over("more")["status"]["phase"], "Succeeded");
}

/// What the API says of its way to logs.
fn part(local: &Local) -> Option<Value> {
    local.json(&["status"])["parts"].get("server/logs").cloned()
}
