//! What a trigger does, kind by kind. Kinds that this version does not run are kept as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lenient;
use super::parameter::TriggerParameter;
use super::source::{ArtifactLocation, KeySelector};

/// What is done. One of the kinds is set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerTemplate {
    /// The trigger's name.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
    /// Names of dependencies with `&&`, `||` and brackets; empty = all of the Sensor's.
    #[serde(deserialize_with = "lenient::or_default")]
    pub conditions: String,
    /// When events that wait for others are forgotten.
    #[serde(deserialize_with = "lenient::or_default")]
    pub conditions_reset: Vec<ConditionsResetCriteria>,
    /// Works on workflows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argo_workflow: Option<ArgoWorkflowTrigger>,
    /// Works on Kubernetes objects.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub k8s: Option<K8sTrigger>,
    /// Calls an address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpTrigger>,
    /// Writes to the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<LogTrigger>,
    /// Calls a gRPC service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Value>,
    /// Writes to Kafka.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<Value>,
    /// Writes to NATS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nats: Option<Value>,
    /// Ours: writes to Google Pub/Sub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pubsub: Option<Value>,
    /// Ours: writes to Amazon SQS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqs: Option<Value>,
    /// Writes to Pulsar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pulsar: Option<Value>,
    /// Writes to Slack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack: Option<Value>,
    /// Sends a mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Value>,
    /// Calls an AWS Lambda function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws_lambda: Option<Value>,
    /// Calls an OpenWhisk action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_whisk: Option<Value>,
    /// Writes to Azure Event Hubs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_event_hubs: Option<Value>,
    /// Writes to Azure Service Bus.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub azure_service_bus: Option<Value>,
}

impl TriggerTemplate {
    /// Names of the kinds, as in a manifest.
    pub const KINDS: [&'static str; 16] = [
        "argoWorkflow",
        "k8s",
        "http",
        "log",
        "custom",
        "kafka",
        "nats",
        "pubsub",
        "sqs",
        "pulsar",
        "slack",
        "email",
        "awsLambda",
        "openWhisk",
        "azureEventHubs",
        "azureServiceBus",
    ];
}

/// When events that wait are forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionsResetCriteria {
    /// By a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by_time: Option<ConditionsResetByTime>,
}

/// A schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConditionsResetByTime {
    /// Five fields.
    #[serde(deserialize_with = "lenient::or_default")]
    pub cron: String,
    /// IANA name; UTC if empty.
    #[serde(deserialize_with = "lenient::or_default")]
    pub timezone: String,
}

/// Works on workflows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ArgoWorkflowTrigger {
    /// The workflow.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ArtifactLocation>,
    /// `submit` (also empty), `submit-from`, `resubmit`, `resume`, `retry`, `suspend`, `terminate`, `stop`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub operation: String,
    /// Values written into the workflow.
    #[serde(deserialize_with = "lenient::or_default")]
    pub parameters: Vec<TriggerParameter>,
    /// Further arguments of the command line that Argo would call.
    #[serde(deserialize_with = "lenient::or_default")]
    pub args: Vec<String>,
}

/// Works on Kubernetes objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct K8sTrigger {
    /// The object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<ArtifactLocation>,
    /// `create` (also empty), `update`, `patch` or `delete`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub operation: String,
    /// Values written into the object.
    #[serde(deserialize_with = "lenient::or_default")]
    pub parameters: Vec<TriggerParameter>,
    /// Content type of a patch.
    #[serde(deserialize_with = "lenient::or_default")]
    pub patch_strategy: String,
    /// Whether an update starts from what the cluster has.
    #[serde(deserialize_with = "lenient::or_default")]
    pub live_object: bool,
}

/// Calls an address.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpTrigger {
    /// The address.
    #[serde(deserialize_with = "lenient::or_default")]
    pub url: String,
    /// Values that make the body.
    #[serde(deserialize_with = "lenient::or_default")]
    pub payload: Vec<TriggerParameter>,
    /// Certificates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// `POST` if empty.
    #[serde(deserialize_with = "lenient::or_default")]
    pub method: String,
    /// Values written into this trigger.
    #[serde(deserialize_with = "lenient::or_default")]
    pub parameters: Vec<TriggerParameter>,
    /// Seconds; 60 if 0.
    #[serde(deserialize_with = "lenient::or_default")]
    pub timeout: i64,
    /// User and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Headers.
    #[serde(deserialize_with = "lenient::or_default")]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are secret.
    #[serde(deserialize_with = "lenient::or_default")]
    pub secure_headers: Vec<SecureHeader>,
    /// Headers with values from events.
    #[serde(deserialize_with = "lenient::or_default")]
    pub dynamic_headers: Vec<TriggerParameter>,
    /// Another `Host`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub host: String,
}

/// A header whose value is secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SecureHeader {
    /// Its name.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
    /// Where its value stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_from: Option<ValueFromSource>,
}

/// Where a value stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ValueFromSource {
    /// In a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_key_ref: Option<KeySelector>,
    /// In a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map_key_ref: Option<KeySelector>,
}

/// User and password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BasicAuth {
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<KeySelector>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<KeySelector>,
}

/// Certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tls {
    /// The authority.
    #[serde(rename = "caCertSecret", alias = "caCert", skip_serializing_if = "Option::is_none")]
    pub ca_cert_secret: Option<KeySelector>,
    /// Our certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_cert_secret: Option<KeySelector>,
    /// Its key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_key_secret: Option<KeySelector>,
    /// No verification.
    #[serde(deserialize_with = "lenient::or_default")]
    pub insecure_skip_verify: bool,
}

/// Writes to the log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogTrigger {
    /// At most once per so many seconds.
    #[serde(deserialize_with = "lenient::or_default")]
    pub interval_seconds: u64,
}
