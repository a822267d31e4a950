//! What other rooms may write into a workflow's journal (stream WORKFLOWS, subject
//! `workflows.NAMESPACE.NAME`). What the executor writes into it is the executor's own affair.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::id::FiringId;

/// One record of a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "camelCase")]
pub enum WorkflowRecord {
    /// The first record of each journal; published with compare-and-set on an empty subject, so that a name
    /// exists once.
    Submitted(Submission),
    /// Somebody asks for something, at any time after the submission.
    Command(Command),
    /// The executor's own, by compare-and-set of the owner.
    Progress {
        /// See `tiphys_executor::journal`.
        progress: serde_json::Value,
    },
}

/// A workflow handed over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Submission {
    /// Format of this record; 1.
    pub version: u32,
    /// Made by whoever submits; derived from the firing where there is one.
    pub uid: String,
    /// Namespace.
    pub namespace: String,
    /// Name, final.
    pub name: String,
    /// The Workflow object, with final `metadata.name` and labels.
    pub workflow: serde_json::Value,
    /// When.
    pub at: Timestamp,
    /// Who: `sensor/NAMESPACE/NAME`, `cron/NAMESPACE/NAME`, `cli` …
    pub by: String,
    /// The firing that caused it. A submitter that finds its name taken by the same firing has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub firing: Option<FiringId>,
}

/// A request to a workflow, with who and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Command {
    /// What.
    pub verb: Verb,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// Argo's verbs on a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Verb {
    /// Start nothing new.
    Suspend,
    /// Go on; with a selector such as `displayName=approve` only these suspended nodes.
    Resume {
        /// Empty = all.
        #[serde(default)]
        node_field_selector: String,
    },
    /// Stop what runs, then run exit handlers.
    Stop {
        /// Shown on the workflow.
        #[serde(default)]
        message: String,
    },
    /// Stop what runs, run nothing more.
    Terminate,
    /// Run again what failed.
    Retry {
        /// Also nodes that succeeded and match the selector.
        #[serde(default)]
        restart_successful: bool,
        /// Which of these; empty = all.
        #[serde(default)]
        node_field_selector: String,
    },
    /// Give suspended nodes the values that they wait for (`valueFrom.supplied`).
    Set {
        /// Empty = all.
        #[serde(default)]
        node_field_selector: String,
        /// The values by name of the output parameter.
        output_parameters: BTreeMap<String, String>,
    },
    /// Stop what runs, run nothing more, then forget the workflow with its logs and artifacts. Whoever asks
    /// sees that it is done when the journal is empty, or by the record on `workflows.NAMESPACE.NAME.deleted`.
    Delete,
}
