//! A template: one thing that can be run.
#![expect(missing_docs, reason = "the fields are Argo's words, and its reference describes them")]

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, ContainerPort, EnvFromSource, EnvVar, HostAlias, Lifecycle, PodSecurityContext, Probe,
    ResourceRequirements, SecurityContext, Toleration, Volume, VolumeDevice, VolumeMount,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::argument::{ArtifactLocation, Inputs, Outputs};
use super::lenient::{IntOrString, any_text, nullable};
use super::policy::RetryStrategy;
use super::spec::Metadata;
use super::task::{DagTemplate, StepGroup};

/// A template. Exactly one of the kinds (`container`, `script`, `steps`, `dag`, `suspend` …) is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Template {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub inputs: Inputs,
    #[serde(deserialize_with = "nullable")]
    pub outputs: Outputs,
    #[serde(deserialize_with = "nullable")]
    pub metadata: Metadata,

    pub container: Option<Container>,
    pub script: Option<Script>,
    pub steps: Option<Vec<StepGroup>>,
    pub dag: Option<DagTemplate>,
    pub suspend: Option<SuspendTemplate>,
    pub container_set: Option<Value>,
    pub resource: Option<Value>,
    pub http: Option<Value>,
    pub plugin: Option<Value>,
    pub data: Option<Value>,

    #[serde(deserialize_with = "nullable")]
    pub init_containers: Vec<Value>,
    #[serde(deserialize_with = "nullable")]
    pub sidecars: Vec<Value>,
    pub daemon: Option<bool>,
    #[serde(deserialize_with = "nullable")]
    pub volumes: Vec<Volume>,
    pub archive_location: Option<ArtifactLocation>,
    pub active_deadline_seconds: Option<IntOrString>,
    #[serde(deserialize_with = "any_text")]
    pub timeout: Option<String>,
    #[serde(deserialize_with = "any_text")]
    pub pending_timeout: Option<String>,
    pub retry_strategy: Option<RetryStrategy>,
    pub parallelism: Option<i64>,
    pub fail_fast: Option<bool>,
    pub synchronization: Option<Value>,
    pub memoize: Option<Value>,
    pub metrics: Option<Value>,
    pub executor: Option<Value>,

    pub service_account_name: Option<String>,
    pub automount_service_account_token: Option<bool>,
    #[serde(deserialize_with = "nullable")]
    pub node_selector: BTreeMap<String, String>,
    pub affinity: Option<Value>,
    #[serde(deserialize_with = "nullable")]
    pub tolerations: Vec<Toleration>,
    pub scheduler_name: Option<String>,
    pub priority_class_name: Option<String>,
    pub priority: Option<i32>,
    #[serde(deserialize_with = "nullable")]
    pub host_aliases: Vec<HostAlias>,
    pub security_context: Option<PodSecurityContext>,
    pub pod_spec_patch: Option<String>,
    pub pod_resources: Option<Value>,
    #[serde(deserialize_with = "nullable")]
    pub resource_claims: Vec<Value>,
    #[serde(deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
}

/// `script`: a container with the source of a program.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Script {
    #[serde(deserialize_with = "nullable")]
    pub source: String,
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    pub image: Option<String>,
    pub image_pull_policy: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub command: Vec<String>,
    #[serde(deserialize_with = "nullable")]
    pub args: Vec<String>,
    pub working_dir: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub env: Vec<EnvVar>,
    #[serde(deserialize_with = "nullable")]
    pub env_from: Vec<EnvFromSource>,
    #[serde(deserialize_with = "nullable")]
    pub ports: Vec<ContainerPort>,
    pub resources: Option<ResourceRequirements>,
    pub restart_policy: Option<String>,
    #[serde(deserialize_with = "nullable")]
    pub volume_mounts: Vec<VolumeMount>,
    #[serde(deserialize_with = "nullable")]
    pub volume_devices: Vec<VolumeDevice>,
    pub lifecycle: Option<Lifecycle>,
    pub liveness_probe: Option<Probe>,
    pub readiness_probe: Option<Probe>,
    pub startup_probe: Option<Probe>,
    pub security_context: Option<SecurityContext>,
    pub stdin: Option<bool>,
    pub stdin_once: Option<bool>,
    pub tty: Option<bool>,
    pub termination_message_path: Option<String>,
    pub termination_message_policy: Option<String>,
}

/// `suspend`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SuspendTemplate {
    /// Seconds, or text such as `30s`.
    #[serde(deserialize_with = "any_text")]
    pub duration: Option<String>,
}
