//! `spec` of a Workflow and of the templates of workflows.
#![expect(missing_docs, reason = "the fields are Argo's words, and its reference describes them")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    HostAlias, LocalObjectReference, PersistentVolumeClaim, PodDNSConfig, PodSecurityContext, Toleration,
    Volume,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::argument::Arguments;
use super::lenient::{nullable, text_table};
use super::policy::{LifecycleHook, RetryStrategy, TtlStrategy};
use super::template::Template;

/// What a workflow does.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkflowSpec {
    #[serde(deserialize_with = "nullable")]
    pub entrypoint: String,
    #[serde(deserialize_with = "nullable")]
    pub arguments: Arguments,
    #[serde(deserialize_with = "nullable")]
    pub templates: Vec<Template>,
    pub template_defaults: Option<Box<Template>>,
    pub workflow_template_ref: Option<WorkflowTemplateRef>,
    pub on_exit: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub hooks: BTreeMap<String, LifecycleHook>,
    pub active_deadline_seconds: Option<i64>,
    pub parallelism: Option<i64>,
    pub suspend: Option<bool>,
    pub shutdown: Option<String>,
    pub retry_strategy: Option<RetryStrategy>,
    pub ttl_strategy: Option<TtlStrategy>,
    #[serde(rename = "podGC")]
    pub pod_gc: Option<PodGc>,
    pub pod_metadata: Option<Metadata>,
    pub workflow_metadata: Option<Value>,
    pub archive_logs: Option<bool>,
    pub artifact_repository_ref: Option<Value>,
    #[serde(rename = "artifactGC")]
    pub artifact_gc: Option<Value>,
    pub synchronization: Option<Value>,
    pub metrics: Option<Value>,
    pub executor: Option<Value>,
    #[serde(deserialize_with = "nullable")]
    pub plugins: Vec<Value>,

    pub service_account_name: Option<String>,
    pub automount_service_account_token: Option<bool>,
    #[serde(deserialize_with = "nullable")]
    pub volumes: Vec<Volume>,
    #[serde(deserialize_with = "nullable")]
    pub volume_claim_templates: Vec<PersistentVolumeClaim>,
    #[serde(rename = "volumeClaimGC")]
    pub volume_claim_gc: Option<Value>,
    #[serde(deserialize_with = "nullable")]
    pub node_selector: BTreeMap<String, String>,
    pub affinity: Option<Value>,
    #[serde(deserialize_with = "nullable")]
    pub tolerations: Vec<Toleration>,
    #[serde(deserialize_with = "nullable")]
    pub image_pull_secrets: Vec<LocalObjectReference>,
    pub host_network: Option<bool>,
    pub dns_policy: Option<String>,
    pub dns_config: Option<PodDNSConfig>,
    #[serde(deserialize_with = "nullable")]
    pub host_aliases: Vec<HostAlias>,
    pub scheduler_name: Option<String>,
    pub pod_priority: Option<i32>,
    pub pod_priority_class_name: Option<String>,
    pub priority: Option<i32>,
    pub security_context: Option<PodSecurityContext>,
    pub pod_spec_patch: Option<String>,
    pub pod_resources: Option<Value>,
    #[serde(deserialize_with = "nullable")]
    pub resource_claims: Vec<Value>,
    pub pod_disruption_budget: Option<Value>,
}

/// `workflowTemplateRef`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct WorkflowTemplateRef {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub cluster_scope: bool,
}

/// Labels and annotations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    #[serde(deserialize_with = "text_table")]
    pub labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "text_table")]
    pub annotations: BTreeMap<String, String>,
}

/// `podGC`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PodGc {
    pub strategy: Option<String>,
    pub label_selector: Option<Value>,
    pub delete_delay_duration: Option<String>,
}
