//! What happens after a step: retries, tolerated failures, hooks, clean-up.
#![expect(missing_docs, reason = "the fields are Argo's words, and its reference describes them")]

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::argument::Arguments;
use super::lenient::{IntOrString, any_text, nullable};
use super::task::TemplateRef;

/// `retryStrategy`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RetryStrategy {
    /// Retries after the first attempt; absent means for ever.
    pub limit: Option<IntOrString>,
    pub retry_policy: Option<String>,
    pub backoff: Option<Backoff>,
    pub expression: Option<String>,
    pub affinity: Option<Value>,
}

/// `backoff` of a retry strategy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Backoff {
    #[serde(deserialize_with = "any_text")]
    pub duration: Option<String>,
    #[serde(deserialize_with = "any_text")]
    pub factor: Option<String>,
    #[serde(deserialize_with = "any_text")]
    pub max_duration: Option<String>,
    #[serde(deserialize_with = "any_text")]
    pub cap: Option<String>,
}

/// `continueOn`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ContinueOn {
    #[serde(deserialize_with = "nullable")]
    pub error: bool,
    #[serde(deserialize_with = "nullable")]
    pub failed: bool,
}

/// One of `hooks`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct LifecycleHook {
    #[serde(deserialize_with = "nullable")]
    pub template: String,
    #[serde(deserialize_with = "nullable")]
    pub arguments: Arguments,
    pub template_ref: Option<TemplateRef>,
    pub expression: Option<String>,
}

/// `ttlStrategy`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct TtlStrategy {
    pub seconds_after_completion: Option<i64>,
    pub seconds_after_success: Option<i64>,
    pub seconds_after_failure: Option<i64>,
}
