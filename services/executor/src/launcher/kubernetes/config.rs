//! How steps are run in a cluster.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tiphys_kit::Health;

use super::packed::PackedRunner;

/// How steps are run in a cluster.
#[derive(Debug, Clone)]
pub struct Config {
    /// Which Tiphys the pods belong to, a label's value: two installations in one cluster do not see each other's.
    pub installation: String,
    /// Namespaces in which workflows run; empty: all.
    pub namespaces: Vec<String>,
    /// Where pods get the runner from; without it, only plain steps run.
    pub runner: Option<RunnerSource>,
    /// `HOST:PORT` where pods reach [`runner_routes`](super::KubernetesLauncher::runner_routes); none: they are reached
    /// through the API server.
    pub address: Option<String>,
    /// Certificates in PEM that runners believe at `address`, and no others; none: they ask it in plain HTTP.
    pub certificate: Option<String>,
    /// What the tokens of runners are made with; the same in all executors of an installation, and after a restart.
    pub key: SecretString,
    /// Variables that every step gets.
    pub environment: BTreeMap<String, String>,
    /// What images run by themselves, for steps that name no command and need the runner.
    pub images: BTreeMap<String, ImageCommand>,
    /// How long a runner tries to fetch and to hand over.
    pub patience: Duration,
    /// How long a pod may wait for an image or a Secret that is not there.
    pub stuck: Duration,
    /// How long a pod that has a node may wait without a word, before it is asked why: its events are listed then.
    pub quiet: Duration,
    /// How long after its time to end a pod counts as lost, where its node does not confirm the end.
    pub lost: Duration,
    /// Every container gets a read-only root with a `/tmp`, no capabilities and no new privileges, whatever its manifest
    /// says; what needs more is refused.
    pub restricted: bool,
    /// What the init container that brings the runner asks for and may take, as Kubernetes' ResourceRequirements; empty: it
    /// says nothing.
    pub runner_resources: Map<String, Value>,
    /// Bytes of log that are kept of a step.
    pub log_limit: u64,
    /// Nothing is done about pods but to read their logs: for a process beside the executors.
    pub only_reads: bool,
    /// Requests to the API server at the same time, besides watches and streams.
    pub requests: usize,
    /// How long the API server may take to begin an answer.
    pub answer: Duration,
    /// A folder for what is on its way to the artifact store.
    pub scratch: PathBuf,
    /// Where it is told whether the API server answers, under [`Config::part`].
    pub health: Health,
}

/// Where pods get the runner from.
#[derive(Debug, Clone)]
pub enum RunnerSource {
    /// An image of its own.
    Image(RunnerImage),
    /// ConfigMaps, which are made where they are needed.
    Packed(PackedRunner),
}

/// An image with the runner in it.
#[derive(Debug, Clone)]
pub struct RunnerImage {
    /// The image.
    pub image: String,
    /// The program in it, an absolute path.
    pub program: String,
    /// When it is pulled, as Kubernetes says it.
    pub pull_policy: Option<String>,
    /// Whether it is mounted as a volume; else an init container copies the program.
    pub volume: ImageVolume,
}

/// Whether images are mounted as volumes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageVolume {
    /// Where all nodes are known to be able to, when the launcher is opened.
    Auto,
    /// Yes.
    Always,
    /// No.
    Never,
}

/// What an image runs by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageCommand {
    /// `ENTRYPOINT`.
    #[serde(alias = "command")]
    pub entrypoint: Vec<String>,
    /// `CMD`.
    #[serde(rename = "cmd", alias = "args")]
    pub arguments: Vec<String>,
}

/// Where [`runner_routes`](super::KubernetesLauncher::runner_routes) are.
pub const RUNNER_ROUTES: &str = "/runner/v1/{pod}";

impl Config {
    /// The usual settings.
    #[must_use]
    pub fn new(installation: String, key: SecretString, scratch: PathBuf) -> Self {
        Self {
            installation,
            namespaces: Vec::new(),
            runner: None,
            address: None,
            certificate: None,
            key,
            environment: BTreeMap::new(),
            images: BTreeMap::new(),
            patience: Duration::from_secs(1800),
            stuck: Duration::from_secs(600),
            quiet: Duration::from_secs(10),
            lost: Duration::from_secs(60),
            restricted: false,
            runner_resources: small(),
            log_limit: 64 << 20,
            only_reads: false,
            requests: 64,
            answer: Duration::from_secs(60),
            scratch,
            health: Health::default(),
        }
    }

    /// The part of health that tells whether the API server answers.
    #[must_use]
    pub const fn part(&self) -> &'static str {
        if self.only_reads { super::watch::LOGS } else { super::PART }
    }
}

/// Enough to copy a file of a few megabytes. Namespaces with a quota take no container that says nothing.
fn small() -> Map<String, Value> {
    let (requests, limits) =
        (json!({"cpu": "10m", "memory": "16Mi"}), json!({"cpu": "200m", "memory": "64Mi"}));
    Map::from_iter([("requests".to_owned(), requests), ("limits".to_owned(), limits)])
}
