//! Where workflows are compared: a server for each launcher, with what the workflows refer to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use axum::http::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tiphys_servers::kubernetes::Volumes;
use tiphys_servers::{Docker, docker};
use tiphys_tests::{Server, until};

use super::case::{Case, EXECUTORS_SINK, SINK};
use super::outcome::Outcome;
use super::{given, images, machine};
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
    /// Takes what steps post to it.
    sink: String,
    /// Gives what the executor asks for.
    executors: String,
    _volumes: Option<Volumes>,
    _engine: Option<Docker>,
}

impl Place {
    pub(super) fn process() -> Self {
        let (manifests, programs) = (given::manifests(), tempfile::tempdir().unwrap());
        images::programs(programs.path(), &["argosay", "cowsay"]);
        machine::short(programs.path(), programs.path().to_str().unwrap());
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
        let server = Server::with(
            given::manifests().path(),
            &["--launcher", "docker"],
            &[("DOCKER_HOST", host.as_str())],
        );
        let sink = sink(engine.within(|| bind(BRIDGE.into())));
        Some(Self { _engine: Some(engine), ..Self::new("docker", "default", server, sink) })
    }

    /// None where no cluster can run.
    pub(super) fn kubernetes() -> Option<Self> {
        let cluster = pods::cluster()?;
        images::to_node(cluster);
        let (namespace, manifests) = (cluster.namespace(), given::manifests());
        let volumes = cluster.provide_volumes();
        pods::runtime().block_on(given::to_cluster(cluster, &namespace, manifests.path()));
        let file = manifests.path().join("images");
        std::fs::write(&file, images::commands()).unwrap();
        let account = format!("{namespace}/default");
        let more = ["--images", file.to_str().unwrap(), "--service-accounts", &account];
        let server = pods::dev(cluster, &namespace, manifests.path(), &more);
        let sink = sink(bind(cluster.gateway().into()));
        Some(Self { _volumes: Some(volumes), ..Self::new("kubernetes", &namespace, server, sink) })
    }

    fn new(name: &'static str, namespace: &str, server: Server, sink: String) -> Self {
        let executors = self::sink(bind(Ipv4Addr::LOCALHOST.into()));
        let namespace = namespace.to_owned();
        Self { name, namespace, server, sink, executors, _volumes: None, _engine: None }
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
        let name = match self.submit(case) {
            Ok(name) => name,
            Err(why) => return Outcome::rejected(&why),
        };
        if let Some(outputs) = &case.resumed {
            self.resume(&name, outputs);
        }
        let _ = self.cli(&["wait", &name, "--timeout", "10m"]);
        let log = if case.log { self.log(&name) } else { Vec::new() };
        Outcome::of(&self.json(&["get", &name]), &log, |artifact| self.digest(artifact))
    }

    /// The workflow's name, or why it is not taken.
    fn submit(&self, case: &Case) -> Result<String, String> {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        let text = case.text.replace(SINK, &self.sink).replace(EXECUTORS_SINK, &self.executors);
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        let submitted = self.cli(&["-o", "name", "submit", file.path().to_str().unwrap()]);
        if !submitted.status.success() {
            return Err(String::from_utf8_lossy(&submitted.stderr).into_owned());
        }
        let name = String::from_utf8_lossy(&submitted.stdout).trim().to_owned();
        Ok(name.rsplit('/').next().unwrap_or_default().to_owned())
    }

    /// Resumes a workflow once it waits for that.
    fn resume(&self, name: &str, outputs: &BTreeMap<String, String>) {
        let waiting = || {
            let workflow = self.json(&["get", name]);
            let nodes = workflow["status"]["nodes"].as_object().cloned().unwrap_or_default();
            let waits = |node: &&Value| {
                node["type"] == "Suspend" && node["phase"] == "Running" && !goes_on(&workflow, node)
            };
            let waiting = nodes.values().find(waits).map(|node| node["displayName"].clone());
            (waiting.is_some() || workflow["status"]["finishedAt"].is_string()).then_some(waiting)
        };
        // Of one that has ended nothing else is to be expected than that it was to wait.
        let Some(waiting) = until("a step that waits", waiting) else { return };
        if !outputs.is_empty() {
            let selector = format!("displayName={}", waiting.as_str().unwrap_or_default());
            let body = json!({"nodeFieldSelector": selector, "outputParameters": json!(outputs).to_string()});
            let path = format!("/api/v1/workflows/{}/{name}/set", self.namespace);
            let token = format!("Bearer {}", self.server.token());
            let headers = [("Content-Type", "application/json"), ("Authorization", &token)];
            let set = self.server.send("PUT", &path, &headers, body.to_string().as_bytes()).unwrap();
            assert_eq!(set.status, 200, "{name}: {}", set.body);
        }
        let _ = self.cli(&["resume", name]);
    }

    fn cli(&self, arguments: &[&str]) -> std::process::Output {
        self.server.cli(&[&["--namespace", &self.namespace], arguments].concat())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        self.server.json(&[&["--namespace", &self.namespace], arguments].concat())
    }

    /// Size and sum of an artifact, which are those of what lies in the executor's folder.
    fn digest(&self, artifact: &Value) -> Value {
        let key = artifact["s3"]["key"].as_str().unwrap_or_default();
        if let Ok(bytes) = std::fs::read(self.server.data().join("artifacts").join(key)) {
            let found = json!([bytes.len(), hex::encode(Sha256::digest(&bytes))]);
            assert_eq!(found, json!([artifact["size"], artifact["sha256"]]), "{}: {artifact}", self.name);
        }
        json!([artifact["size"], artifact["sha256"]])
    }

    /// What the steps of a workflow print, in no order. What Tiphys remarks among it is not the steps'.
    fn log(&self, name: &str) -> Vec<String> {
        let printed = self.cli(&["logs", name]);
        let printed = String::from_utf8_lossy(&printed.stdout);
        let of_a_step = |line: &&str| {
            let text = line.split_once(": ").map_or(*line, |(_, text)| text);
            !text.starts_with("tiphys")
        };
        let mut lines: Vec<String> = printed.lines().filter(of_a_step).map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    }
}

/// Whether a node that waits goes on by itself after a while.
fn goes_on(workflow: &Value, node: &Value) -> bool {
    let templates = workflow["spec"]["templates"].as_array().into_iter().flatten();
    let own = templates.filter(|template| template["name"] == node["templateName"]);
    own.into_iter().any(|template| !template["suspend"]["duration"].is_null())
}

fn bind(address: IpAddr) -> TcpListener {
    TcpListener::bind((address, 0)).unwrap()
}

/// A program that anybody may ask for.
const PROGRAM: &str = "#!/bin/sh\necho \"asked for: $*\"\n";

/// Answers everything, as a webhook that takes findings does, and gives a program to who asks for something; tells where.
fn sink(listener: TcpListener) -> String {
    let address = format!("http://{}/", listener.local_addr().unwrap());
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        pods::runtime().block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(
                listener,
                axum::Router::new()
                    .fallback(async |method: Method| if method == Method::GET { PROGRAM } else { "" }),
            )
            .await
            .unwrap();
        });
    });
    address
}
