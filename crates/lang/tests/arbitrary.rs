//! No text makes a dialect panic, neither when it is compiled nor when it runs.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};
use tiphys_lang::template::{Context, Template};
use tiphys_lang::{expr, govaluate};

fn context() -> Context<'static> {
    Context { now: jiff::Timestamp::UNIX_EPOCH, seed: "event" }
}

fn environment() -> Value {
    json!({
        "Input": {"a": [1, 2.5, -3, "x", null, true], "b": {"c": "grüße"}, "n": -1},
        "a": [1, 2.5, -3, "x", null, true, []],
        "b": {"c": "grüße", "d": {}},
        "n": -1,
        "s": "2026-03-01T12:00:00Z",
    })
}

/// Pieces in any order make texts that get further than random characters do.
fn pieced(pieces: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::collection::vec(prop::sample::select(pieces), 0..14).prop_map(|parts| parts.join(" ")),
        2 => prop::collection::vec(prop::sample::select(pieces), 0..14).prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ]
}

const EXPR: &[&str] = &[
    "a",
    "b",
    "n",
    "s",
    "b.c",
    "a[0]",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    "1",
    "-1",
    "2.5",
    "'x'",
    "nil",
    "true",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "==",
    "<",
    "in",
    "not",
    "and",
    "||",
    "??",
    "?.",
    "?",
    ":",
    "..",
    "|",
    ",",
    ";",
    ".",
    "#",
    "#acc",
    "let x = ",
    "x",
    "map(a, #)",
    "filter(a, ",
    "reduce(a, ",
    "sortBy(a, #)",
    "sum(a)",
    "len(",
    "date(s)",
    "now()",
    "duration('1h')",
    ".Year()",
    ".AddDate(1, 9, -400)",
    "sprig.",
    "trunc(",
    "substr(",
    "replace(",
    "split(",
    "slice(",
    "b",
    "jsonpath(b, '$..c')",
    "int(",
    "9223372036854775807",
    "repeat('x', ",
    "matches",
    "'('",
    "get(",
    "-9223372036854775807",
    "\\",
    "grüße",
];

const GOVALUATE: &[&str] = &[
    "a",
    "b",
    "[b c]",
    "(",
    ")",
    "1",
    "2.5",
    "'x'",
    "\"2026-01-01\"",
    "true",
    "+",
    "-",
    "*",
    "/",
    "%",
    "**",
    "==",
    "!=",
    "<",
    ">=",
    "=~",
    "!~",
    "in",
    ",",
    "&&",
    "||",
    "??",
    "?",
    ":",
    "&",
    "|",
    "^",
    "<<",
    ">>",
    "~",
    "!",
    "\\",
    "0x1F",
    "'[0-9]+'",
    "1e5",
    "grüße",
];

const TEMPLATE: &[&str] = &[
    "{{",
    "}}",
    "{{-",
    "-}}",
    ".Input.a",
    ".Input.b",
    ".Input.n",
    "if",
    "else",
    "end",
    "range",
    "with",
    "$x",
    ":=",
    "=",
    "|",
    "(",
    ")",
    "\"x\"",
    "1",
    "-5",
    "2.5",
    "nil",
    "{{ end }}",
    "{{ range .Input.a }}",
    "{{ if .Input.b }}",
    "{{ else }}",
    "{{ . }}",
    "printf",
    "\"%5.2f%q%x%*d\"",
    "index",
    "slice",
    "len",
    "substr",
    "trunc",
    "abbrev",
    "date",
    "\"2006 Jan _2 .000\"",
    "toDate",
    "list",
    "dict",
    "set",
    "dig",
    "seq",
    "untilStep",
    "splitn",
    "regexReplaceAll",
    "\"(.)\"",
    "indent",
    "wrap",
    "round",
    "chunk",
    "dateModify",
    "\"-1h\"",
    "now",
    "randInt",
    "b32dec",
    "\"grüße\"",
    "toJson",
    "eq",
    "lt",
    "and",
    "or",
    "{{ define \"t\" }}",
    "{{ template \"t\" . }}",
    "{{ break }}",
    "9223372036854775807",
    "initials",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expr_does_not_panic(text in pieced(EXPR)) {
        if let Ok(program) = expr::Program::compile(&text) {
            let _ = program.variables();
            let _ = program.eval(&environment(), context());
        }
    }

    #[test]
    fn govaluate_does_not_panic(text in pieced(GOVALUATE)) {
        let variables: BTreeMap<String, govaluate::Value> = environment()
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.into()))
            .collect();
        if let Ok(program) = govaluate::Program::compile(&text) {
            let _ = program.eval(&variables);
        }
        if let Ok(program) = govaluate::Program::compile_when(&text) {
            let _ = program.holds(&BTreeMap::new());
        }
    }

    #[test]
    fn templates_do_not_panic(text in pieced(TEMPLATE)) {
        if let Ok(template) = Template::compile(&text) {
            let result = template.render(&environment(), context());
            // The engine turns the panic of a function into an error.
            let message = result.err().map(|error| error.to_string()).unwrap_or_default();
            prop_assert!(!message.contains("panic"), "{text}: {message}");
        }
    }
}
