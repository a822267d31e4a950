//! Argo's rules of parameters, one table row each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tiphys_core::Operation::{Append, Overwrite, Prepend};
use tiphys_core::{Firing, Outcome};

use crate::eval::{Decision, State};
use crate::testing::{dependency, event, feed, sensor, trigger, wrong};

const DATA: &str = r#"{"header":{"X-Y":["z"]},"body":{"s":"a\"b","n":1795348800123456789,"f":1.50,"big":12345678901234567890,"e":1e3,"t":true,"z":null,"o":{"k":[1, 2]},"text":"","m":1234567}}"#;

fn spec(template: Value) -> Value {
    let mut template = template;
    template["name"] = "t".into();
    template["conditions"] = "d".into();
    json!({"dependencies": [dependency("d"), dependency("other")],
        "triggers": [{"template": template}]})
}

fn decide(spec: Value) -> Decision {
    feed(&sensor(spec), &mut State::new(), 1, event("d", "id-1", DATA))
}

fn fire(spec: Value) -> Firing {
    let decision = decide(spec);
    assert!(decision.dead.is_empty(), "{:?}", decision.dead);
    (*decision.firings[0]).clone()
}

/// The JSON text that a resource parameter with this source gets.
fn value(src: Value) -> String {
    let mut src = src;
    src["dependencyName"] = "d".into();
    let parameters = json!([{"src": src, "dest": "x"}]);
    fire(spec(json!({"k8s": {"parameters": parameters}}))).parameters.remove(0).value
}

#[test]
fn keys_read_text_and_keep_digits() {
    for (key, plain, raw) in [
        ("body.s", r#""a\"b""#, r#""a\"b""#),
        ("body.n", r#""1795348800123456789""#, "1795348800123456789"),
        ("body.big", r#""12345678901234567890""#, "12345678901234567890"),
        ("body.f", r#""1.5""#, "1.5"),
        ("body.e", r#""1000""#, "1000"),
        ("body.t", r#""true""#, "true"),
        ("body.z", r#""null""#, "null"),
        ("body.o", r#""{\"k\":[1, 2]}""#, r#"{"k":[1, 2]}"#),
        ("body.text", r#""""#, r#""""#),
        ("header.X-Y.0", r#""z""#, r#""z""#),
    ] {
        assert_eq!(value(json!({"dataKey": key})), plain, "{key}");
        assert_eq!(value(json!({"dataKey": key, "useRawData": true})), raw, "{key}");
    }
}

#[test]
fn sources_have_an_order() {
    for (src, expected) in [
        // Data beats context.
        (json!({"dataKey": "body.t", "contextKey": "id"}), "true"),
        (json!({"contextKey": "id"}), "id-1"),
        (json!({"contextKey": "time"}), "2026-03-01T12:00:00Z"),
        (json!({"contextKey": "type"}), "webhook"),
        (json!({"contextTemplate": "{{ .Input.subject }}!"}), "d!"),
        // A template beats a key.
        (json!({"dataKey": "body.s", "dataTemplate": "{{ .Input.body.t }}"}), "true"),
        // What fails gives way to the key, and that to `value`.
        (json!({"dataKey": "body.t", "dataTemplate": "{{ nosuchfunction }}"}), "true"),
        (json!({"dataKey": "body.t", "dataTemplate": "{{ \"\" }}"}), "true"),
        (json!({"dataKey": "body.t", "dataTemplate": "{{ .Input.none }}"}), "true"),
        (json!({"dataKey": "none", "value": "v"}), "v"),
        (json!({"dataTemplate": "{{ nosuchfunction }}", "value": "v"}), "v"),
        // Nothing but `value`: it is used although there is an event.
        (json!({"value": "v"}), "v"),
        // Templates see numbers as floats, as Go does.
        (json!({"dataTemplate": "{{ .Input.body.m }}"}), "1.234567e+06"),
    ] {
        assert_eq!(value(src.clone()), Value::from(expected).to_string(), "{src}");
    }
}

#[test]
fn without_a_key_it_is_the_whole_event() {
    let text = value(json!({}));
    let whole: String = serde_json::from_str(&text).unwrap();
    let data = STANDARD.encode(DATA);
    assert_eq!(
        whole,
        format!(
            r#"{{"context":{{"id":"id-1","source":"src","specversion":"1.0","type":"webhook","datacontenttype":"application/json","subject":"d","time":"2026-03-01T12:00:00Z"}},"data":"{data}"}}"#
        )
    );
    assert!(value(json!({"useRawData": true})).starts_with(r#"{"context":{"#));
}

#[test]
fn nothing_found_is_a_dead_letter_that_names_the_parameter() {
    let parameters = json!([{"src": {"dependencyName": "d", "dataKey": "body.none"}, "dest": "x"}]);
    let decision = decide(spec(json!({"k8s": {"parameters": parameters}})));
    assert!(decision.firings.is_empty());
    assert_eq!(decision.dead[0].code, "TIP-SEN-022");
    assert!(decision.dead[0].reason.contains("k8s.parameters[0]"), "{}", decision.dead[0].reason);
    assert!(decision.dead[0].reason.contains("body.none"));
    assert_eq!(decision.dead[0].events[0].id.0, "id-1");
    let outcome = &decision.verdict.unwrap().triggers[0].outcome;
    assert!(matches!(outcome, Outcome::Dead { .. }));
}

#[test]
fn a_dependency_without_an_event_is_skipped_or_has_a_value() {
    let list = json!([
        {"src": {"dependencyName": "other", "dataKey": "a"}, "dest": "x"},
        {"src": {"dependencyName": "other", "dataKey": "a", "value": "v"}, "dest": "y"},
        {"src": {"dependencyName": "d", "dataKey": "body.t"}, "dest": "z"}]);
    let firing = fire(spec(json!({"http": {
        "url": "http://x", "payload": list.clone(), "parameters": list.clone(), "dynamicHeaders": list}})));
    let dests = |values: &[tiphys_core::Value]| -> Vec<String> {
        values.iter().map(|value| format!("{}={}", value.dest, value.value)).collect()
    };
    assert_eq!(dests(&firing.payload), [r#"y="v""#, r#"z="true""#]);
    assert_eq!(dests(&firing.parameters), [r#"y="v""#, r#"z="true""#]);
    assert_eq!(firing.headers, [("y".into(), "v".into()), ("z".into(), "true".into())]);
}

#[test]
fn operations_travel_with_the_values() {
    let src = json!({"dependencyName": "d", "dataKey": "body.t"});
    let list = json!([
        {"src": src, "dest": "a", "operation": "append"},
        {"src": src, "dest": "b", "operation": "prepend"},
        {"src": src, "dest": "c", "operation": "overwrite"},
        {"src": src, "dest": "d"}]);
    let firing = fire(spec(json!({"argoWorkflow": {"parameters": list}})));
    let operations: Vec<_> = firing.parameters.iter().map(|value| value.operation).collect();
    assert_eq!(operations, [Append, Prepend, Overwrite, Overwrite]);
}

#[test]
fn template_level_values_are_written_into_the_trigger() {
    let mut spec = spec(json!({"k8s": {
        "source": {"url": {"path": "http://x/"}},
        "parameters": [{"src": {"dependencyName": "d", "dataKey": "body.s"}, "dest": "x"}]}}));
    spec["triggers"][0]["parameters"] = json!([
        {"src": {"dependencyName": "d", "dataKey": "body.n"}, "dest": "k8s.source.url.path", "operation": "append"},
        {"src": {"dependencyName": "d", "dataKey": "body.n", "useRawData": true}, "dest": "k8s.number"},
        // Also the definitions of the resource's own parameters can be changed.
        {"src": {"dependencyName": "d", "value": "body.t"}, "dest": "k8s.parameters.0.src.dataKey"},
        {"src": {"dependencyName": "other", "dataKey": "a"}, "dest": "k8s.skipped"}]);
    let firing = fire(spec);
    let k8s = &firing.trigger_spec["template"]["k8s"];
    assert_eq!(k8s["source"]["url"]["path"], "http://x/1795348800123456789");
    assert_eq!(k8s["number"].to_string(), "1795348800123456789");
    assert_eq!(k8s.get("skipped"), None);
    assert_eq!(firing.parameters[0].value, r#""true""#);
    assert_eq!(firing.trigger, "t");
}

#[test]
fn an_empty_destination_is_for_payloads_only() {
    let list = json!([{"src": {"dependencyName": "d"}, "dest": ""}]);
    for kind in ["http", "kafka", "nats", "custom", "sqs"] {
        let firing = fire(spec(json!({ kind: {"url": "http://x", "payload": list.clone()} })));
        assert_eq!(firing.payload[0].dest, "", "{kind}");
    }
    assert_eq!(wrong(spec(json!({"k8s": {"parameters": list}})))[0].code, "TIP-SEN-007");
}

#[test]
fn a_firing_that_is_too_large_is_a_dead_letter() {
    let sensor = sensor(spec(json!({"k8s": {
        "parameters": [{"src": {"dependencyName": "d"}, "dest": "x"}]}})));
    let large = format!(r#"{{"body":"{}"}}"#, "x".repeat(1_000_000));
    let decision = feed(&sensor, &mut State::new(), 1, event("d", "1", &large));
    assert!(decision.firings.is_empty());
    assert_eq!(decision.dead[0].code, "TIP-SEN-026");
}

#[test]
fn mistakes_are_found_when_the_manifest_loads() {
    let with = |parameter: Value| spec(json!({"k8s": {"parameters": [parameter]}}));
    for (parameter, code) in [
        (json!({"dest": "x"}), "TIP-SEN-007"),
        (json!({"src": {"dependencyName": "d"}, "dest": "x", "operation": "add"}), "TIP-SEN-007"),
        (json!({"src": {"dependencyName": "d", "dataTemplate": "{{ nosuch }}"}, "dest": "x"}), "TIP-SEN-004"),
    ] {
        assert_eq!(wrong(with(parameter.clone()))[0].code, code, "{parameter}");
    }
    let unknown = json!({"src": {"dependencyName": "nobody"}, "dest": "x"});
    let compiled = sensor(with(unknown));
    assert!(compiled.warnings[0].message.contains("nobody"));
    let mut nothing = json!({"dependencies": [dependency("d")], "triggers": [trigger("t", "d")]});
    nothing["triggers"][0]["template"]["log"] = Value::Null;
    nothing["triggers"][0]["template"]["openwhisk"] = json!({});
    assert!(wrong(nothing)[0].help.contains("openWhisk"));
}
