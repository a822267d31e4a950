use super::*;
use serde_json::json;

fn after_set(mut document: Value, path: &str, value: Value) -> Value {
    set(&mut document, path, value).unwrap();
    document
}

#[test]
fn builds_from_nothing() {
    assert_eq!(after_set(Value::Null, "a.b", json!(1)), json!({"a": {"b": 1}}));
    assert_eq!(after_set(Value::Null, "1", json!("x")), json!([null, "x"]));
    assert_eq!(after_set(Value::Null, ":1", json!("x")), json!({"1": "x"}));
    assert_eq!(after_set(Value::Null, "a.-1.b", json!(1)), json!({"a": [{"b": 1}]}));
}

#[test]
fn a_number_is_a_key_where_an_object_stands() {
    assert_eq!(after_set(json!({"a": {}}), "a.0", json!(1)), json!({"a": {"0": 1}}));
    assert_eq!(after_set(json!({}), "a.:0", json!(1)), json!({"a": {"0": 1}}));
}

#[test]
fn scalars_give_way_and_keys_keep_their_place() {
    assert_eq!(after_set(json!({"a": 5, "b": 1}), "a.x", json!(1)), json!({"a": {"x": 1}, "b": 1}));
    assert_eq!(after_set(json!({"a": null}), "a.0", json!(1)), json!({"a": [1]}));
    let replaced = after_set(json!({"a": 1, "b": 2}), "a", json!(3));
    assert_eq!(replaced.to_string(), r#"{"a":3,"b":2}"#);
}

#[test]
fn backslashes_take_the_next_character_as_it_is() {
    let path = r"metadata.labels.app\.kubernetes\.io/na\*me";
    let expected = json!({"metadata": {"labels": {"app.kubernetes.io/na*me": "x"}}});
    assert_eq!(after_set(json!({}), path, json!("x")), expected);
    assert_eq!(after_set(json!({}), "é\\.ü", json!(1)), json!({"é.ü": 1}));
}

#[test]
fn refuses_what_names_no_single_place() {
    for path in ["", "a.#.b", "a.*", "a|b", "a.@this", "a?"] {
        assert!(set(&mut json!({}), path, json!(1)).is_err(), "{path}");
    }
    let error = set(&mut json!({"a": [1]}), "a.b", json!(1)).unwrap_err();
    assert_eq!(error.to_string(), "sjson: `b` is no index, but there is an array here at character 2");
}

#[test]
fn a_forced_key_names_an_element_that_is_there() {
    assert_eq!(after_set(json!([1, 2]), ":1", json!(3)), json!([1, 3]));
    assert!(set(&mut json!([1, 2]), ":2", json!(3)).is_err());
}

#[test]
fn growth_is_bounded() {
    let error = set(&mut json!([]), "100001", json!(1)).unwrap_err();
    assert!(matches!(error, LangError::Limit { .. }));
    assert!(set(&mut json!([]), "99999999999999999999999", json!(1)).is_err());
    assert!(set(&mut json!({}), &"a.".repeat(500), json!(1)).is_err());
}

#[test]
fn deletes() {
    let mut document = json!({"a": [1, 2, 3], "b": {"c": 1, "d": 2, "e": 3}});
    assert_eq!(delete(&mut document, "a.-1"), Ok(true));
    assert_eq!(delete(&mut document, "a.0"), Ok(true));
    assert_eq!(delete(&mut document, "b.c"), Ok(true));
    assert_eq!(delete(&mut document, "b.c"), Ok(false));
    assert_eq!(delete(&mut document, "a.7"), Ok(false));
    assert_eq!(delete(&mut document, "x.y"), Ok(false));
    assert_eq!(document.to_string(), r#"{"a":[2],"b":{"d":2,"e":3}}"#);
}
