//! What stands below `spec:` of a Sensor. Lenient where Go's decoder is: absent and null mean empty.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub mod dependency;
pub mod lenient;
pub mod parameter;
pub mod source;
pub mod template;
pub mod trigger;

pub use dependency::{
    DataFilter, EventContext, EventDependency, EventDependencyFilter, EventDependencyTransformer, ExprFilter,
    PayloadField, TimeFilter,
};
pub use parameter::{TriggerParameter, TriggerParameterSource};
pub use source::{ArtifactLocation, FileArtifact, GitArtifact, KeySelector, S3Artifact, UrlArtifact};
pub use template::{
    ArgoWorkflowTrigger, BasicAuth, ConditionsResetByTime, ConditionsResetCriteria, HttpTrigger, K8sTrigger,
    LogTrigger, SecureHeader, Tls, TriggerTemplate, ValueFromSource,
};
pub use trigger::{Backoff, K8sPolicy, RateLimit, StatusPolicy, Trigger, TriggerPolicy};

/// `spec` of a Sensor.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SensorSpec {
    /// The events it waits for.
    #[serde(deserialize_with = "lenient::or_default")]
    pub dependencies: Vec<EventDependency>,
    /// What it does.
    #[serde(deserialize_with = "lenient::or_default")]
    pub triggers: Vec<Trigger>,
    /// Pod template of the sensor's own deployment; of no meaning outside Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
    /// Accepted; Argo gives it no effect either.
    #[serde(deserialize_with = "lenient::or_default")]
    pub error_on_failed_round: bool,
    /// Name of the EventBus; `default` if empty.
    #[serde(deserialize_with = "lenient::or_default")]
    pub event_bus_name: String,
    /// Replicas of the sensor's deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,
    /// Revisions kept of the sensor's deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_history_limit: Option<i32>,
    /// Fields added to each log line about this sensor.
    #[serde(deserialize_with = "lenient::or_default")]
    pub logging_fields: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests;
