//! A workflow of many steps that run at once. Each takes note in a file of its own of when it begins and ends, and waits in between
//! for a word: half of them for one that is said while nobody looks, half for one that is said later. Half of each have a
//! result of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tiphys_tests::{Local, Server};

/// What the steps wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// Said while Tiphys is away.
    Early,
    /// Said when it is back.
    Late,
}

impl Word {
    pub(crate) const ALL: [Self; 2] = [Self::Early, Self::Late];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Early => "early",
            Self::Late => "late",
        }
    }
}

/// The steps, and the folder that they see under its own path, wherever they run.
pub(crate) struct Crowd {
    folder: TempDir,
    /// A multiple of four.
    pub(crate) count: usize,
}

impl Crowd {
    pub(crate) fn of(count: usize) -> Self {
        assert_eq!(count % 4, 0);
        Self { folder: tempfile::tempdir().unwrap(), count }
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The workflow. Steps of the host see the folder by themselves, others by a volume.
    pub(crate) fn workflow(&self, image: &str, on_host: bool) -> Value {
        let folder = self.folder().display();
        // Whatever becomes of the test, none is left when its folder is gone.
        let script = format!(
            "trap 'exit 143' TERM
            cd {folder} && echo began >> {{{{inputs.parameters.number}}}}
            while [ -d {folder} ] && ! [ -e {folder}/{{{{inputs.parameters.word}}}} ]; do sleep 1; done
            cd {folder} && echo ended >> {{{{inputs.parameters.number}}}}"
        );
        let mounts =
            if on_host { json!([]) } else { json!([{"name": "words", "mountPath": folder.to_string()}]) };
        let volumes = if on_host {
            json!([])
        } else {
            json!([{"name": "words", "hostPath": {"path": folder.to_string()}}])
        };
        let template = |name: &str, script: &str, more: Value| {
            let mut template = json!({
                "name": name,
                "inputs": {"parameters": [{"name": "number"}, {"name": "word"}]},
                "container": {"image": image, "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c"], "args": [script],
                    "volumeMounts": mounts},
            });
            template.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            template
        };
        let made = format!(
            "{script}; echo made by {{{{inputs.parameters.number}}}} > {{{{outputs.parameters.made.path}}}}"
        );
        let outputs =
            json!({"outputs": {"parameters": [{"name": "made", "valueFrom": {"path": "/tmp/made"}}]}});
        let templates =
            [template("plain", &script, json!({})), template("makes", &made, outputs), steps(self.count)];
        workflow(json!({"volumes": volumes, "templates": templates}))
    }

    pub(crate) fn say(&self, word: Word) {
        std::fs::write(self.folder().join(word.name()), "").unwrap();
    }

    /// What each step wrote until now.
    pub(crate) fn written(&self) -> Vec<String> {
        let read = |number: usize| std::fs::read_to_string(self.folder().join(number.to_string()));
        (0..self.count).map(|number| read(number).unwrap_or_default()).collect()
    }

    /// How many have begun.
    pub(crate) fn begun(&self) -> usize {
        self.written().iter().filter(|text| text.starts_with("began\n")).count()
    }

    /// How many are at their end.
    pub(crate) fn ended(&self) -> usize {
        self.written().iter().filter(|text| text.ends_with("ended\n")).count()
    }

    /// Each began once.
    pub(crate) fn once(&self) {
        for (number, text) in self.written().iter().enumerate() {
            assert_eq!(text, "began\nended\n", "step {number}");
        }
    }
}

/// The entrypoint: four groups at once, of each word and kind, numbered in that order.
pub(crate) fn steps(count: usize) -> Value {
    let kinds =
        [("plain", Word::Early), ("plain", Word::Late), ("makes", Word::Early), ("makes", Word::Late)];
    let groups = kinds.into_iter().enumerate().map(|(group, (template, word))| {
        let parameters =
            json!([{"name": "number", "value": "{{item}}"}, {"name": "word", "value": word.name()}]);
        json!({
            "name": format!("{template}-{}", word.name()),
            "template": template,
            "arguments": {"parameters": parameters},
            "withSequence": {"start": (group * count / 4).to_string(), "count": (count / 4).to_string()},
        })
    });
    json!({"name": "main", "steps": [groups.collect::<Vec<_>>()]})
}

/// A workflow `crowd` of a spec.
pub(crate) fn workflow(mut spec: Value) -> Value {
    spec["entrypoint"] = json!("main");
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "crowd"}, "spec": spec})
}

/// What runs the steps, and may be killed while it does.
pub(crate) trait Mortal {
    /// Who answers for it.
    fn server(&self) -> &Server;

    /// Ends it without a goodbye, and starts it again after something was done.
    fn die(&mut self, meanwhile: impl FnOnce());
}

impl Mortal for Server {
    fn server(&self) -> &Server {
        self
    }

    fn die(&mut self, meanwhile: impl FnOnce()) {
        self.kill();
        meanwhile();
        self.run();
    }
}

/// Of the separate services the executor.
impl Mortal for Local {
    fn server(&self) -> &Server {
        self
    }

    fn die(&mut self, meanwhile: impl FnOnce()) {
        self.kill("executor");
        meanwhile();
        assert_eq!(self.up(), ["executor"]);
    }
}

/// Who runs the steps, and the namespace in which it is spoken to.
pub(crate) struct Stage<'s, M = Server> {
    pub(crate) server: &'s mut M,
    pub(crate) namespace: &'s str,
}

impl<M: Mortal> Stage<'_, M> {
    pub(crate) fn submit(&self, workflow: &Value) {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        std::io::Write::write_all(&mut file, workflow.to_string().as_bytes()).unwrap();
        self.ok(&["submit", file.path().to_str().unwrap()]);
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.server.server().ok(&[&["--namespace", self.namespace], arguments].concat())
    }

    pub(crate) fn get(&self, name: &str) -> Value {
        self.server.server().json(&["--namespace", self.namespace, "get", name])
    }

    /// The workflow once it is over.
    pub(crate) fn end_of(&self, name: &str) -> Value {
        let _ = self.server.server().cli(&["--namespace", self.namespace, "wait", name, "--timeout", "5m"]);
        self.get(name)
    }

    /// Restarts Tiphys without a goodbye, and does something while it is away.
    pub(crate) fn kill(&mut self, meanwhile: impl FnOnce()) {
        self.server.die(meanwhile);
    }
}

/// Looks until there is something, for as long as a busy machine may need.
pub(crate) fn patiently<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(300);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long for: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The pods of a workflow.
pub(crate) fn pods(workflow: &Value) -> Vec<&Value> {
    let nodes = workflow["status"]["nodes"].as_object().into_iter().flat_map(|nodes| nodes.values());
    nodes.filter(|node| node["type"] == "Pod").collect()
}

/// How many pods are in each phase, as the user sees them.
pub(crate) fn phases(workflow: &Value) -> BTreeMap<&str, usize> {
    let mut phases = BTreeMap::new();
    for pod in pods(workflow) {
        *phases.entry(pod["phase"].as_str().unwrap()).or_default() += 1;
    }
    phases
}

/// Phase and message of the only pod of a workflow, once it has one.
pub(crate) fn only(workflow: &Value) -> Option<(String, String)> {
    let pods = pods(workflow);
    let text = |what: &str| pods[0][what].as_str().unwrap_or_default().to_owned();
    (pods.len() == 1).then(|| (text("phase"), text("message")))
}

/// A parameter of a node.
fn parameter<'n>(place: &'n Value, name: &str) -> Option<&'n str> {
    place["parameters"].as_array()?.iter().find(|parameter| parameter["name"] == name)?["value"].as_str()
}

/// A crowd's workflow has succeeded, and every result is its own step's.
pub(crate) fn every_result_is_there(workflow: &Value, count: usize) {
    assert_eq!(workflow["status"]["phase"], "Succeeded", "{workflow:#}");
    assert_eq!(workflow["status"]["progress"], format!("{count}/{count}"));
    let pods = pods(workflow);
    let mut numbers: Vec<usize> = Vec::new();
    for pod in &pods {
        assert_eq!(
            (&pod["phase"], pod["message"].as_str().unwrap_or_default()),
            (&json!("Succeeded"), ""),
            "{pod:#}"
        );
        assert_eq!(pod["outputs"]["exitCode"], "0", "{pod:#}");
        let number = parameter(&pod["inputs"], "number").unwrap();
        let made = format!("made by {number}");
        let expected = (pod["templateName"] == "makes").then_some(made.as_str());
        assert_eq!(parameter(&pod["outputs"], "made"), expected, "{pod:#}");
        numbers.push(number.parse().unwrap());
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
}
