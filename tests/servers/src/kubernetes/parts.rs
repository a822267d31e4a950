//! The processes of a cluster, each of which a test may stop, freeze and start again.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::node::Node;
use crate::tools;

/// One process of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Keeps the objects.
    Etcd,
    /// Answers everybody.
    ApiServer,
    /// Makes service accounts, deletes what a namespace held, gives up pods of nodes that are silent.
    ControllerManager,
    /// Gives pods a node.
    Scheduler,
    /// Runs containers.
    Containerd,
    /// Runs pods.
    Kubelet,
}

impl Part {
    /// The program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Containerd => "containerd",
            Self::Kubelet => "kubelet",
        }
    }

    /// Where the program is.
    pub(super) fn path(self) -> Option<PathBuf> {
        if self == Self::Containerd {
            return crate::program(self.program());
        }
        tools().map(|tools| tools.join("kubernetes").join(self.program())).filter(|file| file.is_file())
    }
}

/// What runs of a cluster.
#[derive(Debug)]
pub(super) struct Parts {
    folder: PathBuf,
    running: HashMap<Part, Running>,
}

#[derive(Debug)]
struct Running {
    /// The part, or what brought it into the node.
    child: Child,
    /// The part.
    id: Pid,
}

impl Parts {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), running: HashMap::new() }
    }

    /// Starts a part, in the node where there is one for it, with its working directory in the folder. Gives the process to
    /// kill at the end.
    pub(super) fn start(&mut self, part: Part, arguments: &[String], node: Option<&Node>) -> u32 {
        let name = part.program();
        assert!(!self.running.contains_key(&part), "{name} runs already");
        let path = part.path().expect("an installed part");
        let mut command = node.map_or_else(|| Command::new(&path), |node| node.command(&path));
        command.args(arguments).current_dir(&self.folder).env("TMPDIR", self.folder.join("tmp"));
        let log = OpenOptions::new().create(true).append(true).open(self.log(part)).expect("a log");
        let output = log.try_clone().expect("a log");
        let child = command.stdin(Stdio::null()).stdout(output).stderr(log).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name}: {error}"));
        let started = child.id();
        let id = if node.is_some() { only_child(started) } else { process(started) };
        self.running.insert(part, Running { child, id });
        started
    }

    /// Ends a part at once, as `kill -9` does.
    pub(super) fn kill(&mut self, part: Part) {
        let mut running = self.running.remove(&part).unwrap_or_else(|| panic!("{} runs", part.program()));
        let _ = kill_process(running.id, Signal::KILL);
        let _ = running.child.wait();
    }

    pub(super) fn signal(&self, part: Part, signal: Signal) {
        let running = self.running.get(&part).unwrap_or_else(|| panic!("{} runs", part.program()));
        kill_process(running.id, signal).expect("a signal");
    }

    /// The number of a part's process, as this machine counts.
    pub(super) fn id(&self, part: Part) -> Option<u32> {
        self.running.get(&part).map(|running| running.id.as_raw_nonzero().get().cast_unsigned())
    }

    /// # Panics
    /// When a part has ended by itself, with the end of its log.
    pub(super) fn check(&mut self) {
        let ended: Vec<Part> =
            self.running.iter_mut().filter_map(|(part, running)| running.ended(*part)).collect();
        if let Some(part) = ended.first() {
            let log = std::fs::read_to_string(self.log(*part)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(20)..].join("\n");
            panic!("{} ended:\n{last}", part.program());
        }
    }

    pub(super) fn log(&self, part: Part) -> PathBuf {
        self.folder.join("log").join(part.program())
    }

    /// Takes note of who was killed.
    pub(super) fn bury(&mut self) {
        for running in self.running.values_mut() {
            let _ = running.child.wait();
        }
    }
}

impl Running {
    fn ended(&mut self, part: Part) -> Option<Part> {
        self.child.try_wait().expect("a status").map(|_| part)
    }
}

/// A process id as the system calls take it.
pub(super) fn process(id: u32) -> Pid {
    Pid::from_raw(id.cast_signed()).expect("the number of a process")
}

/// The process that another one has started in a process namespace, once it has.
pub(super) fn only_child(parent: u32) -> Pid {
    let file = format!("/proc/{parent}/task/{parent}/children");
    crate::until("a process of the node", || {
        let children = std::fs::read_to_string(&file).ok()?;
        children.split_whitespace().next()?.parse().ok().map(process)
    })
}
