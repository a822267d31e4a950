//! jq filters, by jaq. Nothing of the process is seen from one: no environment, no clock, no files, no input but the
//! document.

use jaq_core::load::{Arena, File, Loader};
use jaq_core::{Compiler, Ctx, Error, Exn, Native, Vars, data, unwrap_valr};
use jaq_json::{Val, read};
use serde_json::Value;

use crate::LangError;

const LANGUAGE: &str = "jq";
/// Bytes of a filter.
const MAX_FILTER: usize = 16 << 10;
/// Results of a filter.
const MAX_RESULTS: usize = 100_000;
/// Bytes of all results.
const MAX_OUTPUT: usize = 4 << 20;
/// What would look outside, or stop the process.
const OUTSIDE: [&str; 8] =
    ["env", "now", "halt", "input", "inputs", "stderr_empty", "debug_empty", "input_line_number"];

type Data = data::JustLut<Val>;

/// The results of a filter on a JSON text, as Argo writes them: each on a line, texts bare, everything else as compact
/// JSON with its keys in order; nothing around it.
///
/// A filter that never ends is not stopped: run it where it holds up nobody.
///
/// # Errors
/// Where the filter or the document cannot be read, the filter fails, or makes too much.
pub fn run(filter: &str, document: &str) -> Result<String, LangError> {
    if filter.len() > MAX_FILTER {
        return Err(limit("the length of a filter"));
    }
    let input = read::parse_single(document.as_bytes())
        .map_err(|error| failed(format!("the document is no JSON: {error}")))?;
    let defs = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let funs = jaq_core::funs::<Data>().chain(jaq_std::funs()).chain(jaq_json::funs());
    let funs = funs.map(|(name, arguments, native)| {
        let shut = OUTSIDE.contains(&name);
        (name, arguments, if shut { refusing() } else { native })
    });
    let arena = Arena::default();
    let modules = Loader::new(defs)
        .load(&arena, File { code: filter, path: () })
        .map_err(|_| failed(format!("`{filter}` is no filter")))?;
    let compiled = Compiler::default().with_funs(funs).compile(modules).map_err(|errors| {
        let names = errors.into_iter().flat_map(|(_, undefined)| undefined);
        let names: Vec<String> = names.map(|(name, kind)| format!("{} `{name}`", kind.as_str())).collect();
        failed(format!("`{filter}` uses what is not known: {}", names.join(", ")))
    })?;
    let context = Ctx::<Data>::new(&compiled.lut, Vars::new([]));
    let mut out = String::new();
    for (number, result) in compiled.id.run((context, input)).map(unwrap_valr).enumerate() {
        let value = result.map_err(|error| failed(format!("`{filter}`: {error}")))?;
        if number >= MAX_RESULTS || out.len() > MAX_OUTPUT {
            return Err(limit("the output of a filter"));
        }
        out.push_str(&text(&value)?);
        out.push('\n');
    }
    if out.len() > MAX_OUTPUT {
        return Err(limit("the output of a filter"));
    }
    Ok(out.trim().to_owned())
}

fn refusing() -> Native<Data> {
    Native::new(|_| {
        let refused = Error::str("the environment, the clock and other inputs are not seen from a filter");
        Box::new(std::iter::once(Err(Exn::from(refused))))
    })
}

fn text(value: &Val) -> Result<String, LangError> {
    if let Val::TStr(bytes) | Val::BStr(bytes) = value {
        return Ok(String::from_utf8_lossy(bytes).into_owned());
    }
    let json = value.to_string();
    let mut parsed: Value =
        serde_json::from_str(&json).map_err(|_| failed(format!("{json} cannot be written as JSON")))?;
    parsed.sort_all_objects();
    Ok(parsed.to_string())
}

fn failed(message: String) -> LangError {
    LangError::Eval { language: LANGUAGE, message }
}

const fn limit(limit: &'static str) -> LangError {
    LangError::Limit { language: LANGUAGE, limit }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOB: &str = r#"{"metadata":{"uid":"7","name":"rand","labels":{"b":"2","a":"1"}},"n":9007199254740993,"l":[{"x":1},{"x":2}]}"#;

    #[test]
    fn results_as_argo_writes_them() {
        for (filter, expected) in [
            (".metadata.name", "rand"),
            (".metadata.labels", r#"{"a":"1","b":"2"}"#),
            (".l[] | .x", "1\n2"),
            (".l | map(.x) | add", "3"),
            (".n", "9007199254740993"),
            (".missing", "null"),
            ("[.l[] | select(.x > 1)]", r#"[{"x":2}]"#),
            (".metadata | \"\\(.name)-\\(.uid)\"", "rand-7"),
            ("empty", ""),
            (".metadata.name | test(\"^r\")", "true"),
        ] {
            assert_eq!(run(filter, JOB).as_deref(), Ok(expected), "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_told() {
        for filter in [
            ".metadata |",
            ".metadata.name.x",
            "nothing_such",
            "error(\"x\")",
            "1000000 as $x | [range($x)] | .[]",
        ] {
            assert!(run(filter, JOB).is_err(), "{filter}");
        }
        assert!(run(".", "{").is_err());
    }

    #[test]
    fn nothing_of_the_process_is_seen() {
        for filter in
            ["env", "$ENV", "env.PATH", "now", "halt", "halt(3)", "input", "[inputs]", "debug", "stderr"]
        {
            let seen = run(filter, JOB);
            assert!(seen.is_err(), "{filter}: {seen:?}");
        }
    }
}
