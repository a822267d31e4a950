//! The three jobs in pods: `tiphys dev --launcher kubernetes` on a real cluster with a node.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DynamicObject, PostParams};
use kube::discovery::ApiResource;
use serde_json::{Value, json};
use tiphys_servers::docker::run;
use tiphys_servers::kubernetes::{self, Kubernetes};
use tiphys_tests::{Server, binary, others, root, until};

use crate::cluster::Eyes;
use crate::{rights, scan};

/// Both images, which these tests make without a registry.
pub(crate) const IMAGES: [&str; 2] = ["tiphys:latest", "tiphys-examples:latest"];
/// The image that pods take the runner from.
pub(crate) const RUNNER: &str = "docker.io/library/tiphys:latest";

/// What the images of `deploy/images/Dockerfile` and `examples/Dockerfile` hold, without scanners: a shell and its tools, `tiphys`, the
/// runner, and the fixtures.
pub(crate) fn system(folder: &Path) {
    kubernetes::busybox_folder(folder);
    let mode = |mode| std::fs::Permissions::from_mode(mode);
    // Who is not root sees what is in it, and may write where the image has its working folder.
    std::fs::set_permissions(folder, mode(0o755)).unwrap();
    std::fs::create_dir(folder.join("data")).unwrap();
    std::fs::set_permissions(folder.join("data"), mode(0o777)).unwrap();
    let program = folder.join("bin/tiphys");
    run(Command::new("strip").arg("-o").arg(&program).arg(binary()));
    run(Command::new(&program).args(["tool", "runner"]).arg(folder.join("tiphys-runner")));
    libraries(folder, &program);
    let authorities = folder.join("etc/ssl/certs");
    std::fs::create_dir_all(&authorities).unwrap();
    std::fs::copy("/etc/ssl/certs/ca-certificates.crt", authorities.join("ca-certificates.crt")).unwrap();
    let copied = |from: &str| {
        let to = folder.join("examples").join(from);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        run(Command::new("cp").arg("-r").arg(root().join("examples").join(from)).arg(to));
    };
    ["ticket-scan/fixtures", "asset-inventory/recorded"].into_iter().for_each(copied);
}

/// Copies the libraries that a program is linked to, to where they are on this machine.
pub(crate) fn libraries(folder: &Path, program: &Path) {
    let linked = run(Command::new("ldd").arg(program));
    for file in linked.split_whitespace().filter(|word| word.starts_with('/')) {
        let place = folder.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::copy(file, place).unwrap();
    }
}

/// How one of [`IMAGES`] is run: as those files say, by a user who is not root.
pub(crate) fn settings(name: &str) -> Value {
    let mut variables = vec!["PATH=/bin"];
    if name.starts_with("tiphys-examples") {
        variables.extend(["TIPHYS_MANIFESTS=/examples", "TIPHYS_SHARED=/tmp/shared"]);
    }
    json!({"Entrypoint": ["tiphys"], "User": "10001:10001", "WorkingDir": "/data", "Env": variables})
}

/// A cluster with the images of the examples.
pub(crate) fn cluster() -> Option<&'static Kubernetes> {
    static READY: std::sync::Once = std::sync::Once::new();
    let cluster = kubernetes::shared()?;
    READY.call_once(|| {
        let folder = tempfile::tempdir().unwrap();
        system(folder.path());
        for name in IMAGES {
            cluster.import_folder(name, folder.path(), &settings(name));
        }
    });
    Some(cluster)
}

/// `tiphys dev` on manifests, its steps in pods of `namespace`.
pub(crate) fn dev(cluster: &Kubernetes, namespace: &str, manifests: &Path, more: &[&str]) -> Server {
    let kubeconfig = cluster.kubeconfig();
    let kubeconfig = kubeconfig.to_str().unwrap();
    let own = ["--launcher", "kubernetes", "--kubeconfig", kubeconfig, "--namespace", namespace];
    let runner = ["--runner-image", RUNNER];
    Server::with(manifests, &[&own[..], &runner, more].concat(), &[])
}

/// The newest workflow once it has ended; a node of one machine takes its time.
fn newest(server: &Server, namespace: &str, count: usize) -> Value {
    until("a workflow", || {
        let listed = server.json(&["--namespace", namespace, "list"]);
        (listed["items"].as_array().map(Vec::len) == Some(count)).then_some(())
    });
    let _ = server.cli(&["--namespace", namespace, "wait", "@latest"]);
    server.json(&["--namespace", namespace, "get", "@latest"])
}

fn log(server: &Server, namespace: &str) -> String {
    server.ok(&["--namespace", namespace, "logs", "@latest"])
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Gives the Secrets of a manifest to the cluster, as `kubectl apply` would.
pub(crate) async fn secrets(client: &kube::Client, namespace: &str, file: &Path) {
    let text = std::fs::read_to_string(file).unwrap();
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    for secret in tiphys_manifest::load::values(&text).unwrap() {
        let mut secret: Secret = serde_json::from_value(secret).unwrap();
        secret.metadata.namespace = None;
        api.create(&PostParams::default(), &secret).await.unwrap();
    }
}

#[test]
fn a_ticket_is_scanned_in_pods() {
    let Some(cluster) = cluster() else { return };
    // The example publishes to a webhook of this namespace.
    let namespace = "default".to_owned();
    let example = root().join("examples/ticket-scan");
    runtime().block_on(async {
        secrets(&cluster.client().await, &namespace, &example.join("secrets.yaml")).await;
    });
    let port = tiphys_servers::free_port();
    let reached = format!("{}:{port}", cluster.gateway());
    let own =
        ["--host", &cluster.gateway().to_string(), "--port", &port.to_string(), "--pods-reach", &reached];
    let server = dev(cluster, &namespace, &example, &own);
    let body = scan::ticket("SEC-7");
    let path = format!("/events/{namespace}/jira/issue");
    let (key, signature) = (scan::demo("api-key"), scan::signed(&body));
    let headers =
        [("Content-Type", "application/json"), ("X-Api-Key", &key), ("X-Hub-Signature", &signature)];
    assert_eq!(server.send("POST", &path, &headers, body.as_bytes()).unwrap().status, 200);
    let workflow = newest(&server, &namespace, 1);
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}\n{}", log(&server, &namespace));
    let nodes = workflow["status"]["nodes"].as_object().unwrap();
    let pods: Vec<&Value> = nodes.values().filter(|node| node["type"] == "Pod").collect();
    assert_eq!(pods.len(), 5);
    assert!(pods.iter().all(|pod| pod["hostNodeName"] == kubernetes::NODE), "{pods:#?}");
    let published = log(&server, &namespace);
    assert!(published.contains("findings of SEC-7 published"), "{published}");
    // What was found came back to the webhook of the same server.
    until("the findings arrive", || {
        let events = server.ok(&["--namespace", &namespace, "events", "list"]);
        events.contains("findings").then_some(())
    });
}

#[test]
fn assets_are_collected_in_pods() {
    let Some(cluster) = cluster() else { return };
    let Some(database) = others::postgres_at(&cluster.gateway().to_string()) else { return };
    let namespace = cluster.namespace();
    let example = root().join("examples/asset-inventory");
    runtime().block_on(async {
        let client = cluster.client().await;
        secrets(&client, &namespace, &example.join("secrets.yaml")).await;
        let url = json!({"metadata": {"name": "inventory-database"}, "stringData": {"url": database.url}});
        let api = Api::<Secret>::namespaced(client, &namespace);
        api.create(&PostParams::default(), &serde_json::from_value(url).unwrap()).await.unwrap();
    });
    // Nothing reaches us: what pods make comes through the API server.
    let server = dev(cluster, &namespace, &example, &[]);
    for expected in ["7 new, 0 seen before", "0 new, 7 seen before"] {
        server.ok(&["--namespace", &namespace, "cron", "run", "asset-inventory", "--wait"]);
        let log = log(&server, &namespace);
        assert!(log.contains(expected), "{log}");
    }
    let text = server.json(&["--namespace", &namespace, "list"]).to_string();
    assert!(!text.contains("demo-secret-access-key-4711"), "the secret key is in the workflow");
}

#[test]
fn the_pod_that_an_alert_names_is_gone_and_one_of_its_name_that_came_since_is_not() {
    let Some(cluster) = cluster() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (shop, argo) = (cluster.namespace(), cluster.namespace());
    // The example's own namespaces are other tests' too.
    for file in ["eventsource.yaml", "sensor.yaml", "rbac.yaml"] {
        let text =
            std::fs::read_to_string(root().join("examples/falco-response/kubernetes").join(file)).unwrap();
        let text = text.replace("namespace: argo-events", &format!("namespace: {argo}"));
        let text = text.replace("namespace: argo\n", &format!("namespace: {argo}\n"));
        let text = text.replace("namespace: shop", &format!("namespace: {shop}"));
        std::fs::write(folder.path().join(file), text).unwrap();
    }
    let runtime = runtime();
    let rights = std::fs::read_to_string(folder.path().join("rbac.yaml")).unwrap();
    std::fs::remove_file(folder.path().join("rbac.yaml")).unwrap();
    let (client, offender) = runtime.block_on(async {
        let client = cluster.client().await;
        apply(&client, &rights).await;
        let pods = Api::<Pod>::namespaced(client.clone(), &shop);
        let offender = start(&pods, "cart").await;
        (client, offender)
    });
    let server = dev(cluster, &argo, folder.path(), &[]);
    let alert = |container: &str| {
        json!({"uuid": container, "rule": "Terminal shell in container", "priority": "Notice",
            "source": "syscall", "time": "2026-11-30T20:00:00Z", "output": "a shell",
            "output_fields": {"container.id": container, "k8s.ns.name": shop, "k8s.pod.name": "cart"}})
    };
    let path = format!("/events/{argo}/falco-pods/alert");
    let post = |alert: &Value| {
        let headers = [("Content-Type", "application/json")];
        assert_eq!(server.send("POST", &path, &headers, alert.to_string().as_bytes()).unwrap().status, 200);
    };
    post(&alert(&offender));
    let pods = Api::<Pod>::namespaced(client, &shop);
    let first = newest(&server, &argo, 1);
    assert_eq!(first["status"]["phase"], "Succeeded", "{first:#}\n{}", log(&server, &argo));
    let another = runtime.block_on(async {
        let ending = pods.get_opt("cart").await.unwrap();
        assert!(
            ending.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()),
            "the pod is still wanted"
        );
        while pods.get_opt("cart").await.unwrap().is_some() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        start(&pods, "cart").await
    });
    assert_ne!(another, offender);
    // The same alert once more, as another event: it does not mean the pod that has the name now.
    let mut late = alert(&offender);
    late["uuid"] = json!("late");
    post(&late);
    let second = newest(&server, &argo, 2);
    assert_eq!(second["status"]["phase"], "Failed", "{second:#}");
    let told = log(&server, &argo);
    assert!(told.contains("not deleted: ") && told.contains(&offender), "{told}");
    let spared = runtime.block_on(pods.get("cart")).unwrap();
    assert!(spared.metadata.deletion_timestamp.is_none());
    may_delete_pods_and_nothing_else(cluster, &argo, &shop);
}

/// Who ran the step may look at and delete pods of the shop; all else is refused.
fn may_delete_pods_and_nothing_else(cluster: &Kubernetes, argo: &str, shop: &str) {
    let eyes = Eyes::on(cluster);
    let user = format!("system:serviceaccount:{argo}:falco-pod-delete");
    let may = |verb: &str, resource: &str, namespace: &str| {
        rights::may(&eyes, &user, &json!({"verb": verb, "resource": resource, "namespace": namespace}))
    };
    assert!(may("get", "pods", shop) && may("delete", "pods", shop));
    for (verb, resource, namespace) in [
        ("list", "pods", shop),
        ("watch", "pods", shop),
        ("create", "pods", shop),
        ("update", "pods", shop),
        ("patch", "pods", shop),
        ("deletecollection", "pods", shop),
        ("create", "pods/exec", shop),
        ("get", "pods/log", shop),
        ("get", "secrets", shop),
        ("delete", "configmaps", shop),
        ("get", "pods", argo),
        ("delete", "pods", argo),
        ("delete", "pods", "default"),
        ("delete", "pods", "kube-system"),
    ] {
        assert!(!may(verb, resource, namespace), "{verb} {resource} in {namespace}");
    }
}

/// A plain step and one with the runner, whose pods go when told so.
pub(crate) fn two_steps(folder: &Path, name: &str, gc: &str) -> String {
    let text = format!(
        "apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {{name: {name}}}
spec:
  entrypoint: main
  {gc}
  templates:
  - name: main
    steps: [[{{name: plain, template: plain}}], [{{name: told, template: told}}]]
  - name: plain
    container: {{image: 'busybox:1', command: [sh, -c], args: ['echo of the container']}}
  - name: told
    script: {{image: 'busybox:1', command: [sh], source: 'echo of the runner; echo to the other stream >&2'}}
"
    );
    let file = folder.join(format!("{name}.yaml"));
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn logs_outlive_their_pods_and_runners_ask_encrypted() {
    let Some(cluster) = cluster() else { return };
    let (namespace, port) = (cluster.namespace(), tiphys_servers::free_port());
    let (manifests, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let reached = format!("{}:{port}", cluster.gateway());
    let port = port.to_string();
    let own = ["--host", &cluster.gateway().to_string(), "--port", &port, "--pods-reach", &reached];
    let server = dev(cluster, &namespace, manifests.path(), &own);
    let there = ["--namespace", &namespace];
    let ok = |words: &[&str]| server.ok(&[&there[..], words].concat());
    let runtime = runtime();
    let pods = runtime.block_on(async { Api::<Pod>::namespaced(cluster.client().await, &namespace) });
    let names = || {
        let listed = runtime.block_on(pods.list(&Default::default())).unwrap();
        listed.items.into_iter().filter_map(|pod| pod.metadata.name).collect::<Vec<_>>()
    };
    let all = ["plain: of the container", "told: of the runner", "told: to the other stream"];
    for (name, gc) in
        [("each", "podGC: {strategy: OnPodCompletion}"), ("whole", "podGC: {strategy: OnWorkflowCompletion}")]
    {
        ok(&["submit", &two_steps(folder.path(), name, gc), "--wait"]);
        until("the pods are gone", || names().is_empty().then_some(()));
        let log = ok(&["logs", name]);
        assert_eq!(log.lines().collect::<Vec<_>>(), all, "{name}");
    }
    // Where they stay, they show how their runner is told to ask.
    ok(&["submit", &two_steps(folder.path(), "stay", ""), "--wait"]);
    let listed = runtime.block_on(pods.list(&Default::default())).unwrap();
    let text = json!(listed.items).to_string();
    assert!(text.contains(&format!("https://{reached}")) && text.contains("BEGIN CERTIFICATE"), "{text}");
    assert_eq!(ok(&["logs", "stay"]).lines().collect::<Vec<_>>(), all);
    // What somebody takes away then, he takes with its log, where that was not handed over.
    for name in names() {
        runtime.block_on(pods.delete(&name, &Default::default())).unwrap();
    }
    until("the pods are gone", || names().is_empty().then_some(()));
    let log = ok(&["logs", "stay"]);
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines, ["plain: tiphys: the log went with its pod, and none was kept here", all[1], all[2]]);
}

/// What README's quick start submits, with nothing said but which cluster and which namespace.
#[test]
fn a_kubeconfig_is_enough() {
    let Some(cluster) = kubernetes::shared() else { return };
    let (namespace, kubeconfig) = (cluster.namespace(), cluster.kubeconfig());
    let own =
        ["--launcher", "kubernetes", "--kubeconfig", kubeconfig.to_str().unwrap(), "--namespace", &namespace];
    let manifests = tempfile::tempdir().unwrap();
    std::fs::copy(root().join("examples/basics/container.yaml"), manifests.path().join("container.yaml"))
        .unwrap();
    let server = Server::with(manifests.path(), &own, &[]);
    let there = ["--namespace", &namespace];
    let ok = |words: &[&str]| server.ok(&[&there[..], words].concat());
    ok(&["submit", "--from", "workflowtemplate/in-containers", "--wait"]);
    let text = ok(&["logs", "@latest"]);
    let lines: Vec<&str> = text.lines().collect();
    // The time, and the name of the pod that wrote it.
    assert!(lines.len() == 2 && lines[1].starts_with("read: in-containers-"), "{text}");
}

/// Makes the objects of a manifest.
async fn apply(client: &kube::Client, text: &str) {
    for object in tiphys_manifest::load::values(text).unwrap() {
        let object: DynamicObject = serde_json::from_value(object).unwrap();
        let types = object.types.clone().unwrap();
        let (group, version) = types.api_version.split_once('/').unwrap_or(("", &types.api_version));
        let kind = kube::core::GroupVersionKind::gvk(group, version, &types.kind);
        let namespace = object.metadata.namespace.clone().unwrap();
        let api =
            Api::<DynamicObject>::namespaced_with(client.clone(), &namespace, &ApiResource::from_gvk(&kind));
        api.create(&PostParams::default(), &object).await.unwrap();
    }
}

/// Starts a pod that stays; tells the id of its container as Falco does.
async fn start(pods: &Api<Pod>, name: &str) -> String {
    let pod = json!({"metadata": {"name": name}, "spec": {"terminationGracePeriodSeconds": 1, "containers": [
        {"name": "main", "image": "busybox:1", "imagePullPolicy": "Never", "command": ["sleep", "1000"]}]}});
    pods.create(&PostParams::default(), &serde_json::from_value(pod).unwrap()).await.unwrap();
    loop {
        let pod = pods.get(name).await.unwrap();
        let statuses = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
        let id = statuses.first().and_then(|status| status.container_id.as_deref());
        if let Some((_, id)) = id.and_then(|id| id.split_once("://")) {
            return id.chars().take(12).collect();
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}
