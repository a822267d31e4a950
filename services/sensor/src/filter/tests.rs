//! Argo's filter rules, one table row each.

use serde_json::{Value, json};
use tiphys_core::Outcome;

use crate::eval::State;
use crate::testing::{dependency, event, feed, sensor, time, trigger, wrong};

fn spec(more: Value) -> Value {
    let mut dependency = dependency("e");
    for (key, value) in more.as_object().unwrap() {
        dependency[key] = value.clone();
    }
    json!({"dependencies": [dependency], "triggers": [trigger("t", "")]})
}

fn judge(more: Value, data: &str) -> (bool, String) {
    let sensor = sensor(spec(more));
    let decision = feed(&sensor, &mut State::new(), 1, event("e", "1", data));
    let row = decision.verdict.unwrap().triggers.remove(0);
    let told: Vec<String> =
        row.clauses.iter().map(|c| format!("{} {}: {}", c.passed, c.filter, c.detail)).collect();
    let passed = match row.outcome {
        Outcome::Fired { .. } => true,
        Outcome::Filtered => false,
        other => panic!("{other:?}"),
    };
    (passed, told.join("; "))
}

fn data(kind: &str, value: Value, comparator: &str) -> Value {
    json!({"filters": {"data": [
        {"path": "body.x", "type": kind, "value": value, "comparator": comparator}]}})
}

#[test]
fn data_filters_compare_as_argo_does() {
    let table = [
        // (type, values, comparator, the event's value, passes)
        ("string", json!(["Critical"]), "", r#""Critical""#, true),
        ("string", json!(["Crit"]), "=", r#""very Critical""#, true),
        ("string", json!(["^Crit$"]), "", r#""Critical""#, false),
        ("string", json!(["Error", "Critical"]), "", r#""Critical""#, true),
        ("string", json!(["a"]), "!=", r#""b""#, true),
        ("string", json!(["a"]), "!=", r#""a""#, false),
        // Values are always one or the other, also where they are denied.
        ("string", json!(["a", "b"]), "!=", r#""a""#, true),
        ("string", json!(["a"]), ">", r#""b""#, false),
        ("string", json!(["\"k\":1"]), "", r#"{"k":1}"#, true),
        ("string", json!(["^5$"]), "", "5", true),
        ("number", json!(["5"]), "", "5", true),
        ("number", json!(["5"]), "!=", "6", true),
        ("number", json!(["5"]), ">", "6", true),
        ("number", json!(["5"]), ">", "5", false),
        ("number", json!(["5"]), ">=", "5.0", true),
        ("number", json!(["5"]), "<", "4", true),
        ("number", json!(["5"]), "<=", "5.1", false),
        ("number", json!(["1.0"]), "=", r#""1.0""#, true),
        ("number", json!(["1"]), "", "true", true),
        ("number", json!(["0"]), "", r#""junk""#, true),
        ("number", json!(["3", "4"]), "", "4", true),
        ("bool", json!(["true"]), "", "true", true),
        ("bool", json!(["T"]), "!=", "true", true),
        ("bool", json!(["false"]), "", "true", false),
        ("bool", json!(["true"]), "", r#""true""#, true),
        ("bool", json!(["false"]), "", r#""0""#, true),
        ("bool", json!(["true"]), "", "1", true),
    ];
    for (kind, values, comparator, value, passes) in table {
        let (passed, told) =
            judge(data(kind, values.clone(), comparator), &format!(r#"{{"body":{{"x":{value}}}}}"#));
        assert_eq!(passed, passes, "{kind} {values} {comparator} {value}: {told}");
    }
}

#[test]
fn each_compared_value_is_named() {
    let filter = data("string", json!(["Critical", "Error"]), "");
    let (passed, told) = judge(filter, r#"{"body":{"x":"Notice"}}"#);
    assert!(!passed);
    assert_eq!(told, r#"false data[0] body.x: "Notice" matches none of "Critical", "Error""#);
    let (_, told) = judge(data("number", json!(["5"]), ">"), r#"{"body":{"x":7}}"#);
    assert_eq!(told, "true data[0] body.x: 7 > 5");
    let (passed, told) = judge(data("string", json!(["a"]), ""), r#"{"body":{}}"#);
    assert!(!passed);
    assert_eq!(told, "false data[0] body.x: nothing stands at body.x");
    let long = format!(r#"{{"body":{{"x":"{}"}}}}"#, "ü".repeat(500));
    let (_, told) = judge(data("string", json!(["a"]), ""), &long);
    assert!(told.len() < 400, "{told}");
}

#[test]
fn templates_run_before_the_comparison() {
    let with = |template: &str, kind: &str, value: &str| json!({"filters": {"data": [{"path": "x", "type": kind, "value": [value], "template": template}]}});
    assert!(judge(with("{{ .Input | upper }}", "string", "^ABC$"), r#"{"x":"abc"}"#).0);
    assert!(judge(with("{{ .Input | b64dec }}", "number", "3.14"), r#"{"x":"My4xNA=="}"#).0);
    let (passed, told) = judge(with("{{ \"\" }}", "string", ".*"), r#"{"x":"abc"}"#);
    assert!(!passed && told.contains("makes nothing"), "{told}");
}

#[test]
fn several_data_filters_combine() {
    let two = |operator: &str| {
        json!({"filters": {"dataLogicalOperator": operator, "data": [
            {"path": "a", "type": "string", "value": ["1"]},
            {"path": "b", "type": "string", "value": ["1"]}]}})
    };
    for (operator, text, passes) in [
        ("", r#"{"a":"1","b":"1"}"#, true),
        ("and", r#"{"a":"1","b":"2"}"#, false),
        ("and", r#"{"a":"1"}"#, false),
        ("or", r#"{"a":"2","b":"1"}"#, true),
        ("or", r#"{"b":"1"}"#, true),
        ("or", r#"{"a":"2"}"#, false),
    ] {
        assert_eq!(judge(two(operator), text).0, passes, "{operator} {text}");
    }
}

#[test]
fn expressions_need_their_fields_and_exactly_true() {
    let one = |expr: &str| {
        json!({"filters": {"exprs": [{"expr": expr, "fields": [
            {"name": "p", "path": "body.p"}, {"name": "n", "path": "body.n"}]}]}})
    };
    let text = r#"{"body":{"p":"high","n":5}}"#;
    for (expr, passes) in [
        (r#"p == "high" && n > 3"#, true),
        ("p =~ 'ig' || n == 9", true),
        ("n in (1, 5)", true),
        ("n", false),
        ("n > 'x'", false),
        ("p != 'high'", false),
    ] {
        let (passed, told) = judge(one(expr), text);
        assert_eq!(passed, passes, "{told}");
    }
    let (passed, told) = judge(one("n > 3"), r#"{"body":{"n":5}}"#);
    assert!(!passed && told.contains("nothing stands at body.p"), "{told}");
    let (_, told) = judge(one("n > 3"), text);
    assert_eq!(told, r#"true exprs[0]: n > 3 holds with p = "high", n = 5"#);
}

#[test]
fn several_expressions_combine() {
    let two = |operator: &str| {
        json!({"filters": {"exprLogicalOperator": operator, "exprs": [
            {"expr": "a == 1", "fields": [{"name": "a", "path": "a"}]},
            {"expr": "b == 1", "fields": [{"name": "b", "path": "b"}]}]}})
    };
    // Under `or` an expression that fails is passed over; under `and` the first that is false decides.
    assert!(judge(two("or"), r#"{"b":1}"#).0);
    assert!(!judge(two("or"), r#"{"b":2}"#).0);
    let (passed, told) = judge(two("and"), r#"{"a":2}"#);
    assert!(!passed && !told.contains("exprs[1]"), "{told}");
}

#[test]
fn kinds_of_filters_combine() {
    let all = |operator: &str, data: &str, expr: &str| {
        json!({"filtersLogicalOperator": operator, "filters": {
            "data": [{"path": "d", "type": "string", "value": [data]}],
            "exprs": [{"expr": expr, "fields": [{"name": "e", "path": "e"}]}]}})
    };
    let text = r#"{"d":"1","e":1}"#;
    for (operator, data, expr, passes) in [
        ("", "1", "e == 1", true),
        ("", "1", "e == 2", false),
        ("and", "2", "e == 1", false),
        ("or", "1", "e == 2", true),
        ("or", "2", "e == 1", true),
        ("or", "2", "e == 2", false),
    ] {
        assert_eq!(judge(all(operator, data, expr), text).0, passes, "{operator} {data} {expr}");
    }
    // Absent kinds do not count as true under `or`.
    assert!(!judge(json!({"filtersLogicalOperator": "or", "filters": {}}), text).0);
    assert!(judge(json!({"filters": {}}), text).0);
}

#[test]
fn context_compares_four_attributes() {
    let context = |context: Value| json!({"filters": {"context": context}});
    assert!(judge(context(json!({"type": "webhook", "subject": "e", "source": "src"})), "{}").0);
    assert!(judge(context(json!({"datacontenttype": "application/json", "id": "ignored"})), "{}").0);
    let (passed, told) = judge(context(json!({"source": "other"})), "{}");
    assert!(!passed);
    assert_eq!(told, r#"false context.source: "src" is not "other""#);
    assert!(wrong(spec(context(json!({"id": "x"}))))[0].message.contains("nothing"));
}

#[test]
fn time_windows_are_half_open_and_know_zones() {
    // (start, stop, zone, received, passes)
    for (start, stop, zone, received, passes) in [
        ("12:00:00", "13:00:00", "", "2026-03-01T12:00:00Z", true),
        ("11:00:00", "12:00:00", "", "2026-03-01T12:00:00Z", false),
        ("22:00:00", "06:00:00", "", "2026-03-01T23:30:00Z", true),
        ("22:00:00", "06:00:00", "", "2026-03-01T05:59:59Z", true),
        ("22:00:00", "06:00:00", "", "2026-03-01T06:00:00Z", false),
        ("09:00:00", "17:00:00", "America/New_York", "2026-03-01T14:00:00Z", true),
        ("09:00:00", "17:00:00", "America/New_York", "2026-03-01T13:59:59Z", false),
        // Summer time moves the window.
        ("09:00:00", "17:00:00", "America/New_York", "2026-07-01T13:00:00Z", true),
        ("09:00:00", "17:00:00", "Asia/Tokyo", "2026-07-01T00:00:00Z", true),
    ] {
        let filter = json!({"filters": {"time": {"start": start, "stop": stop, "timezone": zone}}});
        let sensor = sensor(spec(filter));
        let mut event = event("e", "1", "{}");
        event.received = time(received);
        let decision = feed(&sensor, &mut State::new(), 1, event);
        assert_eq!(decision.firings.len() == 1, passes, "{start} {stop} {zone} {received}");
    }
    let of = |start: &str, zone: &str| json!({"filters": {"time": {"start": start, "stop": "10:00:00", "timezone": zone}}});
    for bad in [of("10:00:00", ""), of("10:00", ""), of("09:00:00", "Mars/Olympus")] {
        assert_eq!(wrong(spec(bad))[0].code, "TIP-SEN-006");
    }
}

#[test]
fn what_is_not_run_is_a_dead_letter_that_names_it() {
    let script = json!({"filters": {"script": "return true", "data": [
        {"path": "a", "type": "string", "value": ["1"]}]}});
    // Where the other filters refuse, the script need not be asked.
    assert!(!judge(script.clone(), r#"{"a":"2"}"#).0);
    for (more, construct, code) in [
        (script, "filters.script", "TIP-SEN-021"),
        (json!({"transform": {"jq": "."}}), "transform.jq", "TIP-SEN-020"),
        (json!({"transform": {"script": "return event"}}), "transform.script", "TIP-SEN-020"),
    ] {
        let sensor = sensor(spec(more));
        let decision = feed(&sensor, &mut State::new(), 1, event("e", "1", r#"{"a":"1"}"#));
        assert!(decision.firings.is_empty());
        assert_eq!(decision.dead[0].code, code);
        assert!(decision.dead[0].reason.contains(construct));
        let outcome = &decision.verdict.unwrap().triggers[0].outcome;
        assert!(matches!(outcome, Outcome::Dead { code: dead, .. } if dead == code));
    }
}

#[test]
fn an_empty_payload_passes_data_and_expressions() {
    let filter = json!({"filters": {
        "data": [{"path": "a", "type": "string", "value": ["1"]}],
        "exprs": [{"expr": "e == 1", "fields": [{"name": "e", "path": "e"}]}],
        "script": "return false"}});
    assert!(judge(filter, "").0);
}

#[test]
fn mistakes_are_found_when_the_manifest_loads() {
    for (more, code, path) in [
        (data("string", json!(["("]), ""), "TIP-SEN-002", "data[0].value"),
        (data("number", json!(["x"]), ""), "TIP-SEN-002", "data[0].value"),
        (data("bool", json!(["yes"]), ""), "TIP-SEN-002", "data[0].value"),
        (data("int", json!(["1"]), ""), "TIP-SEN-002", "data[0].type"),
        (data("string", json!([]), ""), "TIP-SEN-002", "data[0].value"),
        (data("number", json!(["1"]), "=>"), "TIP-SEN-002", "data[0].comparator"),
        (json!({"filtersLogicalOperator": "AND"}), "TIP-SEN-002", "filtersLogicalOperator"),
        (json!({"filters": {"exprs": [{"expr": "a =="}]}}), "TIP-SEN-003", "exprs[0].expr"),
    ] {
        let found = wrong(spec(more.clone()));
        assert_eq!(found[0].code, code, "{more}");
        assert!(found[0].path.ends_with(path), "{} {path}", found[0].path);
    }
}
