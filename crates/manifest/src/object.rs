//! An object of any kind, with its place in the text it was read from.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::event_bus::EventBusSpec;
use crate::event_source::EventSourceSpec;
use crate::load::places::Places;
use crate::local::{ConfigMap, PersistentVolumeClaim, Secret, ServiceAccount};
use crate::sensor::SensorSpec;
use crate::workflow::{CronWorkflowSpec, WorkflowSpec};

/// The kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// `argoproj.io/v1alpha1` EventSource.
    EventSource,
    /// `argoproj.io/v1alpha1` EventBus.
    EventBus,
    /// `argoproj.io/v1alpha1` Sensor.
    Sensor,
    /// `argoproj.io/v1alpha1` Workflow.
    Workflow,
    /// `argoproj.io/v1alpha1` WorkflowTemplate.
    WorkflowTemplate,
    /// `argoproj.io/v1alpha1` ClusterWorkflowTemplate.
    ClusterWorkflowTemplate,
    /// `argoproj.io/v1alpha1` CronWorkflow.
    CronWorkflow,
    /// `v1` ConfigMap.
    ConfigMap,
    /// `v1` Secret.
    Secret,
    /// `v1` ServiceAccount.
    ServiceAccount,
    /// `v1` PersistentVolumeClaim.
    PersistentVolumeClaim,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::EventSource,
        Self::EventBus,
        Self::Sensor,
        Self::Workflow,
        Self::WorkflowTemplate,
        Self::ClusterWorkflowTemplate,
        Self::CronWorkflow,
        Self::ConfigMap,
        Self::Secret,
        Self::ServiceAccount,
        Self::PersistentVolumeClaim,
    ];

    /// The name as in `kind:`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EventSource => "EventSource",
            Self::EventBus => "EventBus",
            Self::Sensor => "Sensor",
            Self::Workflow => "Workflow",
            Self::WorkflowTemplate => "WorkflowTemplate",
            Self::ClusterWorkflowTemplate => "ClusterWorkflowTemplate",
            Self::CronWorkflow => "CronWorkflow",
            Self::ConfigMap => "ConfigMap",
            Self::Secret => "Secret",
            Self::ServiceAccount => "ServiceAccount",
            Self::PersistentVolumeClaim => "PersistentVolumeClaim",
        }
    }

    /// The kind that a user's word means: the name in any case, its plural, its short names.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        let word = word.to_ascii_lowercase();
        let short = match word.as_str() {
            "wf" => Some(Self::Workflow),
            "wftmpl" | "template" => Some(Self::WorkflowTemplate),
            "cwft" | "cwftmpl" => Some(Self::ClusterWorkflowTemplate),
            "cwf" | "cronwf" => Some(Self::CronWorkflow),
            "sn" => Some(Self::Sensor),
            "es" => Some(Self::EventSource),
            "eb" | "eventbuses" => Some(Self::EventBus),
            "cm" => Some(Self::ConfigMap),
            "sa" => Some(Self::ServiceAccount),
            "pvc" => Some(Self::PersistentVolumeClaim),
            _ => None,
        };
        let same = |name: &str| name == word || word.strip_suffix('s') == Some(name);
        short.or_else(|| Self::ALL.into_iter().find(|kind| same(&kind.as_str().to_ascii_lowercase())))
    }

    /// The `apiVersion` it stands under.
    #[must_use]
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::ConfigMap | Self::Secret | Self::ServiceAccount | Self::PersistentVolumeClaim => "v1",
            _ => "argoproj.io/v1alpha1",
        }
    }

    /// Whether it has no namespace.
    #[must_use]
    pub const fn is_cluster_wide(self) -> bool {
        matches!(self, Self::ClusterWorkflowTemplate)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Kind {
    type Err = ();

    /// Reads the name as in `kind:`.
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(())
    }
}

/// What stands below `spec:` (of local objects: what they hold), typed.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "each variant is the kind of its name")]
pub enum Spec {
    EventSource(Box<EventSourceSpec>),
    EventBus(Box<EventBusSpec>),
    Sensor(Box<SensorSpec>),
    Workflow(Box<WorkflowSpec>),
    WorkflowTemplate(Box<WorkflowSpec>),
    ClusterWorkflowTemplate(Box<WorkflowSpec>),
    CronWorkflow(Box<CronWorkflowSpec>),
    ConfigMap(ConfigMap),
    Secret(Secret),
    ServiceAccount(ServiceAccount),
    PersistentVolumeClaim(PersistentVolumeClaim),
}

/// An object.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its kind.
    pub kind: Kind,
    /// `metadata.namespace`, or the namespace given to the loader.
    pub namespace: String,
    /// `metadata.name`; empty where only `generateName` is given.
    pub name: String,
    /// `metadata.generateName`, or empty.
    pub generate_name: String,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `metadata.uid` if given; else derived from kind, namespace and name, so that it is the same after a
    /// restart.
    pub uid: String,
    /// Hash over everything but metadata that machines write; changes when and only when the object does.
    pub revision: String,
    /// The file as given, or `api`.
    pub file: String,
    /// Line of the document's `kind`, from 1.
    pub line: usize,
    /// The whole document as JSON, as written. Of a Secret: without `data` and `stringData`.
    pub document: serde_json::Value,
    /// The typed content.
    pub spec: Spec,
    /// Where its parts stand in the file, for diagnostics.
    pub places: Places,
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn kinds_by_the_words_of_users() {
        for (word, kind) in [
            ("CronWorkflow", Some(Kind::CronWorkflow)),
            ("cronwf", Some(Kind::CronWorkflow)),
            ("sensors", Some(Kind::Sensor)),
            ("eventbus", Some(Kind::EventBus)),
            ("eventbuses", Some(Kind::EventBus)),
            ("wftmpl", Some(Kind::WorkflowTemplate)),
            ("pod", None),
            ("", None),
        ] {
            assert_eq!(Kind::named(word), kind, "{word}");
        }
    }
}
