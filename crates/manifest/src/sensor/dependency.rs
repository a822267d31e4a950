//! Dependencies of a Sensor: which events, and which of them count.

use serde::{Deserialize, Serialize};

use super::lenient;

/// One event that the Sensor waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventDependency {
    /// Its name, for conditions and parameters.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
    /// Name of the EventSource.
    #[serde(deserialize_with = "lenient::or_default")]
    pub event_source_name: String,
    /// The key below the kind in the EventSource.
    #[serde(deserialize_with = "lenient::or_default")]
    pub event_name: String,
    /// Which events count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filters: Option<EventDependencyFilter>,
    /// Changes the event before the filters see it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transform: Option<EventDependencyTransformer>,
    /// How the kinds of filters combine: `and` (also empty) or `or`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub filters_logical_operator: String,
}

/// Filters of a dependency.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventDependencyFilter {
    /// Expressions over fields of the payload.
    #[serde(deserialize_with = "lenient::or_default")]
    pub exprs: Vec<ExprFilter>,
    /// Comparisons of single values of the payload.
    #[serde(deserialize_with = "lenient::or_default")]
    pub data: Vec<DataFilter>,
    /// Equality with attributes of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<EventContext>,
    /// A daily window of time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<TimeFilter>,
    /// A Lua script.
    #[serde(deserialize_with = "lenient::or_default")]
    pub script: String,
    /// How `data` combine: `and` (also empty) or `or`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub data_logical_operator: String,
    /// How `exprs` combine: `and` (also empty) or `or`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub expr_logical_operator: String,
}

/// An expression over named fields.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExprFilter {
    /// The expression.
    #[serde(deserialize_with = "lenient::or_default")]
    pub expr: String,
    /// Its variables.
    #[serde(deserialize_with = "lenient::or_default")]
    pub fields: Vec<PayloadField>,
}

/// A variable of an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PayloadField {
    /// Where it stands in the payload, a gjson path.
    #[serde(deserialize_with = "lenient::or_default")]
    pub path: String,
    /// Its name in the expression.
    #[serde(deserialize_with = "lenient::or_default")]
    pub name: String,
}

/// A comparison of one value of the payload.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DataFilter {
    /// A gjson path.
    #[serde(deserialize_with = "lenient::or_default")]
    pub path: String,
    /// `string`, `number` or `bool`.
    #[serde(rename = "type", deserialize_with = "lenient::or_default")]
    pub kind: String,
    /// What it is compared with; one that holds is enough.
    #[serde(deserialize_with = "lenient::texts")]
    pub value: Vec<String>,
    /// `=` (also empty), `!=`, `>`, `>=`, `<`, `<=`.
    #[serde(deserialize_with = "lenient::or_default")]
    pub comparator: String,
    /// A Go template applied to the value first.
    #[serde(deserialize_with = "lenient::or_default")]
    pub template: String,
}

/// Attributes of an event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the attributes of CloudEvents by their names")]
pub struct EventContext {
    #[serde(deserialize_with = "lenient::or_default")]
    pub id: String,
    #[serde(deserialize_with = "lenient::or_default")]
    pub source: String,
    #[serde(deserialize_with = "lenient::or_default")]
    pub specversion: String,
    #[serde(rename = "type", deserialize_with = "lenient::or_default")]
    pub kind: String,
    #[serde(deserialize_with = "lenient::or_default")]
    pub datacontenttype: String,
    #[serde(deserialize_with = "lenient::or_default")]
    pub subject: String,
    #[serde(deserialize_with = "lenient::or_default")]
    pub time: String,
}

/// A daily window; over midnight where `stop` is before `start`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TimeFilter {
    /// `HH:MM:SS`, inclusive.
    #[serde(deserialize_with = "lenient::or_default")]
    pub start: String,
    /// `HH:MM:SS`, exclusive.
    #[serde(deserialize_with = "lenient::or_default")]
    pub stop: String,
    /// IANA name; UTC if empty.
    #[serde(deserialize_with = "lenient::or_default")]
    pub timezone: String,
}

/// Changes the payload; `jq` wins over `script`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EventDependencyTransformer {
    /// A jq program.
    #[serde(deserialize_with = "lenient::or_default")]
    pub jq: String,
    /// A Lua script.
    #[serde(deserialize_with = "lenient::or_default")]
    pub script: String,
}
