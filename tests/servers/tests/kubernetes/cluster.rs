//! The clusters themselves: that pods run, and that parts can be stopped.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ListParams, LogParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tiphys_servers::kubernetes::{NODE, Part, shared};
use tiphys_servers::{Kubernetes, kubernetes};

fn pod(name: &str, script: &str) -> Pod {
    let container = json!({"name": "main", "image": "busybox:1", "command": ["sh", "-c", script]});
    let spec = json!({"restartPolicy": "Never", "containers": [container]});
    serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).expect("a pod")
}

/// Makes a pod and waits for its end; gives its status.
async fn run(pods: &Api<Pod>, pod: &Pod) -> Value {
    let name = pod.metadata.name.as_deref().expect("a name");
    pods.create(&PostParams::default(), pod).await.expect("a pod");
    for _ in 0..600 {
        let status = json!(pods.get(name).await.expect("a pod").status);
        if status["phase"] == "Succeeded" || status["phase"] == "Failed" {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} does not end: {}", json!(pods.get(name).await.expect("a pod").status));
}

async fn log(pods: &Api<Pod>, name: &str) -> String {
    pods.logs(name, &LogParams::default()).await.expect("a log")
}

/// A namespace of the shared cluster.
async fn place() -> Option<(&'static Kubernetes, String, Client)> {
    let cluster = shared()?;
    Some((cluster, cluster.namespace(), cluster.client().await))
}

#[tokio::test]
async fn a_pod_runs_to_its_end_with_log_and_exit_code() {
    let Some((_, namespace, client)) = place().await else { return };
    let pods = Api::namespaced(client, &namespace);
    let good = run(&pods, &pod("good", "echo out; echo err >&2")).await;
    assert_eq!(good["phase"], "Succeeded", "{good}");
    let mut lines: Vec<String> = log(&pods, "good").await.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["err", "out"]);
    let bad = run(&pods, &pod("bad", "exit 3")).await;
    assert_eq!(bad["phase"], "Failed", "{bad}");
    assert_eq!(bad["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3, "{bad}");
}

#[tokio::test]
async fn a_pod_reaches_a_server_of_the_test_and_the_api_server() {
    let Some((cluster, namespace, client)) = place().await else { return };
    let listener = TcpListener::bind((cluster.gateway(), 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut asked = [0; 512];
        let count = stream.read(&mut asked).expect("a request");
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello from the test").expect("an answer");
        String::from_utf8_lossy(&asked[..count]).into_owned()
    });
    let script = format!(
        "wget -q -O - http://{}:{port}/here; \
         nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && echo ' and the API server'; \
         head -c 2 /var/run/secrets/kubernetes.io/serviceaccount/token",
        cluster.gateway()
    );
    let pods = Api::namespaced(client, &namespace);
    let status = run(&pods, &pod("asks", &script)).await;
    assert_eq!(status["phase"], "Succeeded", "{status}");
    assert_eq!(log(&pods, "asks").await, "hello from the test and the API server\ney");
    assert!(served.join().expect("a server").starts_with("GET /here"));
}

#[tokio::test]
async fn an_image_is_made_of_a_folder() {
    let Some((cluster, namespace, client)) = place().await else { return };
    let folder = tempfile::tempdir().expect("a folder");
    tiphys_servers::kubernetes::busybox_folder(folder.path());
    std::fs::write(folder.path().join("greeting"), "made here\n").expect("a file");
    let config = json!({"Entrypoint": ["/bin/cat"], "Cmd": ["/greeting"], "User": "65534"});
    cluster.import_folder("registry.example/team/greeting:7", folder.path(), &config);
    let pods = Api::namespaced(client, &namespace);
    let mut greets = pod("greets", "");
    let container = &mut greets.spec.as_mut().expect("a spec").containers[0];
    container.image = Some("registry.example/team/greeting:7".into());
    container.command = None;
    let status = run(&pods, &greets).await;
    assert_eq!(status["phase"], "Succeeded", "{status}");
    assert_eq!(log(&pods, "greets").await, "made here\n");
}

#[tokio::test]
async fn requests_are_counted_and_a_service_account_may_do_nothing() {
    let Some((cluster, namespace, client)) = place().await else { return };
    let kubeconfig = cluster.kubeconfig_of(&namespace, "default");
    let kubeconfig = kube::config::Kubeconfig::read_from(kubeconfig).expect("a kubeconfig");
    let config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.expect("a config");
    let guest = Client::try_from(config).expect("a client");
    let refused = Api::<Pod>::namespaced(guest, &namespace).list(&ListParams::default()).await;
    assert!(matches!(refused, Err(kube::Error::Api(answer)) if answer.code == 403));
    let pods = Api::<Pod>::namespaced(client, &namespace);
    pods.list(&ListParams::default()).await.expect("a list");
    let requests = cluster.requests();
    let lists =
        requests.iter().filter(|request| request.namespace == namespace && request.resource == "pods");
    let lists: Vec<(&str, u16)> = lists.map(|request| (request.user.as_str(), request.status)).collect();
    let guest = format!("system:serviceaccount:{namespace}:default");
    assert_eq!(lists, [(guest.as_str(), 403), ("admin", 200)]);
}

#[tokio::test]
async fn the_api_server_may_die_and_come_back() {
    let Some(cluster) = kubernetes() else { return };
    let namespace = cluster.namespace();
    let pods = Api::<Pod>::namespaced(cluster.client().await, &namespace);
    pods.create(&PostParams::default(), &pod("stays", "true")).await.expect("a pod");
    cluster.kill(Part::ApiServer);
    assert!(pods.get("stays").await.is_err());
    cluster.start(Part::ApiServer);
    assert_eq!(pods.get("stays").await.expect("a pod").metadata.name.as_deref(), Some("stays"));
    cluster.freeze(Part::ApiServer);
    let asked = tokio::time::timeout(Duration::from_millis(300), pods.get("stays")).await;
    assert!(asked.is_err(), "a frozen server is silent");
    cluster.thaw(Part::ApiServer);
    pods.get("stays").await.expect("a pod");
}

#[tokio::test]
async fn a_pod_goes_on_without_its_kubelet() {
    let Some(cluster) = tiphys_servers::kubernetes_with_node() else { return };
    let namespace = cluster.namespace();
    let client = cluster.client().await;
    let pods = Api::<Pod>::namespaced(client.clone(), &namespace);
    let nodes = Api::<Node>::all(client).list(&ListParams::default()).await.expect("nodes");
    assert_eq!(nodes.items[0].metadata.name.as_deref(), Some(NODE));
    // It ends while nobody looks.
    let long = pod("long", "echo begun; sleep 8; exit 5");
    pods.create(&PostParams::default(), &long).await.expect("a pod");
    for _ in 0..600 {
        if pods.logs("long", &LogParams::default()).await.is_ok_and(|log| log == "begun\n") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    cluster.kill(Part::Kubelet);
    cluster.kill(Part::Containerd);
    assert_eq!(cluster.process(Part::Kubelet), None);
    tokio::time::sleep(Duration::from_secs(9)).await;
    cluster.start(Part::Containerd);
    cluster.start(Part::Kubelet);
    for _ in 0..600 {
        let status = json!(pods.get("long").await.expect("a pod").status);
        if status["phase"] == "Failed" {
            assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 5, "{status}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{}", json!(pods.get("long").await.expect("a pod").status));
}
