//! What Go's decoder lets pass: a number where text is meant, null where nothing is meant.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A number, or text that holds one (or a tag that will).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i64),
    /// Text.
    Text(String),
}

impl IntOrString {
    /// The number, if it is one.
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            Self::Text(text) => text.trim().parse().ok(),
        }
    }
}

impl fmt::Display for IntOrString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

/// Null is the default.
pub(crate) fn nullable<'de, D, T>(input: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(input)?.unwrap_or_default())
}

/// Any JSON value as text: text as it is, everything else as its JSON; null is nothing.
pub(crate) fn any_text<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    Ok(text_of(Value::deserialize(input)?))
}

/// A list of texts, each lenient.
pub(crate) fn any_texts<'de, D: Deserializer<'de>>(input: D) -> Result<Vec<String>, D::Error> {
    let list: Option<Vec<Value>> = Option::deserialize(input)?;
    Ok(list.into_iter().flatten().filter_map(text_of).collect())
}

/// A table of texts, each lenient.
pub(crate) fn text_table<'de, D: Deserializer<'de>>(input: D) -> Result<BTreeMap<String, String>, D::Error> {
    let table: Option<BTreeMap<String, Value>> = Option::deserialize(input)?;
    let table = table.unwrap_or_default().into_iter();
    Ok(table.map(|(name, value)| (name, text_of(value).unwrap_or_default())).collect())
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    }
}
