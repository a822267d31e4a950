//! Values from and to JSON, and their Go text.

use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::Value as Json;

use super::number::{duration_text, float_json, float_number, float_text};
use super::{Value, layout};

impl From<&Json> for Value {
    /// Numbers become floats, as Go's JSON decoder makes them.
    fn from(json: &Json) -> Self {
        match json {
            Json::Null => Self::Nil,
            Json::Bool(bool) => Self::Bool(*bool),
            Json::Number(number) => Self::Float(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::text(text.as_str()),
            Json::Array(items) => Self::list(items.iter().map(Self::from).collect()),
            Json::Object(members) => Self::map(
                members.iter().map(|(key, value)| (Arc::from(key.as_str()), Self::from(value))).collect(),
            ),
        }
    }
}

impl Value {
    /// How much of a budget its text takes, counted no further than `limit`.
    pub(crate) fn weight(&self, limit: u64) -> u64 {
        let mut weight = 8;
        match self {
            Self::Text(text) => weight += text.len() as u64,
            Self::List(list) => {
                for item in &list.items {
                    if weight >= limit {
                        break;
                    }
                    weight += item.weight(limit - weight);
                }
            }
            Self::Map(map) => {
                for (key, item) in &map.entries {
                    if weight >= limit {
                        break;
                    }
                    weight += key.len() as u64 + item.weight(limit - weight);
                }
            }
            _ => {}
        }
        weight
    }

    /// As JSON. Bound its weight first.
    pub(crate) fn to_json(&self) -> Json {
        match self {
            Self::Nil => Json::Null,
            Self::Bool(bool) => Json::Bool(*bool),
            Self::Int(int) | Self::Duration(int) => Json::from(*int),
            Self::Float(float) => float_number(*float).map_or(Json::Null, Json::Number),
            Self::Text(text) => Json::from(text.as_ref()),
            Self::List(list) => list.items.iter().map(Self::to_json).collect(),
            Self::Map(map) => {
                map.entries.iter().map(|(key, value)| (key.to_string(), value.to_json())).collect()
            }
            Self::Time(time) => Json::from(layout::format(layout::RFC3339_NANO, time)),
        }
    }

    /// Go's `%v`. Bound its weight first.
    pub(crate) fn go_text(&self) -> String {
        let mut out = String::new();
        self.write_go(&mut out);
        out
    }

    fn write_go(&self, out: &mut String) {
        match self {
            Self::Nil => out.push_str("<nil>"),
            Self::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Self::Int(int) => out.push_str(&int.to_string()),
            Self::Float(float) => out.push_str(&float_text(*float)),
            Self::Text(text) => out.push_str(text),
            Self::List(list) => {
                out.push('[');
                for (index, item) in list.items.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    item.write_go(out);
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push_str("map[");
                for (index, (key, item)) in map.entries.iter().enumerate() {
                    if index > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    item.write_go(out);
                }
                out.push(']');
            }
            Self::Time(time) => out.push_str(&layout::format(layout::GO_STRING, time)),
            Self::Duration(nanos) => out.push_str(&duration_text(*nanos)),
        }
    }

    /// Go's JSON text; `indent` is the text of one level, or empty for one line.
    pub(crate) fn json_text(&self, indent: &str) -> String {
        let mut out = String::new();
        self.write_json(&mut out, indent, 0);
        out
    }

    fn write_json(&self, out: &mut String, indent: &str, level: usize) {
        match self {
            Self::Float(float) => out.push_str(&float_json(*float)),
            Self::List(list) if !list.items.is_empty() => {
                out.push('[');
                for (index, item) in list.items.iter().enumerate() {
                    separate(out, indent, level + 1, index > 0);
                    item.write_json(out, indent, level + 1);
                }
                separate(out, indent, level, false);
                out.push(']');
            }
            Self::Map(map) if !map.entries.is_empty() => {
                out.push('{');
                for (index, (key, item)) in map.entries.iter().enumerate() {
                    separate(out, indent, level + 1, index > 0);
                    write_json_string(out, key);
                    out.push_str(if indent.is_empty() { ":" } else { ": " });
                    item.write_json(out, indent, level + 1);
                }
                separate(out, indent, level, false);
                out.push('}');
            }
            Self::Text(text) => write_json_string(out, text),
            other => {
                let _ = write!(out, "{}", other.to_json());
            }
        }
    }
}

fn separate(out: &mut String, indent: &str, level: usize, comma: bool) {
    if comma {
        out.push(',');
    }
    if !indent.is_empty() {
        out.push('\n');
        for _ in 0..level {
            out.push_str(indent);
        }
    }
}

/// Go escapes what HTML gives a meaning, and the two line ends that JavaScript knows besides JSON's.
fn write_json_string(out: &mut String, text: &str) {
    for character in Json::from(text).to_string().chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
}
