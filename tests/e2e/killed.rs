//! `kill -9` of Tiphys in the middle of many running processes, containers and pods, twice: while they start, and when all of them run.
//! Each is found again, none runs twice, and what ended while nobody looked is told.

mod away;
mod crowd;
mod engine;
mod node;
mod separate;

use std::collections::HashSet;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tiphys_core::Timestamp;
use tiphys_runner::pod::{Left, Report};
use tiphys_runner::{Exit, Verdict};
use tiphys_servers::docker::{Docker, run};
use tiphys_servers::kubelet::{Fate, Kubelet, Stub};
use tiphys_servers::kubernetes::{Kubernetes, Setup};
use tiphys_tests::Server;

use crowd::{Crowd, Mortal, Stage, Word, every_result_is_there, patiently, phases};

/// How many steps run when Tiphys is killed.
const MANY: usize = 100;

/// What is seen of steps from where they run.
struct Sight<'a> {
    count: usize,
    begun: &'a dyn Fn() -> usize,
    say: &'a dyn Fn(Word),
    /// How many are over, as who runs them knows.
    over: &'a dyn Fn() -> usize,
}

/// Kills Tiphys while a crowd starts and when all of it runs. Half of it ends while it is away. Gives the end of the workflow.
fn killed_in_the_middle<M: Mortal>(stage: &mut Stage<'_, M>, workflow: &Value, sight: &Sight<'_>) -> Value {
    let count = sight.count;
    stage.submit(workflow);
    patiently("some have begun", || ((sight.begun)() >= count / 4).then_some(()));
    stage.kill(|| {});
    patiently("all have begun", || ((sight.begun)() == count).then_some(()));
    assert_eq!(stage.get("crowd")["status"]["phase"], "Running");
    stage.kill(|| {
        (sight.say)(Word::Early);
        patiently("half are over", || ((sight.over)() == count / 2).then_some(()));
    });
    // What ended meanwhile is told, the rest goes on.
    patiently("the state of all", || {
        let workflow = stage.get("crowd");
        assert_eq!(workflow["status"]["phase"], "Running");
        (phases(&workflow) == [("Running", count / 2), ("Succeeded", count / 2)].into()).then_some(())
    });
    (sight.say)(Word::Late);
    stage.end_of("crowd")
}

/// The same with steps that write files.
fn killed_with<M: Mortal>(
    stage: &mut Stage<'_, M>,
    crowd: &Crowd,
    workflow: &Value,
    over: &dyn Fn() -> usize,
) {
    let (begun, say) = (|| crowd.begun(), |word| crowd.say(word));
    let sight = Sight { count: crowd.count, begun: &begun, say: &say, over };
    let end = killed_in_the_middle(stage, workflow, &sight);
    every_result_is_there(&end, crowd.count);
    crowd.once();
}

#[test]
fn a_hundred_processes_outlive_tiphys_and_none_runs_twice() {
    let (crowd, folder) = (Crowd::of(MANY), tempfile::tempdir().unwrap());
    let mut server = Server::with(folder.path(), &["--launcher", "process"], &[]);
    let steps = server.data().join("steps");
    let over = || {
        let folders = std::fs::read_dir(&steps).unwrap().flatten();
        folders.filter(|folder| folder.path().join(tiphys_runner::exit::FILE).exists()).count()
    };
    let mut stage = Stage { server: &mut server, namespace: "default" };
    killed_with(&mut stage, &crowd, &crowd.workflow("busybox:1", true), &over);
}

#[test]
fn a_hundred_containers_outlive_tiphys_and_none_runs_twice() {
    let Some(engine) = tiphys_servers::docker() else { return };
    engine.import_busybox("busybox:1");
    let (crowd, folder) = (Crowd::of(MANY), tempfile::tempdir().unwrap());
    let arguments = ["--launcher", "docker", "--trust-manifests"];
    let mut server = Server::with(folder.path(), &arguments, &[("DOCKER_HOST", &engine.host())]);
    let mut stage = Stage { server: &mut server, namespace: "default" };
    killed_with(&mut stage, &crowd, &crowd.workflow("busybox:1", false), &|| exited(&engine));
    let left = patiently("all is tidy", || {
        let all = run(&mut engine.docker(&["ps", "--all", "--quiet"]));
        all.is_empty().then_some(all)
    });
    assert_eq!(left, "");
}

/// How many containers have ended.
fn exited(engine: &Docker) -> usize {
    let exited = ["ps", "--all", "--quiet", "--filter", "status=exited"];
    run(&mut engine.docker(&exited)).lines().count()
}

#[test]
fn real_pods_outlive_tiphys_and_none_runs_twice() {
    let Some(cluster) = super::pods::cluster() else { return };
    let (crowd, folder, namespace) = (Crowd::of(12), tempfile::tempdir().unwrap(), cluster.namespace());
    // Nothing reaches Tiphys: results come through the API server.
    let mut server = super::pods::dev(cluster, &namespace, folder.path(), &[]);
    let mut stage = Stage { server: &mut server, namespace: &namespace };
    // A pod is over when its kubelet has said so.
    let over = || ended_pods(cluster, &namespace);
    killed_with(&mut stage, &crowd, &crowd.workflow("busybox:1", false), &over);
    made_once(cluster, &namespace, crowd.count);
}

/// How many pods of a namespace have ended.
fn ended_pods(cluster: &Kubernetes, namespace: &str) -> usize {
    super::pods::runtime().block_on(async {
        let pods = kube::Api::<Pod>::namespaced(cluster.client().await, namespace);
        let all = pods.list(&Default::default()).await.unwrap();
        let phase =
            |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.clone()).unwrap_or_default();
        all.iter().filter(|pod| phase(pod) == "Succeeded").count()
    })
}

/// Names of the pods that were ever made in a namespace, one for each time.
pub(crate) fn created(cluster: &Kubernetes, namespace: &str) -> Vec<String> {
    let requests = cluster.requests().into_iter().filter(|request| request.namespace == namespace);
    let made =
        requests.filter(|r| (r.verb.as_str(), r.resource.as_str(), r.status) == ("create", "pods", 201));
    made.map(|request| request.name).collect()
}

/// No pod was made twice. What was being made when who had asked for it was killed, the API server may make and write down as 504.
pub(crate) fn made_once(cluster: &Kubernetes, namespace: &str, count: usize) {
    let all = created(cluster, namespace);
    let different: HashSet<&String> = all.iter().collect();
    assert!(all.len() <= count && different.len() == all.len(), "{all:#?}");
}

/// A cluster whose pods wait for their word on one of two nodes, and then hand over what no other does.
pub(crate) struct Told {
    pub(crate) cluster: Kubernetes,
    nodes: [Kubelet; 2],
}

impl Told {
    pub(crate) fn new() -> Option<Self> {
        let cluster = Setup::new().audited().start()?;
        let nodes = Word::ALL.map(|word| Stub::new(word.name()).start(&cluster, fate));
        Some(Self { cluster, nodes })
    }

    pub(crate) fn workflow(count: usize) -> Value {
        let template = |name: &str, more: Value| {
            let mut template = json!({
                "name": name,
                "inputs": {"parameters": [{"name": "number"}, {"name": "word"}]},
                "nodeSelector": {"kubernetes.io/hostname": "{{inputs.parameters.word}}"},
                "container": {"image": "busybox:1", "command": ["true"],
                    "env": [{"name": "NUMBER", "value": "{{inputs.parameters.number}}"}]},
            });
            template.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            template
        };
        let outputs =
            json!({"outputs": {"parameters": [{"name": "made", "valueFrom": {"path": "/tmp/made"}}]}});
        let templates = [template("plain", json!({})), template("makes", outputs), crowd::steps(count)];
        crowd::workflow(json!({"templates": templates}))
    }

    pub(crate) fn dev(&self, namespace: &str) -> Server {
        let (kubeconfig, folder) = (self.cluster.kubeconfig(), tempfile::tempdir().unwrap());
        // Where runners would ask; what they leave with their pods is enough here.
        let address = format!("127.0.0.1:{}", tiphys_servers::free_port());
        let arguments = ["--launcher", "kubernetes", "--kubeconfig", kubeconfig.to_str().unwrap()];
        let runner = ["--namespace", namespace, "--runner-image", "busybox:1", "--pods-reach", &address];
        Server::with(folder.path(), &[&arguments[..], &runner].concat(), &[])
    }

    pub(crate) fn say(&self, word: Word) {
        self.nodes.iter().filter(|node| node.node() == word.name()).for_each(Kubelet::release);
    }

    /// Kills what runs a hundred of these pods: each has its result, and was made once.
    fn outlive<M: Mortal>(&self, stage: &mut Stage<'_, M>) {
        let namespace = stage.namespace;
        let (begun, say) = (|| self.given().len(), |word| self.say(word));
        let over = || ended_pods(&self.cluster, namespace);
        let sight = Sight { count: MANY, begun: &begun, say: &say, over: &over };
        let end = killed_in_the_middle(stage, &Self::workflow(MANY), &sight);
        every_result_is_there(&end, MANY);
        made_once(&self.cluster, namespace, MANY);
        assert_eq!(self.given().into_iter().collect::<HashSet<_>>().len(), MANY);
    }

    /// Pods that a node was given, each as often as it was.
    pub(crate) fn given(&self) -> Vec<String> {
        self.nodes.iter().flat_map(Kubelet::taken).map(|taken| taken.uid).collect()
    }
}

/// What the runner of a pod would leave.
fn fate(pod: &Pod) -> Fate {
    let main = pod.spec.as_ref().unwrap().containers.first().unwrap();
    let number = main.env.iter().flatten().find(|variable| variable.name == "NUMBER");
    let number = number.and_then(|variable| variable.value.clone()).unwrap_or_default();
    let has_runner =
        pod.metadata.annotations.as_ref().is_some_and(|all| all.contains_key("tiphys.dev/runner"));
    let fate = Fate::exits(0).once_released();
    if !has_runner {
        return fate;
    }
    let now = Timestamp::now();
    let exit = Exit {
        started: Some(now),
        exit_code: Some(0),
        verdict: Verdict::Succeeded,
        message: String::new(),
        parameters: [("made".to_owned(), format!("made by {number}"))].into(),
        ..Exit::error(None, now, String::new())
    };
    let left = Left::Report(Box::new(Report { exit, receipts: Vec::new() }));
    fate.saying(&serde_json::to_string(&left).unwrap())
}

#[test]
fn a_hundred_pods_outlive_tiphys_and_none_is_made_twice() {
    let Some(told) = Told::new() else { return };
    let namespace = told.cluster.namespace();
    let mut server = told.dev(&namespace);
    told.outlive(&mut Stage { server: &mut server, namespace: &namespace });
}
