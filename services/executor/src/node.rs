//! A node: one thing in the tree of what a workflow runs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tiphys_core::{PodKey, Timestamp};
use tiphys_manifest::workflow::TemplateRef;

use crate::launcher::ArtifactSource;

/// Where a node stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Argo's words")]
pub enum Phase {
    Pending,
    Running,
    Succeeded,
    Skipped,
    Failed,
    Error,
    Omitted,
}

impl Phase {
    /// Nothing more happens to it.
    #[must_use]
    pub const fn fulfilled(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// It ran, and ended.
    #[must_use]
    pub const fn completed(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Error)
    }

    /// It ended badly.
    #[must_use]
    pub const fn bad(self) -> bool {
        matches!(self, Self::Failed | Self::Error)
    }

    /// Argo's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Skipped => "Skipped",
            Self::Failed => "Failed",
            Self::Error => "Error",
            Self::Omitted => "Omitted",
        }
    }
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "Argo's words")]
pub enum NodeKind {
    Pod,
    Steps,
    StepGroup,
    #[serde(rename = "DAG")]
    Dag,
    TaskGroup,
    Retry,
    Skipped,
    Suspend,
}

impl NodeKind {
    /// Argo's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Steps => "Steps",
            Self::StepGroup => "StepGroup",
            Self::Dag => "DAG",
            Self::TaskGroup => "TaskGroup",
            Self::Retry => "Retry",
            Self::Skipped => "Skipped",
            Self::Suspend => "Suspend",
        }
    }
}

/// Which template a node runs, and where that name means something.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Name of a template of `scope`; empty where `reference` is given.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub template: String,
    /// A template of another object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<TemplateRef>,
    /// The caller's scope: `local/WORKFLOW`, `namespaced/TEMPLATE` or `cluster/TEMPLATE`.
    pub scope: String,
}

/// A parameter with its value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParameterValue {
    /// Name.
    pub name: String,
    /// Absent where what should have made it was skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Also known as `workflow.outputs.parameters.NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
}

/// An artifact with its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactValue {
    /// Name.
    pub name: String,
    /// Where the step finds or leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// File mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<u32>,
    /// Where it is; absent where an optional one is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ArtifactSource>,
    /// Bytes in the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// SHA-256 of what is in the store, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Also known as `workflow.outputs.artifacts.NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub global_name: Option<String>,
}

/// What went into a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InputValues {
    /// Parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterValue>,
    /// Artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactValue>,
}

/// What came out of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputValues {
    /// Parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterValue>,
    /// Artifacts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<ArtifactValue>,
    /// Standard output, if it was wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Exit code of the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<String>,
}

impl OutputValues {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A parameter by name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&ParameterValue> {
        self.parameters.iter().find(|p| p.name == name)
    }

    /// An artifact by name.
    #[must_use]
    pub fn artifact(&self, name: &str) -> Option<&ArtifactValue> {
        self.artifacts.iter().find(|a| a.name == name)
    }
}

/// A step that is done and goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Daemon {
    /// Where it is reached, if it has an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// `WORKFLOW-HASH`.
    pub id: String,
    /// Full name: the path from the workflow to here.
    pub name: String,
    /// Name without the boundary's.
    pub display_name: String,
    /// What it is.
    pub kind: NodeKind,
    /// What it runs.
    pub target: Target,
    /// Where it stands.
    pub phase: Phase,
    /// The steps or DAG node that it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boundary: Option<String>,
    /// Why it stands there.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was made; once its pod runs, since when that runs.
    pub started: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// What went in.
    #[serde(default)]
    pub inputs: Arc<InputValues>,
    /// What came out.
    #[serde(default)]
    pub outputs: Arc<OutputValues>,
    /// What follows it in the tree that is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// Of steps and DAG nodes: the nodes that end it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outbound: Vec<String>,
    /// Of a pod: its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodKey>,
    /// Of a pod: its Kubernetes name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_name: Option<String>,
    /// Of an attempt: which one, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Whether its standard output is wanted as `outputs.result`.
    #[serde(default)]
    pub wants_result: bool,
    /// Whether it belongs to an exit handler, which a stop and the workflow's deadline leave alone.
    #[serde(default)]
    pub exit: bool,
    /// Of a loop or step group: all children were made.
    #[serde(default)]
    pub complete: bool,
    /// Of a pod that was told to stop: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopping: Option<String>,
    /// It is a daemon, and ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<Daemon>,
    /// Of a pod: the machine that it ran on, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How many steps and DAG nodes it stands in.
    #[serde(default)]
    pub depth: u32,
}
