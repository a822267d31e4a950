//! The launcher port: start, observe, stop and logs, each idempotent by pod key.

mod collect;
#[cfg(feature = "docker")]
pub mod docker;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub(crate) mod log_file;
#[cfg(any(feature = "docker", feature = "kubernetes"))]
mod patch;
pub mod process;
pub mod resource;
mod secrets;
pub mod several;
mod told;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
pub use collect::{Ended, PodGc};
pub use log_file::LogLine;
pub use secrets::{SecretEnvironment, SecretFile, Secrets};
use serde::{Deserialize, Serialize};
use tiphys_core::{PodKey, Timestamp};
pub use tiphys_runner::Archive;
use tokio::sync::mpsc;

/// Everything needed to run one attempt of one step, every placeholder resolved. Secrets stand in it by
/// reference only, so that it may be written to disk.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// The identity of this attempt.
    pub key: PodKey,
    /// Argo's pod name.
    pub name: String,
    /// Namespace of the workflow.
    pub namespace: String,
    /// Name of the workflow.
    pub workflow: String,
    /// Uid of the workflow.
    pub workflow_uid: String,
    /// Id of the node (`WORKFLOW-HASH`).
    pub node_id: String,
    /// Name of the template.
    pub template: String,
    /// `metadata` labels and annotations of the template.
    pub labels: BTreeMap<String, String>,
    /// See `labels`.
    pub annotations: BTreeMap<String, String>,
    /// The container as Kubernetes knows it, as JSON; for a script its `source` is in `script`.
    pub container: serde_json::Value,
    /// What the manifest says of the pod around that container, as Kubernetes' PodSpec knows it: `volumes`,
    /// `initContainers`, `nodeSelector` and the like. See [`PodOptions`].
    #[serde(default)]
    pub pod: PodOptions,
    /// The source of a script template, to be written to a file whose path is appended to the arguments.
    pub script: Option<String>,
    /// Input artifacts.
    pub inputs: Vec<InputArtifact>,
    /// Output parameters read from files.
    pub output_parameters: Vec<OutputParameter>,
    /// Output artifacts.
    pub output_artifacts: Vec<OutputArtifact>,
    /// Whether standard output is wanted as `outputs.result`.
    pub capture_result: bool,
    /// Whether the log is to be kept as artifact `main-logs`.
    pub archive_logs: bool,
    /// Key under which it is kept; absent in specs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<String>,
    /// Folder for what outlives the pod and is none of its artifacts, in a store that all executors share (see
    /// [`crate::artifact::kept`]); absent: the executor's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keeps: Option<String>,
    /// When the step is to be stopped with a deadline message.
    pub deadline: Option<Timestamp>,
    /// Between TERM and KILL.
    pub grace: Duration,
    /// Whether the manifest lets this step run on the host (`tiphys.dev/launcher: process`).
    pub process_allowed: bool,
    /// What is to be done with objects of the cluster, in the place of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<resource::ResourceSpec>,
}

/// What a manifest says of a pod besides its main container, every placeholder resolved. A launcher that cannot do
/// one of these refuses the pod by name; it ignores none in silence.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodOptions {
    /// Members of Kubernetes' PodSpec by their names (`volumes`, `initContainers`, `nodeSelector`, `tolerations`,
    /// `affinity`, `securityContext`, `serviceAccountName`, `hostAliases` …), where a template's win over its workflow's.
    pub spec: serde_json::Map<String, serde_json::Value>,
    /// Argo's `sidecars`: containers that run beside the main one and are ended after it.
    pub sidecars: Vec<serde_json::Value>,
    /// Argo's `podSpecPatch`, the workflow's before the template's: strategic merge patches of the PodSpec, as JSON.
    pub patches: Vec<serde_json::Value>,
    /// Argo's `volumeClaimTemplates`: the workflow's pods share a volume by each, named `WORKFLOW-NAME`. It is made before
    /// the first pod and removed by [`Launcher::over`].
    pub claims: Vec<serde_json::Value>,
    /// The step is done once it is ready, and goes on until its workflow's scope ends it.
    pub daemon: bool,
    /// Argo's `podGC`, as far as it concerns the end of this pod.
    pub gc: PodGc,
    /// How long after its end the pod goes, where `gc` says that it does (`podGC.deleteDelayDuration`).
    #[serde(skip_serializing_if = "Duration::is_zero")]
    pub gc_delay: Duration,
    /// Name of the node, as Argo's annotation tells it.
    pub node_name: String,
    /// Argo's `podDisruptionBudget`: the spec of one for all pods of the workflow, removed by [`Launcher::over`].
    pub disruption_budget: Option<serde_json::Map<String, serde_json::Value>>,
    /// Hosts on which earlier attempts failed, where `retryStrategy.affinity` wants others.
    pub avoid: Vec<String>,
}

/// An input artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputArtifact {
    /// Name.
    pub name: String,
    /// Where the step finds it.
    pub path: String,
    /// File mode, if the manifest gives one.
    pub mode: Option<u32>,
    /// Where it comes from.
    pub from: ArtifactSource,
    /// Where nothing is found, nothing is placed, and that is no error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
}

/// Where an artifact comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ArtifactSource {
    /// Text in the manifest, or from an event.
    Raw(String),
    /// What lies in an artifact store, as an earlier step stored it or as the manifest names it.
    Stored {
        /// A key of the executor's own folder, or the text of a [`crate::artifact::Location`].
        key: String,
        /// How it was packed.
        archive: Archive,
        /// A path within it.
        sub_path: Option<String>,
    },
}

/// An output parameter with `valueFrom.path`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputParameter {
    /// Name.
    pub name: String,
    /// The file.
    pub path: String,
    /// Used when the file is missing.
    pub default: Option<String>,
}

/// An output artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputArtifact {
    /// Name.
    pub name: String,
    /// The file or folder.
    pub path: String,
    /// Where it goes, as in [`ArtifactSource::Stored`].
    pub key: String,
    /// How it is packed.
    pub archive: Archive,
    /// Missing is no error.
    pub optional: bool,
}

/// What a launcher knows of a pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodState {
    /// Nothing of that key was ever started here, or it was removed.
    Unknown,
    /// It exists, and its main container does not run yet.
    Pending {
        /// What it waits for, as Argo shows it on a node (`ImagePullBackOff: …`); may be empty.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        started: Timestamp,
        /// Whether it can be used, as its readiness probe tells; true where it has none.
        ready: bool,
        /// Under which address other pods of the workflow reach it, where it has one.
        address: Option<String>,
    },
    /// It ended, and this is what came of it. Kept until [`Launcher::forget`].
    Ended(Box<PodResult>),
}

/// What came of a pod.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodResult {
    /// When it began; absent if it never did.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Timestamp,
    /// Exit code of the command; absent if it never ran or its end was not seen.
    pub exit_code: Option<i32>,
    /// Argo's distinction.
    pub verdict: PodVerdict,
    /// Argo's message, such as `Error (exit code 1)`; empty on success.
    pub message: String,
    /// Standard output, at most the last 256 KiB, if it was wanted.
    pub result: Option<String>,
    /// Output parameters.
    pub parameters: BTreeMap<String, String>,
    /// Output artifacts that were stored: name, key, size in bytes, SHA-256 in hex.
    pub artifacts: Vec<StoredArtifact>,
    /// The machine that it ran on, where there are several.
    #[serde(default)]
    pub host: Option<String>,
}

/// Whether a pod succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodVerdict {
    /// Exit code 0 and every output there.
    Succeeded,
    /// The command failed, was killed, or ran out of time.
    Failed,
    /// Something around it failed: it could not be started, an output is missing, the runner died.
    Error,
}

/// An artifact in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoredArtifact {
    /// Name.
    pub name: String,
    /// Where it is, as in [`ArtifactSource::Stored`].
    pub key: String,
    /// How it is packed.
    pub archive: Archive,
    /// Bytes in the store.
    pub size: u64,
    /// SHA-256 of what is in the store, in hex.
    pub sha256: String,
}

/// A refusal to start; the step becomes Error with this message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LaunchError {
    /// This launcher may not run it; the text says what to do.
    #[error("{0}")]
    NotAllowed(String),
    /// What the step needs is missing (a program, a secret, an input artifact).
    #[error("{0}")]
    Missing(String),
    /// Its store can be used, and holds nothing at an artifact's key.
    #[error("{0}")]
    Absent(String),
    /// The machine or server refuses for the moment; start may be called again.
    #[error("{0}")]
    Unavailable(String),
}

/// Starts, watches and stops the pods of steps.
#[async_trait]
pub trait Launcher: Send + Sync + 'static {
    /// Which launcher this is, where its pods are seen by some executors only (the processes of a machine): those
    /// with the same identity can go on with each other's workflows. `None`: every executor sees the same pods.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Returns once [`Self::identity`] is known: a server that is away tells it when it is back.
    async fn await_identity(&self) {}

    /// Whether its server looks up the Secrets and ConfigMaps that a pod names, so that nothing is looked up for it.
    fn knows_secrets(&self, _pod: &PodSpec) -> bool {
        false
    }

    /// Where the step will find the file that its manifest calls `path`: the same path in a container; below
    /// the step's own folder on the host. `on_host` says whether its manifest lets it run there
    /// ([`PodSpec::process_allowed`]). Pure.
    fn path_of(&self, key: &PodKey, on_host: bool, path: &str) -> String;

    /// Starts the pod unless it was started before. Returns once its existence is durable.
    async fn start(&self, pod: &PodSpec, secrets: Secrets) -> Result<(), LaunchError>;

    /// What is known of it now.
    async fn observe(&self, key: &PodKey) -> Result<PodState, LaunchError>;

    /// Keys whose state may have changed arrive here; a wake-up carries no data. To be taken once. After a
    /// restart the keys of everything found from before arrive too.
    fn changes(&self) -> Option<mpsc::Receiver<PodKey>>;

    /// Ends it: TERM, after its grace KILL. Absent is success; returns before it has ended.
    async fn stop(&self, key: &PodKey) -> Result<(), LaunchError>;

    /// Log lines from line `from` (0 = first), at most `max`; what is not yet written is not waited for.
    async fn logs(&self, key: &PodKey, from: usize, max: usize) -> Result<Vec<LogLine>, LaunchError>;

    /// Its result is journalled: what it left may be tidied up, except its logs.
    async fn forget(&self, key: &PodKey);

    /// Its workflow has ended: what its pods shared may go. Called at least once.
    async fn over(&self, _workflow: &Ended) {}

    /// Another executor looks after it: what is kept of it in memory may go.
    fn leave(&self, _key: &PodKey) {}

    /// Its workflow was deleted: nothing of it is kept.
    async fn remove(&self, key: &PodKey);
}

impl PodSpec {
    /// Key under which the log is kept, if it is.
    #[must_use]
    pub fn log_key(&self) -> Option<String> {
        let old = || format!("{}/{}/main.log", self.workflow, self.name);
        self.archive_logs.then(|| self.log_key.clone().unwrap_or_else(old))
    }
}

/// What was found at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fetched {
    /// A file.
    File,
    /// A folder: an artifact without archive, or the files of a git repository.
    Folder,
}

/// Artifacts, by key: one of the executor's own folder, or the text of a [`crate::artifact::Location`], which names
/// another store. Steps hold no keys to stores; who has the store gives them what they need.
#[async_trait]
pub trait ArtifactStore: Send + Sync + 'static {
    /// Stores a file, or a folder file by file. A reader sees all or nothing of a file. Returns bytes and SHA-256
    /// in hex; of a folder that of its list of files.
    async fn put(&self, key: &str, file: PathBuf) -> Result<(u64, String), LaunchError>;
    /// The whole content in memory; a folder as `.tgz`, whatever archive its artifact has.
    async fn get(&self, key: &str) -> Result<Bytes, LaunchError>;
    /// Writes the content to `place`, where nothing is yet, with memory bounded whatever its size.
    async fn fetch(&self, key: &str, place: PathBuf) -> Result<Fetched, LaunchError>;
    /// Forgets a key and everything below it.
    async fn remove(&self, prefix: &str) -> Result<(), LaunchError>;
}
