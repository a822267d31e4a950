//! `spec` of a CronWorkflow.
#![expect(missing_docs, reason = "the fields are Argo's words, and its reference describes them")]

use serde::{Deserialize, Serialize};

use super::lenient::{IntOrString, nullable};
use super::spec::{Metadata, WorkflowSpec};

/// When to run which workflow.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CronWorkflowSpec {
    /// The one schedule of older manifests.
    pub schedule: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub schedules: Vec<String>,
    pub timezone: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub suspend: bool,
    pub concurrency_policy: Option<String>,
    pub starting_deadline_seconds: Option<i64>,
    pub successful_jobs_history_limit: Option<i64>,
    pub failed_jobs_history_limit: Option<i64>,
    #[serde(deserialize_with = "nullable")]
    pub workflow_spec: WorkflowSpec,
    pub workflow_metadata: Option<Metadata>,
    pub when: Option<String>,
    pub stop_strategy: Option<StopStrategy>,
}

impl CronWorkflowSpec {
    /// All schedules, old spelling and new.
    pub fn all_schedules(&self) -> impl Iterator<Item = &str> {
        let old = self.schedule.as_deref().filter(|text| !text.is_empty());
        old.into_iter().chain(self.schedules.iter().map(String::as_str))
    }
}

/// `stopStrategy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StopStrategy {
    pub expression: Option<String>,
    /// The older spelling of the expression `succeeded >= N`.
    pub completion: Option<IntOrString>,
}
