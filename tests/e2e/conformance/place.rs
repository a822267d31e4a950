//! Where workflows are compared: a server for each launcher, with what the workflows refer to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::Api;
use kube::api::PostParams;
use tiphys_servers::kubernetes::{Kubernetes, Volumes};
use tiphys_servers::{Docker, docker};
use tiphys_tests::{Server, root, server, until};

use super::case::{Case, Outcome, SINK};
use super::{corpus, images};
use crate::pods;

/// So many run at the same time: more would take each other's time, of which some have little.
const AT_ONCE: usize = 8;
/// Where Docker's first bridge has its address: see [`Docker`].
const BRIDGE: Ipv4Addr = Ipv4Addr::new(172, 30, 99, 1);

/// A launcher, and a server that uses it.
pub(super) struct Place {
    pub(super) name: &'static str,
    namespace: String,
    server: Server,
    /// Takes what is posted to it.
    sink: String,
    _volumes: Option<Volumes>,
    _engine: Option<Docker>,
}

impl Place {
    pub(super) fn process() -> Self {
        let (manifests, programs) = (manifests(), tempfile::tempdir().unwrap());
        images::programs(programs.path(), &["argosay", "cowsay"]);
        let path = format!("{}:/usr/bin:/bin", programs.keep().display());
        let server = Server::with(manifests.path(), &["--launcher", "process"], &[("PATH", &path)]);
        let sink = sink(bind(Ipv4Addr::LOCALHOST.into()));
        Self::new("process", "default", server, sink)
    }

    /// None where no engine can run.
    pub(super) fn docker() -> Option<Self> {
        let engine = docker::docker()?;
        images::to_engine(&engine);
        let host = engine.host();
        let server =
            Server::with(manifests().path(), &["--launcher", "docker"], &[("DOCKER_HOST", host.as_str())]);
        let sink = sink(engine.within(|| bind(BRIDGE.into())));
        Some(Self { _engine: Some(engine), ..Self::new("docker", "default", server, sink) })
    }

    /// None where no cluster can run.
    pub(super) fn kubernetes() -> Option<Self> {
        let cluster = pods::cluster()?;
        images::to_node(cluster);
        let (namespace, manifests) = (cluster.namespace(), manifests());
        let volumes = cluster.provide_volumes();
        pods::runtime().block_on(given(cluster, &namespace, manifests.path()));
        let file = manifests.path().join("images");
        std::fs::write(&file, images::commands()).unwrap();
        let images = ["--images", file.to_str().unwrap()];
        let server = pods::dev(cluster, &namespace, manifests.path(), &images);
        let sink = sink(bind(cluster.gateway().into()));
        Some(Self { _volumes: Some(volumes), ..Self::new("kubernetes", &namespace, server, sink) })
    }

    fn new(name: &'static str, namespace: &str, server: Server, sink: String) -> Self {
        Self { name, namespace: namespace.to_owned(), server, sink, _volumes: None, _engine: None }
    }

    /// Runs all cases that can be run here.
    pub(super) fn run(&self, cases: &[Case]) -> BTreeMap<String, Outcome> {
        let here: Vec<&Case> = cases.iter().filter(|case| !case.not_on.contains_key(self.name)).collect();
        let (next, found, began) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(case) = here.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = self.through(case);
                        found.lock().unwrap().insert(case.name.clone(), outcome);
                    }
                });
            }
        });
        println!("{}: {} workflows in {:?}", self.name, here.len(), began.elapsed());
        found.into_inner().unwrap()
    }

    fn through(&self, case: &Case) -> Outcome {
        let name = self.submit(case);
        if case.waits {
            self.resume(&name);
        }
        let _ = self.cli(&["wait", &name, "--timeout", "10m"]);
        Outcome::of(&self.json(&["get", &name]))
    }

    fn submit(&self, case: &Case) -> String {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let text = case.text.replace(SINK, &self.sink);
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let submitted = self.cli(&["-o", "name", "submit", file.path().to_str().unwrap()]);
        let name = String::from_utf8_lossy(&submitted.stdout).trim().to_owned();
        let name = name.rsplit('/').next().unwrap_or_default().to_owned();
        assert!(
            submitted.status.success() && !name.is_empty(),
            "{}: {}: {submitted:?}",
            self.name,
            case.name
        );
        name
    }

    /// Resumes a workflow once it waits for that.
    fn resume(&self, name: &str) {
        until("a step that waits", || {
            let status = self.json(&["get", name])["status"].clone();
            let nodes = status["nodes"].as_object().cloned().unwrap_or_default();
            let waits = nodes.values().any(|node| node["type"] == "Suspend" && node["phase"] == "Running");
            (waits || status["finishedAt"].is_string()).then_some(())
        });
        // Of one that has ended nothing else is to be expected than that it was to wait.
        let _ = self.cli(&["resume", name]);
    }

    fn cli(&self, arguments: &[&str]) -> std::process::Output {
        self.server.cli(&[&["--namespace", &self.namespace], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> serde_json::Value {
        self.server.json(&[&["--namespace", &self.namespace], arguments].concat())
    }
}

/// Our own examples, and what Argo's refer to.
fn manifests() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for example in ["asset-inventory", "basics", "falco-response", "ticket-scan"] {
        server::copy_folder(&root().join("examples").join(example), &folder.path().join(example));
    }
    // These are of other namespaces.
    std::fs::remove_dir_all(folder.path().join("falco-response/kubernetes")).unwrap();
    corpus::manifests(folder.path());
    folder
}

/// Gives a cluster what pods refer to: Secrets and claims.
async fn given(cluster: &Kubernetes, namespace: &str, manifests: &Path) {
    let client = cluster.client().await;
    let files = ["asset-inventory/secrets.yaml", "ticket-scan/secrets.yaml", "secret.yaml"];
    let files: Vec<PathBuf> = files.iter().map(|file| manifests.join(file)).collect();
    for file in files.iter().filter(|file| file.is_file()) {
        pods::secrets(&client, namespace, file).await;
    }
    let api = Api::<PersistentVolumeClaim>::namespaced(client, namespace);
    for claim in corpus::claims() {
        api.create(&PostParams::default(), &serde_json::from_value(claim).unwrap()).await.unwrap();
    }
}

fn bind(address: IpAddr) -> TcpListener {
    TcpListener::bind((address, 0)).unwrap()
}

/// Answers everything, as a webhook that takes findings does; tells where.
fn sink(listener: TcpListener) -> String {
    let address = format!("http://{}/", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        pods::runtime().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, axum::Router::new().fallback(async || "")).await.unwrap();
        });
    });
    address
}
