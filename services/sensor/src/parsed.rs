//! An event as the languages see it. Made once, and shared by all filters and triggers.

use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};
use tiphys_core::{Event, EventRef};
use tiphys_lang::template::Context;

/// The attribute that marks an event as replayed, and how often.
pub(crate) const REPLAY: &str = "replay";

/// An event with its place in EVENTS, and the forms of it that were asked for.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// The event.
    pub event: Event,
    /// Its sequence in EVENTS.
    pub sequence: u64,
    payload: OnceLock<Value>,
    context: OnceLock<String>,
}

impl Parsed {
    /// Takes an event. Nothing is parsed before it is needed.
    #[must_use]
    pub(crate) const fn new(event: Event, sequence: u64) -> Self {
        Self { event, sequence, payload: OnceLock::new(), context: OnceLock::new() }
    }

    /// The payload as it was sent; `None` where it is no text.
    #[must_use]
    pub(crate) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.event.data).ok()
    }

    /// How often the event was replayed.
    #[must_use]
    pub(crate) fn replay(&self) -> u32 {
        let times = self.event.attributes.get(REPLAY);
        times.and_then(|times| times.parse().ok()).unwrap_or(0)
    }

    /// Names the event as the one that satisfied `dependency`.
    #[must_use]
    pub(crate) fn reference(&self, dependency: &str) -> EventRef {
        EventRef { dependency: dependency.to_owned(), id: self.event.id.clone(), sequence: self.sequence }
    }

    /// The payload for templates: `{"Input": …}`, with every number a float as Go's decoder makes it.
    #[must_use]
    pub(crate) fn template_input(&self) -> &Value {
        self.payload.get_or_init(|| {
            let value = serde_json::from_slice(&self.event.data).unwrap_or(Value::Null);
            input(floats(value))
        })
    }

    /// The seven attributes as JSON text, escaped as Go escapes.
    #[must_use]
    pub(crate) fn context(&self) -> &str {
        self.context.get_or_init(|| go_escaped(&Value::Object(self.event.context()).to_string()))
    }

    /// The attributes for templates.
    #[must_use]
    pub(crate) fn context_input(&self) -> Value {
        input(Value::Object(self.event.context()))
    }

    /// The whole event as Argo renders it: `{"context":{…},"data":"<base64>"}`.
    #[must_use]
    pub(crate) fn whole(&self) -> String {
        let data = STANDARD.encode(&self.event.data);
        format!(r#"{{"context":{},"data":"{data}"}}"#, self.context())
    }

    /// What templates may know of the time and of chance.
    #[must_use]
    pub(crate) fn template_context(&self) -> Context<'_> {
        Context { now: self.event.received, seed: &self.event.id.0 }
    }
}

/// Wraps a value as the `.Input` of a template.
pub(crate) fn input(value: Value) -> Value {
    let mut map = Map::new();
    map.insert("Input".into(), value);
    Value::Object(map)
}

fn floats(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            number.as_f64().and_then(Number::from_f64).map_or(Value::Number(number), Value::Number)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(floats).collect()),
        Value::Object(members) => Value::Object(members.into_iter().map(|(k, v)| (k, floats(v))).collect()),
        other => other,
    }
}

/// Go's encoder also escapes what is special in HTML, and two line separators.
fn go_escaped(json: &str) -> String {
    let special = ['<', '>', '&', '\u{2028}', '\u{2029}'];
    if !json.contains(special) {
        return json.to_owned();
    }
    let mut out = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if special.contains(&character) {
            out.push_str(&format!("\\u{:04x}", u32::from(character)));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_escapes_html() {
        assert_eq!(go_escaped(r#"{"a":"<b>&"}"#), r#"{"a":"\u003cb\u003e\u0026"}"#);
        assert_eq!(go_escaped("{\"a\":\"ü\"}"), "{\"a\":\"ü\"}");
    }

    #[test]
    fn numbers_in_templates_are_floats() {
        let value = floats(serde_json::json!({"a": [1, {"b": 2}], "c": "3"}));
        assert_eq!(value.to_string(), r#"{"a":[1.0,{"b":2.0}],"c":"3"}"#);
    }
}
