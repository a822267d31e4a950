//! The journal of a workflow: what its owner decided, record by record.
//!
//! The first record is the submission; commands come from anybody; [`Progress`] comes from the owner alone, by
//! compare-and-set. One pass of the planner is one record. [`State`] is what a journal adds up to: the same
//! code applies a change while it is planned and when it is read again, so that replay equals live.

mod reset;
mod state;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tiphys_core::Timestamp;
use tiphys_core::workflow::WorkflowRecord;

pub use state::{Shutdown, State};

use crate::artifact::Repository;
use crate::error::Error;
use crate::node::{Daemon, Node, OutputValues, ParameterValue, Phase};
use std::sync::Arc;

/// Format of [`Progress`].
const VERSION: u32 = 1;

/// What one pass of the planner decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// Format; 1.
    pub version: u32,
    /// When.
    pub at: Timestamp,
    /// The changes, in order.
    pub changes: Vec<Change>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum Change {
    /// The workflow starts.
    Begun(Box<Begun>),
    /// A template of another object, as it stood at first use.
    Stored {
        /// `SCOPE/TEMPLATE`.
        key: String,
        /// The template.
        template: Value,
    },
    /// A new node.
    Node(Box<Node>),
    /// News of a node.
    Update(Box<Update>),
    /// The workflow is over.
    Ended {
        /// Succeeded, Failed or Error.
        phase: Phase,
        /// Why.
        message: String,
    },
    /// What `artifactGC` wants removed after the end was removed.
    Collected {
        /// Why not all of it could be; empty where it was.
        problem: String,
    },
}

/// How the workflow starts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Begun {
    /// The spec that rules from now on, where it is another than the submitted one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<Value>,
    /// `workflow.parameters`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ParameterValue>,
    /// Labels that `workflowMetadata` adds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations that `workflowMetadata` adds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// The launcher to which the workflow is bound: only an executor that sees the same one goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launcher: Option<String>,
    /// Where its artifacts go; absent: the executor's own folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<Repository>,
}

/// News of a node; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Update {
    /// The node.
    pub id: String,
    /// New phase; when it ends the node, the time of the record is its end unless `finished` says otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// New message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Since when its pod runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// What came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outputs: Option<Arc<OutputValues>>,
    /// More children.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
    /// The nodes that end it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outbound: Vec<String>,
    /// It was told to stop, for this reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopping: Option<String>,
    /// All children were made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub complete: bool,
    /// It is a daemon, and ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub daemon: Option<Daemon>,
    /// The machine that its pod ran on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// The record of one pass.
///
/// # Errors
/// Fails when a value cannot be written as JSON, which no value of ours does.
pub fn record(at: Timestamp, changes: Vec<Change>) -> Result<WorkflowRecord, Error> {
    let progress = Progress { version: VERSION, at, changes };
    let progress =
        serde_json::to_value(progress).map_err(|source| Error::Record { reason: source.to_string() })?;
    Ok(WorkflowRecord::Progress { progress })
}

/// Reads a stored record.
///
/// # Errors
/// Fails when it is none, or of a newer format.
pub fn parse(payload: &[u8]) -> Result<WorkflowRecord, Error> {
    serde_json::from_slice(payload).map_err(|source| Error::Record { reason: source.to_string() })
}

/// Reads the owner's part of a record.
///
/// # Errors
/// Fails when it is none, or of a newer format.
pub(crate) fn progress(value: &Value) -> Result<Progress, Error> {
    let progress =
        Progress::deserialize(value).map_err(|source| Error::Record { reason: source.to_string() })?;
    if progress.version > VERSION {
        return Err(Error::Record {
            reason: format!(
                "format {} is newer than this program knows ({VERSION}); run the newer program",
                progress.version
            ),
        });
    }
    Ok(progress)
}
