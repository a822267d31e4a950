//! Parameters: a value from an event, and where it goes.

use serde::{Deserialize, Serialize};

use super::lenient;

/// A value and its destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerParameter {
    /// Where the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src: Option<TriggerParameterSource>,
    /// Where it goes, an sjson path.
    #[serde(deserialize_with = "lenient::or_default")]
    pub dest: String,
    /// `overwrite` (also empty), `append` or `prepend`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub operation: String,
}

/// Where a value comes from. Data beats context, a template beats a key, `value` is the last resort.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TriggerParameterSource {
    /// The dependency whose event is read.
    #[serde(deserialize_with = "lenient::or_default")]
    pub dependency_name: String,
    /// A gjson path over the attributes.
    #[serde(deserialize_with = "lenient::or_default")]
    pub context_key: String,
    /// A Go template over the attributes.
    #[serde(deserialize_with = "lenient::or_default")]
    pub context_template: String,
    /// A gjson path over the payload.
    #[serde(deserialize_with = "lenient::or_default")]
    pub data_key: String,
    /// A Go template over the payload.
    #[serde(deserialize_with = "lenient::or_default")]
    pub data_template: String,
    /// Used where nothing else gives a value.
    #[serde(deserialize_with = "lenient::text", skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Keeps the JSON type of what `dataKey` finds, instead of making it a text.
    #[serde(deserialize_with = "lenient::or_default")]
    pub use_raw_data: bool,
}
