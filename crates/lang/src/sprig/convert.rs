//! Between the values of templates and those of expressions.

use std::sync::Arc;

use gotmpl::Value as Template;
use serde_json::Value as Json;

use crate::value::{Value, layout};

/// Bound its weight first.
pub(crate) fn to_template(value: &Value) -> Template {
    match value {
        Value::Nil => Template::Nil,
        Value::Bool(bool) => Template::Bool(*bool),
        Value::Int(int) | Value::Duration(int) => Template::Int(*int),
        Value::Float(float) => Template::Float(*float),
        Value::Text(text) => Template::String(text.clone()),
        Value::List(list) => Template::List(list.items.iter().map(to_template).collect()),
        Value::Map(map) => Template::Map(Arc::new(
            map.entries.iter().map(|(key, value)| (key.clone(), to_template(value))).collect(),
        )),
        Value::Time(time) => Template::String(layout::format(layout::GO_STRING, time).into()),
    }
}

/// Bound its weight first.
pub(crate) fn from_template(value: &Template) -> Value {
    match value {
        Template::Bool(bool) => Value::Bool(*bool),
        Template::Int(int) => Value::Int(*int),
        Template::Uint(int) => i64::try_from(*int).map_or(Value::Nil, Value::Int),
        Template::Float(float) => Value::Float(*float),
        Template::String(text) => Value::Text(text.clone()),
        Template::List(items) => Value::list(items.iter().map(from_template).collect()),
        Template::Map(entries) => {
            Value::map(entries.iter().map(|(key, value)| (key.clone(), from_template(value))).collect())
        }
        _ => Value::Nil,
    }
}

/// Numbers become floats, as Go's JSON decoder makes them.
pub(crate) fn from_json(json: &Json) -> Template {
    match json {
        Json::Null => Template::Nil,
        Json::Bool(bool) => Template::Bool(*bool),
        Json::Number(number) => Template::Float(number.as_f64().unwrap_or(f64::NAN)),
        Json::String(text) => Template::String(text.as_str().into()),
        Json::Array(items) => Template::List(items.iter().map(from_json).collect()),
        Json::Object(members) => Template::Map(Arc::new(
            members.iter().map(|(key, value)| (Arc::from(key.as_str()), from_json(value))).collect(),
        )),
    }
}

/// Go's word for a value's type.
pub(crate) fn type_name(value: &Template) -> &'static str {
    match value {
        Template::Bool(_) => "bool",
        Template::Int(_) | Template::Uint(_) => "int",
        Template::Float(_) => "float64",
        Template::String(_) => "string",
        Template::List(_) => "[]interface {}",
        Template::Map(_) => "map[string]interface {}",
        _ => "<nil>",
    }
}

/// Go's word for a value's kind.
pub(crate) fn kind_name(value: &Template) -> &'static str {
    match value {
        Template::List(_) => "slice",
        Template::Map(_) => "map",
        Template::Nil => "invalid",
        other => type_name(other),
    }
}
