//! A trigger: what is done, how often it is tried, how fast, and what then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lenient;
use super::parameter::TriggerParameter;
use super::template::TriggerTemplate;

/// One trigger.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Trigger {
    /// What is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<TriggerTemplate>,
    /// Values written into the template before it is used.
    #[serde(deserialize_with = "lenient::or_default")]
    pub parameters: Vec<TriggerParameter>,
    /// When what was done counts as a success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<TriggerPolicy>,
    /// How often it is tried, and with which waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_strategy: Option<Backoff>,
    /// How many per unit of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Accepted; each trigger is retried here.
    #[serde(deserialize_with = "lenient::or_default")]
    pub at_least_once: bool,
    /// Fired where this one was given up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dlq_trigger: Option<Box<Self>>,
}

/// When what was done counts as a success.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerPolicy {
    /// By the labels of the object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k8s: Option<K8sPolicy>,
    /// By the status of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<StatusPolicy>,
}

/// Success by labels.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct K8sPolicy {
    /// All of them must be there.
    #[serde(deserialize_with = "lenient::or_default")]
    pub labels: BTreeMap<String, String>,
    /// How often it is looked, and with which waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Backoff>,
    /// Whether labels that never came are a failure.
    #[serde(deserialize_with = "lenient::or_default")]
    pub error_on_backoff_timeout: bool,
}

/// Success by status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StatusPolicy {
    /// These are successes, all others failures.
    #[serde(deserialize_with = "lenient::or_default")]
    pub allow: Vec<i32>,
}

/// A schedule of attempts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backoff {
    /// The first wait: a Go duration such as `2s`, or an integer in nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Value>,
    /// By how much each wait grows; a number or a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<Value>,
    /// By how much each wait is blurred; a number or a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Value>,
    /// How many attempts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<i32>,
}

/// How many per unit of time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RateLimit {
    /// `Second` (also empty), `Minute` or `Hour`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub unit: String,
    /// How many.
    #[serde(deserialize_with = "lenient::or_default")]
    pub requests_per_unit: i32,
}
