use super::*;
use proptest::prelude::*;

fn render(text: &str, values: &[(&str, &str)]) -> String {
    Text::parse(text)
        .render(&mut |piece| {
            let (Piece::Tag(name) | Piece::Expression(name)) = piece else {
                return Ok(None);
            };
            let value = values.iter().find(|(known, _)| known == name);
            Ok(value.map(|(_, value)| (*value).to_owned()))
        })
        .unwrap()
}

#[test]
fn replaces_tags_and_keeps_the_rest() {
    assert_eq!(render("a {{ x }} b{{x}}", &[("x", "1")]), "a 1 b1");
    assert_eq!(render("{{ unknown  }} }} {", &[]), "{{ unknown  }} }} {");
    assert_eq!(render("é{{x}}ü", &[("x", "ö")]), "éöü");
}

#[test]
fn unclosed_is_literal_and_inner_tags_still_count() {
    assert_eq!(render("a {{ b", &[]), "a {{ b");
    assert_eq!(render("a {{ b {{x}} c", &[("x", "1")]), "a {{ b 1 c");
    assert_eq!(render("{{ {{ {{x}}", &[("x", "1")]), "{{ {{ 1");
    assert_eq!(render("{{= 1 + {{x}}", &[("1 + {{x", "e")]), "e");
    assert_eq!(render("{{= never", &[]), "{{= never");
}

#[test]
fn nested_tags_are_resolved_inside_out() {
    let text = "{{inputs.parameters.{{x}}}}!";
    assert_eq!(Text::parse(text).tags(), ["x"]);
    assert_eq!(render(text, &[("x", "a"), ("inputs.parameters.a", "1")]), "1!");
    assert_eq!(render(text, &[("x", "a")]), "{{inputs.parameters.a}}!");
    assert_eq!(render(text, &[]), "{{inputs.parameters.{{x}}}}!");
    assert_eq!(render("{{a{{b{{c}}}}}}", &[("c", "1"), ("b1", "2"), ("a2", "3")]), "3");
}

#[test]
fn braces_of_json_around_tags_stay() {
    assert_eq!(render(r#"{"a":{"b":{{x}}}}"#, &[("x", "1")]), r#"{"a":{"b":1}}"#);
    assert_eq!(render(r#"{"a":{"b":"{{x}}"}}"#, &[("x", "1")]), r#"{"a":{"b":"1"}}"#);
}

#[test]
fn expressions_end_where_their_braces_and_quotes_do() {
    for source in [r#"toJson({"a": {"b": 1}})"#, r#""}}" + x"#, "`}}`", r#"'\'}}' + "{""#, "a[1]"] {
        let text = Text::parse(&format!("<{{{{={source}}}}}>"));
        assert_eq!(text.expressions(), [source]);
        assert_eq!(text.pieces.len(), 3);
    }
    // Not closed as an expression should be: then the first braces close it, as in Argo.
    assert_eq!(Text::parse("{{=it's}} x").expressions(), ["it's"]);
}

#[test]
fn inner_expressions_make_names() {
    let values = [("f(1)", "b"), ("a.b", "2")];
    assert_eq!(render("{{a.{{=f(1)}}}}", &values), "2");
}

#[test]
fn deep_nesting_is_literal() {
    let text = format!("{}x{}", "{{".repeat(50_000), "}}".repeat(50_000));
    assert_eq!(render(&text, &[]), text);
}

#[test]
fn strings_of_a_tree_are_mapped_and_keys_are_not() {
    let value = serde_json::json!({"{{k}}": ["{{x}}", 1, null, {"z": "{{x}}"}], "a": true});
    let mapped = map_strings(&value, &mut |text| Ok(render(text, &[("x", "1"), ("k", "2")]))).unwrap();
    assert_eq!(mapped.to_string(), r#"{"{{k}}":["1",1,null,{"z":"1"}],"a":true}"#);
}

proptest! {
    /// What is inserted is never scanned again: values full of tags come out as they are.
    #[test]
    fn inserted_values_are_not_scanned(
        value in r"(\{\{|\}\}|=|x|y| |'|\{){0,12}",
        before in "[a-z ]{0,5}",
    ) {
        let text = format!("{before}{{{{x}}}}|{{{{y}}}}|{{{{=e}}}}");
        let values = [("x", value.as_str()), ("y", "{{x}}"), ("e", value.as_str())];
        prop_assert_eq!(render(&text, &values), format!("{before}{value}|{{{{x}}}}|{value}"));
    }

    /// Without values any text comes out as it went in.
    #[test]
    fn unresolved_text_is_unchanged(text in r"(\{\{|\}\}|\{|\}|=|x|é| |'|`){0,30}") {
        prop_assert_eq!(render(&text, &[]), text);
    }
}
