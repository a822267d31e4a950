//! How Go's decoder reads what is not quite of the type.

use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads a value; null means its default.
///
/// # Errors
/// Fails when the value is of another type.
pub fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Reads a text, a number or a truth value as text; null is absent.
///
/// # Errors
/// Fails on a list or an object.
pub fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let value = Option::<Value>::deserialize(deserializer)?;
    value.map_or(Ok(None), |value| scalar(&value).map(Some))
}

/// Reads a list of texts, whose members may be numbers or truth values; a single one is a list of one.
///
/// # Errors
/// Fails where a member is a list or an object.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(scalar).collect(),
        Some(single) => scalar(&single).map(|text| vec![text]),
    }
}

fn scalar<E: serde::de::Error>(value: &Value) -> Result<String, E> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(E::custom("expected a text or a number")),
    }
}
