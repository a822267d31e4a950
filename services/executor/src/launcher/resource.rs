//! Resource templates: acting on objects of a Kubernetes cluster, as the workflow's service account, without a pod.
//!
//! The verbs are kubectl's, and so are the flags that are known (`flag.rs`). What is done stands in the cluster, so
//! that it is found again after the executor's death, and a step may be begun anew:
//!
//! | action | how | begun anew |
//! |---|---|---|
//! | create | POST; `generateName` gets a suffix made from the attempt's key | the object of that name carries the key |
//! | apply | server-side apply as `tiphys`, taking fields over | the same again |
//! | patch | strategic (default), merge, or json | json: the object carries the key; others: the same again |
//! | replace | PUT over the newest version | the same again |
//! | delete | DELETE, and waiting until it is gone | gone is success |
//! | get | GET | the same again |
//!
//! Conditions are judged on each change that a watch tells. An account that may not watch is served by a GET every
//! five seconds, as Argo does it.

mod condition;
mod flag;
#[cfg(any(test, feature = "kubernetes"))]
mod output;

#[cfg(feature = "kubernetes")]
mod act;
#[cfg(feature = "kubernetes")]
mod artifact;
#[cfg(feature = "kubernetes")]
mod pods;
#[cfg(feature = "kubernetes")]
mod target;
#[cfg(feature = "kubernetes")]
mod wait;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use condition::Condition;
pub use flag::Flags;
#[cfg(feature = "kubernetes")]
pub use pods::ResourceLauncher;

/// The annotation by which an object made or patched by an attempt is known: the attempt's key.
pub const MADE_BY: &str = "tiphys.dev/pod-key";

/// What is to be done with objects of the cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceSpec {
    /// What.
    pub action: Action,
    /// With which objects.
    pub manifest: Manifest,
    /// kubectl's flags, as written.
    pub flags: Vec<String>,
    /// How a patch is merged.
    pub merge: Merge,
    /// Whether the Workflow object becomes the owner.
    pub set_owner_reference: bool,
    /// Holds once the step has succeeded; empty: at once.
    pub success_condition: String,
    /// Holds once the step has failed; empty: never.
    pub failure_condition: String,
    /// The service account, in the workflow's namespace.
    pub service_account: String,
    /// Output parameters.
    pub outputs: Vec<ResourceOutput>,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "kubectl's verbs")]
pub enum Action {
    Get,
    Create,
    Apply,
    Delete,
    Replace,
    Patch,
}

impl Action {
    /// Reads the word of a manifest.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Some(match word {
            "get" => Self::Get,
            "create" => Self::Create,
            "apply" => Self::Apply,
            "delete" => Self::Delete,
            "replace" => Self::Replace,
            "patch" => Self::Patch,
            _ => return None,
        })
    }
}

/// How a patch is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "kubectl's words")]
pub enum Merge {
    #[default]
    Strategic,
    Merge,
    Json,
}

/// Where the objects stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Manifest {
    /// In the template, every tag replaced; a JSON patch is one document that is a list.
    Documents(Vec<Value>),
    /// In this input artifact.
    Artifact(String),
}

/// An output parameter of a resource template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceOutput {
    /// Name.
    pub name: String,
    /// How it is read.
    pub from: Reading,
    /// Its value where there is no object.
    pub default: Option<String>,
}

/// How a value is read from an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reading {
    /// By a template such as `{.metadata.name}`.
    JsonPath(String),
    /// By a jq filter.
    JqFilter(String),
}
