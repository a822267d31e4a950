//! What goes when a pod or a workflow has ended.

use serde::{Deserialize, Serialize};
use tiphys_core::PodKey;

/// When the pod itself goes, once its end is journalled. Its result is with the workflow; its logs stay where the launcher
/// keeps them elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PodGc {
    /// With its workflow, or when that has ended ([`super::Launcher::over`]).
    #[default]
    Later,
    /// At its end.
    OnCompletion,
    /// At its end, if it succeeded.
    OnSuccess,
    /// Not before its workflow is deleted: `podGC.labelSelector` does not mean it.
    Kept,
}

/// A workflow that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Names of the volumes that were made for it and are to go (see [`super::PodOptions::claims`]).
    pub claims: Vec<String>,
    /// All its pods.
    pub pods: Vec<PodKey>,
    /// Whether `podGC` takes them away now.
    pub collect: bool,
}
