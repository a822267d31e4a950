//! A workflow run in the head: pods end as the test says, time passes as the plan asks, and after each record
//! the journal is read again and compared with what lives.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tiphys_catalog::{Catalog, Snapshot};
use tiphys_core::workflow::{Command, Verb, WorkflowRecord};
use tiphys_core::{PodKey, Timestamp};
use tiphys_executor::journal::{self, State};
use tiphys_executor::launcher::{PodResult, PodSpec, PodVerdict};
use tiphys_executor::node::{Node, Phase};
use tiphys_executor::plan::{Context, Observed, Place, Plan, Seen, plan};
use tiphys_executor::{status, submit};
use tiphys_manifest::load::{LoadOptions, load};

pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + seconds).unwrap()
}

pub fn catalog(texts: &[&str]) -> Arc<Snapshot> {
    let catalog = Catalog::new();
    let feeder = catalog.feeder();
    let mut objects = Vec::new();
    for text in texts {
        let loaded = load("test.yaml", text, &LoadOptions::default());
        objects.extend(loaded.objects.into_iter().map(Arc::new));
    }
    feeder.replace(objects, Vec::new());
    catalog.snapshot()
}

pub fn workflow(text: &str) -> Value {
    let loaded = load("test.yaml", text, &LoadOptions::default());
    let object = loaded.objects.first();
    object.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics)).document.clone()
}

/// A pod that ended well.
pub fn good(now: Timestamp) -> PodResult {
    PodResult {
        started: Some(now),
        finished: now,
        exit_code: Some(0),
        verdict: PodVerdict::Succeeded,
        message: String::new(),
        result: None,
        parameters: BTreeMap::new(),
        artifacts: Vec::new(),
        host: None,
    }
}

/// A pod whose command failed.
pub fn failed(now: Timestamp, code: i32) -> PodResult {
    PodResult {
        exit_code: Some(code),
        verdict: PodVerdict::Failed,
        message: format!("Error (exit code {code})"),
        ..good(now)
    }
}

type Behaviour<'a> = Box<dyn FnMut(&PodSpec, Timestamp) -> PodResult + 'a>;

pub struct Simulator<'a> {
    pub state: State,
    pub journal: Vec<Vec<u8>>,
    pub catalog: Arc<Snapshot>,
    pub now: Timestamp,
    /// Pods with the time of their end.
    pub running: VecDeque<(Timestamp, PodSpec)>,
    /// Daemons of which that is not yet told.
    pub ready: VecDeque<PodSpec>,
    pub started: Vec<PodSpec>,
    pub stopped: Vec<PodKey>,
    pub behaviour: Behaviour<'a>,
    /// How long a pod takes.
    pub takes: fn(&PodSpec) -> Duration,
}

impl<'a> Simulator<'a> {
    pub fn new(
        object: &Value,
        catalog: Arc<Snapshot>,
        behaviour: impl FnMut(&PodSpec, Timestamp) -> PodResult + 'a,
    ) -> Self {
        let submission =
            submit::prepare(object, "default", &submit::Options::default(), time(0), "seed").unwrap();
        let record = WorkflowRecord::Submitted(submission.clone());
        Self {
            state: State::submitted(submission, 1),
            journal: vec![serde_json::to_vec(&record).unwrap()],
            catalog,
            now: time(0),
            running: VecDeque::new(),
            ready: VecDeque::new(),
            started: Vec::new(),
            stopped: Vec::new(),
            behaviour: Box::new(behaviour),
            takes: |_| Duration::from_secs(1),
        }
    }

    /// Begins again with the first `records` records, as after a crash: what was recorded as started and has
    /// no result runs.
    pub fn recovered(mut self, records: usize) -> Self {
        self.journal.truncate(records);
        self.state = self.replayed();
        if let Some(Ok(WorkflowRecord::Progress { progress })) =
            self.journal.last().map(|record| journal::parse(record))
        {
            self.now = progress["at"].as_str().unwrap().parse().unwrap();
        }
        self.running.clear();
        let pending = self.state.active.clone();
        for id in pending {
            let node = self.state.nodes[&id].clone();
            if node.pod.is_some() {
                let spec = with_context(&self.catalog, self.now, |context| {
                    tiphys_executor::plan::pod::of_node(&self.state, &node, context)
                });
                self.launch(spec.unwrap());
            }
        }
        self
    }

    fn replayed(&self) -> State {
        let records = self.journal.iter().enumerate();
        let records = records.map(|(index, payload)| (index as u64 + 1, &payload[..]));
        State::replay(records).unwrap().unwrap()
    }

    fn launch(&mut self, pod: PodSpec) {
        if pod.pod.daemon {
            self.ready.push_back(pod.clone());
        }
        // A daemon goes on until it is stopped.
        let takes = if pod.pod.daemon { Duration::from_secs(1 << 30) } else { (self.takes)(&pod) };
        let end = self.now.checked_add(takes).unwrap();
        let end = pod.deadline.map_or(end, |deadline| deadline.min(end));
        self.running.push_back((end, pod));
    }

    pub fn command(&mut self, verb: Verb) {
        let command = Command { verb, at: self.now, by: "test".into(), reason: String::new() };
        let record = WorkflowRecord::Command(command);
        self.journal.push(serde_json::to_vec(&record).unwrap());
        self.state = self.replayed();
    }

    pub fn plan(&mut self, seen: &[Seen]) -> Plan {
        let decided = with_context(&self.catalog, self.now, |context| plan(&self.state, seen, context));
        if !decided.changes.is_empty() {
            let record = journal::record(self.now, decided.changes.clone()).unwrap();
            self.journal.push(serde_json::to_vec(&record).unwrap());
            self.state = decided.state.clone();
            self.state.sequence = self.journal.len() as u64;
            let (live, read) = (status::object(&self.state), status::object(&self.replayed()));
            assert_eq!(live, read, "replay equals live");
        }
        self.started.extend(decided.starts.iter().cloned());
        for pod in &decided.starts {
            self.launch(pod.clone());
        }
        self.stopped.extend(decided.stops.iter().cloned());
        decided
    }

    /// Runs until the workflow is over, or waits for somebody.
    pub fn run(&mut self) -> &mut Self {
        let mut wake = self.plan(&[]).wake;
        for _ in 0..100_000 {
            if self.state.is_over() && self.running.is_empty() {
                return self;
            }
            let stopped = |pod: &PodSpec| self.stopped.contains(&pod.key);
            let stopped = self.running.iter().position(|(_, pod)| stopped(pod));
            let first = self.running.iter().enumerate().min_by_key(|(_, (end, _))| *end);
            let first = first.map(|(at, (end, _))| (at, *end));
            let seen = if let Some(pod) = self.ready.pop_front() {
                let what =
                    Observed::Running { started: self.now, ready: true, address: Some("10.0.0.9".into()) };
                vec![Seen { node: pod.node_id.clone(), pod: pod.key.clone(), what }]
            } else if let Some((_, pod)) = stopped.and_then(|at| self.running.remove(at)) {
                vec![seen(&pod, failed(self.now, 143))]
            } else if let Some((at, end)) = first.filter(|(_, end)| wake.is_none_or(|wake| *end <= wake)) {
                self.now = end;
                let (_, pod) = self.running.remove(at).unwrap();
                let result = if pod.deadline.is_some_and(|deadline| deadline <= end) {
                    failed(end, 143)
                } else {
                    (self.behaviour)(&pod, end)
                };
                vec![seen(&pod, result)]
            } else if let Some(at) = wake {
                self.now = at.max(self.now);
                Vec::new()
            } else {
                return self;
            };
            wake = self.plan(&seen).wake;
        }
        panic!("the workflow does not come to an end");
    }

    pub fn phase(&self) -> Option<Phase> {
        self.state.phase
    }

    pub fn node(&self, name: &str) -> &Node {
        self.state.named(name).unwrap_or_else(|| {
            let names: Vec<&str> = self.state.nodes.values().map(|n| &*n.name).collect();
            panic!("no node {name} among {names:#?}")
        })
    }

    pub fn phases(&self) -> BTreeMap<String, &'static str> {
        let nodes = self.state.nodes.values();
        nodes.map(|node| (node.name.clone(), node.phase.as_str())).collect()
    }
}

pub fn seen(pod: &PodSpec, result: PodResult) -> Seen {
    Seen { node: pod.node_id.clone(), pod: pod.key.clone(), what: Observed::Ended(Box::new(result)) }
}

pub fn with_context<T>(catalog: &Snapshot, now: Timestamp, body: impl FnOnce(&Context<'_>) -> T) -> T {
    with_trace(catalog, now, None, body)
}

pub fn with_trace<T>(
    catalog: &Snapshot,
    now: Timestamp,
    trace: Option<Place>,
    body: impl FnOnce(&Context<'_>) -> T,
) -> T {
    let path_of = |key: &PodKey, _: bool, path: &str| format!("/steps/{key}{path}");
    let grace = Duration::from_secs(30);
    body(&Context { now, catalog, path_of: &path_of, archive_logs: false, grace, trace })
}
