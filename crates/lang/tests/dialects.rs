//! The golden vectors of the expression dialects and templates: inputs and what the Go originals gave.

#![expect(clippy::unwrap_used, reason = "a test fails by it")]

use std::collections::BTreeMap;

use serde_json::Value;
use tiphys_lang::template::Context;
use tiphys_lang::{LangError, expr, govaluate, template};

/// Inputs that come out otherwise on purpose, and why. One that comes out equal after all fails the test.
type Exceptions<'a> = &'a [(&'a str, &'a str)];

fn context() -> Context<'static> {
    Context { now: "2026-03-01T12:00:00Z".parse().unwrap(), seed: "event" }
}

/// Runs each case; `run` gives the text that Go would have printed.
fn check(file: &str, exceptions: Exceptions<'_>, run: impl Fn(&str, &Value) -> Result<String, LangError>) {
    let file: Value = serde_json::from_str(file).unwrap();
    let environment = file.get("context").unwrap();
    let cases = file.get("cases").unwrap().as_array().unwrap();
    let mut wrong = Vec::new();
    for case in cases {
        let input = case.get("input").unwrap().as_str().unwrap();
        let expected = case.get("go").unwrap().as_str().unwrap();
        let result = run(input, environment);
        let equal = match &result {
            _ if expected.starts_with("CERR:") => {
                matches!(result, Err(LangError::Syntax { .. }))
                // Which names there are is known when an expression runs.
                || matches!(&result, Err(error) if error.to_string().contains("unknown name"))
            }
            Err(_) => expected.starts_with("ERR:"),
            Ok(text) => text == expected,
        };
        let excepted = exceptions.iter().any(|(text, _)| *text == input);
        if equal == excepted {
            wrong.push(format!("{input}\n  expected {expected}\n  got      {result:?}"));
        }
    }
    for (input, _) in exceptions {
        let known = |case: &Value| case.get("input").and_then(Value::as_str) == Some(input);
        assert!(cases.iter().any(known), "the exception {input} is no case");
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn expr() {
    check(
        include_str!("vectors/expr.json"),
        &[("keys(body.user)", "Go's order is random; ours is sorted")],
        |input, environment| {
            let value = expr::Program::compile(input)?.eval(environment, context())?;
            Ok(value.to_string())
        },
    );
}

#[test]
fn govaluate() {
    check(include_str!("vectors/govaluate.json"), &[], |input, environment| {
        let variables: BTreeMap<String, govaluate::Value> = environment
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.clone(), value.into()))
            .collect();
        Ok(match govaluate::Program::compile(input)?.eval(&variables)? {
            govaluate::Value::Number(number) => number.to_string(),
            govaluate::Value::Bool(bool) => bool.to_string(),
            govaluate::Value::Text(text) => Value::from(text).to_string(),
            other => format!("{other:?}"),
        })
    });
}

const SEMVER: &str = concat!(
    r#"{{ range $i := until 3 }}{{ $i }}{{ end }} {{ cat "a" "b" }} {{ indent 2 "x" }} "#,
    r#"{{ semverCompare ">=1.2.0" "1.3.0" }}"#
);

#[test]
fn templates() {
    check(
        include_str!("vectors/go-template.json"),
        &[(SEMVER, "the functions on semantic versions are not offered")],
        |input, environment| {
            let text = template::Template::compile(input)?.render(environment, context())?;
            Ok(text.replace('\n', "\\n"))
        },
    );
}
