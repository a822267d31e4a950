//! Tests of the govaluate dialect.

use super::*;

fn variables() -> BTreeMap<String, Value> {
    [
        ("a", Value::Number(1.0)),
        ("b", Value::Number(2.0)),
        ("name", Value::Text("x".into())),
        ("two words", Value::Text("yes".into())),
        ("list", Value::List(vec![Value::Text("x".into()), Value::Number(2.0)])),
        ("pattern", Value::Text("^x$".into())),
        ("foo-bar", Value::Bool(true)),
        ("nothing", Value::Null),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn eval(text: &str) -> Result<Value, LangError> {
    Program::compile(text)?.eval(&variables())
}

#[test]
fn operators_bind_and_group_as_in_the_original() {
    for (text, expected) in [
        ("2 ** 3 ** 2", 64.0),
        ("-2 ** 2", 4.0),
        ("10 - 4 - 3", 3.0),
        ("1 + 2 * 3 ** 2", 19.0),
        ("1 | 2 ^ 2", 1.0),
        ("1 << 2 + 1", 8.0),
        ("~0", -1.0),
        ("0x1F", 31.0),
        ("7.5 % 2", 1.5),
        ("false ? 1 : 2", 2.0),
        ("nothing ?? 3", 3.0),
    ] {
        assert_eq!(eval(text), Ok(Value::Number(expected)), "{text}");
    }
}

#[test]
fn comparisons_and_logic() {
    for (text, expected) in [
        ("[two words] == 'yes'", true),
        (r"foo\-bar", true),
        ("name in ('x', 'y')", true),
        ("name in list", true),
        ("name =~ pattern", true),
        ("name !~ '[0-9]'", true),
        ("a == '1'", false),
        ("a != '1'", true),
        ("'2026-01-02' > '2026-01-01T10:00:00Z'", true),
        ("'1970-01-02' == 86400", true),
        ("name == 'x' || missing == 2", true),
        ("false && missing", false),
        (r"'it\'s' == 'it\'s'", true),
        ("\"it's\" == 'it\\'s'", true),
    ] {
        assert_eq!(eval(text), Ok(Value::Bool(expected)), "{text}");
    }
}

#[test]
fn text_is_joined_with_anything() {
    assert_eq!(eval("'n' + 1000000"), Ok(Value::Text("n1e+06".into())));
    assert_eq!(eval("true + '!'"), Ok(Value::Text("true!".into())));
}

#[test]
fn what_does_not_fit_is_an_error() {
    for (text, part) in [
        ("a > 'x'", "cannot be used with the comparator '>'"),
        ("a && true", "cannot be used with the logical operator '&&', it is not a bool"),
        ("name - 1", "modifier '-'"),
        ("a in (1)", "not a list of two or more"),
        ("missing", "no parameter 'missing' found"),
        ("name =~ name + '('", "is no pattern"),
    ] {
        let error = eval(text).unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn what_is_not_of_the_dialect_does_not_compile() {
    for text in [
        "a ==",
        "a b",
        "(a",
        "a)",
        "'x",
        "[a",
        "a === b",
        "a.b == 1",
        "1.2.3",
        "name =~ '('",
        "a and b ==",
        "!!a",
        "@",
        "()",
        "]",
        "a == ]",
        "a , ",
        "in",
    ] {
        assert!(Program::compile(text).is_err(), "{text}");
    }
    assert_eq!(eval(""), Ok(Value::Null));
}

#[test]
fn depth_is_limited() {
    assert!(Program::compile(&"(".repeat(100_000)).is_err());
    assert!(Program::compile(&"- ".repeat(100_000)).is_err());
    assert!(Program::compile(&format!("1{}", " + 1".repeat(100_000))).is_err());
}

#[test]
fn bare_words_of_a_when_are_strings() {
    let none = BTreeMap::new();
    for (text, expected) in [
        ("heads == heads", true),
        ("heads == tails", false),
        ("heads =~ hea", true),
        ("Succeeded != Failed && 3 > 2", true),
        ("'two words' == 'two words'", true),
        ("true", true),
    ] {
        let program = Program::compile_when(text).unwrap();
        assert_eq!(program.holds(&none), Ok(expected), "{text}");
    }
    let error = Program::compile_when("two words == x").unwrap_err();
    assert!(error.to_string().contains("quotes"), "{error}");
    let program = Program::compile_when("heads").unwrap();
    assert!(program.holds(&none).is_err());
}

#[test]
fn variables_are_listed_once_in_order() {
    let program = Program::compile("b > a && [two words] == name || a == 3").unwrap();
    assert_eq!(program.variables(), ["b", "a", "two words", "name"]);
}
