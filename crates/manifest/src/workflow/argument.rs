//! Parameters and artifacts: what goes into a template and what comes out.
#![expect(missing_docs, reason = "the fields are Argo's words, and its reference describes them")]

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lenient::{IntOrString, any_text, any_texts, nullable};

/// `arguments` of a workflow, step, task or hook.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Arguments {
    #[serde(deserialize_with = "nullable")]
    pub parameters: Vec<Parameter>,
    #[serde(deserialize_with = "nullable")]
    pub artifacts: Vec<Artifact>,
}

/// `inputs` of a template.
pub type Inputs = Arguments;

/// `outputs` of a template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Outputs {
    #[serde(deserialize_with = "nullable")]
    pub parameters: Vec<Parameter>,
    #[serde(deserialize_with = "nullable")]
    pub artifacts: Vec<Artifact>,
    pub result: Option<String>,
    #[serde(deserialize_with = "any_text")]
    pub exit_code: Option<String>,
}

/// A parameter: a text with a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Parameter {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "any_text")]
    pub value: Option<String>,
    #[serde(deserialize_with = "any_text")]
    pub default: Option<String>,
    pub value_from: Option<ValueFrom>,
    pub global_name: Option<String>,
    #[serde(rename = "enum", deserialize_with = "any_texts")]
    pub choices: Vec<String>,
    #[serde(deserialize_with = "any_text")]
    pub description: Option<String>,
}

/// Where a parameter's value comes from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueFrom {
    pub path: Option<String>,
    pub parameter: Option<String>,
    pub expression: Option<String>,
    #[serde(deserialize_with = "any_text")]
    pub default: Option<String>,
    pub supplied: Option<Value>,
    pub event: Option<String>,
    pub json_path: Option<String>,
    pub jq_filter: Option<String>,
    pub config_map_key_ref: Option<KeySelector>,
}

/// A key of a ConfigMap or Secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KeySelector {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    #[serde(deserialize_with = "nullable")]
    pub key: String,
    pub optional: Option<bool>,
}

/// An artifact: a file or folder with a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Artifact {
    #[serde(deserialize_with = "nullable")]
    pub name: String,
    pub path: Option<String>,
    pub from: Option<String>,
    pub from_expression: Option<String>,
    pub mode: Option<IntOrString>,
    pub recurse_mode: Option<bool>,
    /// `{none: {}}`, `{tar: {}}` or `{zip: {}}`.
    pub archive: Option<Value>,
    pub optional: Option<bool>,
    pub sub_path: Option<String>,
    pub global_name: Option<String>,
    #[serde(rename = "artifactGC")]
    pub artifact_gc: Option<Value>,
    pub deleted: Option<bool>,
    pub archive_logs: Option<bool>,
    pub raw: Option<RawArtifact>,
    pub s3: Option<Value>,
    pub gcs: Option<Value>,
    pub azure: Option<Value>,
    pub oss: Option<Value>,
    pub hdfs: Option<Value>,
    pub http: Option<Value>,
    pub git: Option<Value>,
    pub artifactory: Option<Value>,
    pub plugin: Option<Value>,
}

impl Artifact {
    /// The location that the manifest names, with its kind.
    #[must_use]
    pub fn location(&self) -> Option<(&'static str, &Value)> {
        let all = [
            ("s3", &self.s3),
            ("gcs", &self.gcs),
            ("azure", &self.azure),
            ("oss", &self.oss),
            ("hdfs", &self.hdfs),
            ("http", &self.http),
            ("git", &self.git),
            ("artifactory", &self.artifactory),
            ("plugin", &self.plugin),
        ];
        all.into_iter().find_map(|(kind, value)| Some((kind, value.as_ref()?)))
    }
}

/// `raw`: the content itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RawArtifact {
    #[serde(deserialize_with = "any_text")]
    pub data: Option<String>,
}

/// `archiveLocation` of a template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ArtifactLocation {
    pub archive_logs: Option<bool>,
    pub s3: Option<Value>,
    pub gcs: Option<Value>,
    pub azure: Option<Value>,
    pub oss: Option<Value>,
    pub hdfs: Option<Value>,
    pub http: Option<Value>,
    pub git: Option<Value>,
    pub artifactory: Option<Value>,
    pub raw: Option<Value>,
    pub plugin: Option<Value>,
}
